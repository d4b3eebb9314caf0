// gRPC-web to the address that the page came from, and nowhere else.
import { create } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb.js";

/** The server works at most 5 s for such a call; the rest is the way there and back. */
const UNARY_MS = 10_000;

const TOO_MANY = 429;

export function transportTo(baseUrl: string, interceptors: Interceptor[]): Transport {
  return createGrpcWebTransport({ baseUrl, interceptors, defaultTimeoutMs: UNARY_MS, fetch: fetchOrRefuse });
}

// A gateway that refuses a request before it reaches the server answers in HTTP. Of that, connect reads 429 as
// UNAVAILABLE and drops the body, which says why.
async function fetchOrRefuse(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const response = await fetch(input, init);
  if (response.ok || response.headers.has("grpc-status")) return response;
  const body = await bodyOf(response);
  if (body === undefined && response.status !== TOO_MANY) return response;
  const limited = response.status === TOO_MANY;
  const reason = body?.details?.find((detail) => detail.reason !== undefined)?.reason;
  const seconds = Number(response.headers.get("retry-after") ?? 0);
  throw new ConnectError(
    body?.message ?? `The gateway answers HTTP ${response.status}.`,
    limited ? Code.ResourceExhausted : (body?.code ?? Code.Unavailable),
    response.headers,
    [
      { desc: ErrorInfoSchema, value: { reason: reason ?? (limited ? "RATE_LIMITED" : ""), domain: "marketplace.dev" } },
      { desc: RetryInfoSchema, value: { retryDelay: create(DurationSchema, { seconds: BigInt(Math.ceil(seconds || 0)) }) } },
    ],
  );
}

interface GatewayRefusal {
  readonly code?: number;
  readonly message?: string;
  readonly details?: readonly { readonly reason?: string }[];
}

async function bodyOf(response: Response): Promise<GatewayRefusal | undefined> {
  if (!response.headers.get("content-type")?.startsWith("application/json")) return undefined;
  try {
    return (await response.json()) as GatewayRefusal;
  } catch {
    return undefined;
  }
}
