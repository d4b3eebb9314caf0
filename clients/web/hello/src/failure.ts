// What a call was refused for, in one form: whether the server, the gateway or the network said so.
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb.js";

export interface Field {
  /** The path of the field, such as `address.city`. */
  readonly path: string;
  readonly problem: string;
}

export interface Failure {
  readonly code: Code;
  /** A value of marketplace.errors.v1.ErrorReason without its prefix; empty when neither server nor gateway wrote it. */
  readonly reason: string;
  readonly message: string;
  readonly fields: readonly Field[];
  /** What the server asks to wait before the next attempt; 0 when it asks for nothing. */
  readonly pauseMs: number;
}

// What a connection that breaks looks like, when nobody was left to write a reason.
const BROKEN = new Set([Code.Unknown, Code.Internal, Code.DeadlineExceeded, Code.Aborted]);
// What the same call may be spared a moment later.
const MOMENTARY = new Set(["DEADLINE_EXCEEDED", "REQUEST_IN_PROGRESS", "CONCURRENT_UPDATE"]);

export function failureOf(thrown: unknown): Failure {
  const error = ConnectError.from(thrown);
  const info = error.findDetails(ErrorInfoSchema)[0];
  const pause = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return {
    code: error.code,
    reason: info?.reason ?? "",
    message: error.rawMessage,
    fields: error
      .findDetails(BadRequestSchema)
      .flatMap((detail) => detail.fieldViolations)
      .map((violation) => ({ path: violation.field, problem: violation.description })),
    pauseMs: pause === undefined ? 0 : Number(pause.seconds) * 1000 + pause.nanos / 1e6,
  };
}

/** Whether nobody refused anything for good: the way to the server broke, or it is going down, overloaded or busy. */
export function isPassing(failure: Failure): boolean {
  if (failure.code === Code.Unavailable) return true;
  return failure.reason === "" ? BROKEN.has(failure.code) : MOMENTARY.has(failure.reason);
}

/** Whether the caller is to go slower: it calls too often, or reads a stream too slowly. */
export function isTooFast(failure: Failure): boolean {
  return failure.code === Code.ResourceExhausted;
}

/** Whether other tokens may help. */
export function isStaleToken(failure: Failure): boolean {
  return failure.reason === "TOKEN_EXPIRED" || failure.reason === "TOKEN_INVALID";
}
