// Who is signed in, or whose cart a guest fills. Tokens live in this object alone: a reload forgets them, and no other
// page can read them.
import { Code, ConnectError, createClient, type Client, type Interceptor, type Transport } from "@connectrpc/connect";
import { AuthService } from "../gen/marketplace/auth/v1/auth_service_pb.js";
import type { Tokens } from "../gen/marketplace/auth/v1/token_pb.js";
import { failureOf, isStaleToken } from "./failure.js";
import { repeat } from "./repeat.js";

const LONGEST_MARGIN_MS = 60_000;
const MARGIN_SHARE = 0.2;

export class Session {
  /** Called when the server has ended the session; not after signOut. */
  onEnd: (why: unknown) => void = () => undefined;
  private readonly auth: Client<typeof AuthService>;
  private tokens: Tokens | undefined;
  private guestToken = "";
  private refreshAt = 0;
  private running: Promise<void> | undefined;

  /** bare: a transport without this session's interceptor, or refreshing would wait for itself. */
  constructor(bare: Transport) {
    this.auth = createClient(AuthService, bare);
  }

  get isOpen(): boolean {
    return this.tokens !== undefined;
  }

  /** Whether calls carry a token: somebody's, or that of a guest's cart. */
  get hasCart(): boolean {
    return this.isOpen || this.guestToken !== "";
  }

  /** From now on calls are those of a guest who has this cart. */
  beGuest(token: string): void {
    this.guestToken = token;
  }

  /** A guest's cart comes along. Raises what Login is refused for. */
  async signIn(login: string, password: string): Promise<string> {
    const guestCartToken = this.guestToken;
    const answer = await this.auth.login({ login, password, deviceName: "hello page", guestCartToken });
    if (answer.tokens === undefined) throw new ConnectError("The server gave no tokens.", Code.Internal);
    this.guestToken = "";
    this.use(answer.tokens);
    return answer.user?.fullName || login;
  }

  /** Is signed out here whatever the server says to it. */
  async signOut(): Promise<void> {
    const token = this.tokens?.accessToken;
    this.tokens = undefined;
    if (token === undefined) return;
    await this.auth.logout({}, { headers: { authorization: `Bearer ${token}` } }).catch(() => undefined);
  }

  /** Exchanges the refresh token unless `stale` is not in use any more; all who ask meanwhile wait for the same exchange. */
  async refresh(stale: string): Promise<void> {
    const tokens = this.tokens;
    if (tokens === undefined || tokens.accessToken !== stale) return;
    this.running ??= this.exchange(tokens).finally(() => (this.running = undefined));
    await this.running;
  }

  /** Another token for the next call, after the server has refused the one in use. */
  async renew(): Promise<void> {
    if (this.tokens !== undefined) await this.refresh(this.tokens.accessToken);
  }

  /** Puts the token on each call, and repeats a unary one once with a new token. */
  readonly interceptor: Interceptor = (next) => async (request) => {
    const token = await this.token();
    if (token === undefined) return next(request);
    request.header.set("authorization", `Bearer ${token}`);
    try {
      return await next(request);
    } catch (error) {
      if (request.stream || !isStaleToken(failureOf(error))) throw error;
      await this.refresh(token);
      const fresh = this.tokens?.accessToken;
      if (fresh === undefined) throw error;
      request.header.set("authorization", `Bearer ${fresh}`);
      return next(request);
    }
  };

  private async token(): Promise<string | undefined> {
    const tokens = this.tokens;
    if (tokens !== undefined && performance.now() >= this.refreshAt) await this.refresh(tokens.accessToken);
    return this.tokens?.accessToken ?? (this.guestToken || undefined);
  }

  private async exchange(tokens: Tokens): Promise<void> {
    try {
      // A repeat within ten seconds is answered with the same successor.
      const answer = await repeat(() => this.auth.refreshTokens({ refreshToken: tokens.refreshToken }));
      if (this.tokens === tokens && answer.tokens !== undefined) this.use(answer.tokens);
    } catch (error) {
      // Without a connection the session may go on later; refused, it is over.
      if (failureOf(error).code === Code.Unauthenticated && this.tokens === tokens) {
        this.tokens = undefined;
        this.onEnd(error);
      }
      throw error;
    }
  }

  private use(tokens: Tokens): void {
    const lifeMs = lifetimeMs(tokens);
    this.tokens = tokens;
    this.refreshAt = performance.now() + lifeMs - Math.min(LONGEST_MARGIN_MS, lifeMs * MARGIN_SHARE);
  }
}

/** From the token's own `exp - iat` (RFC 7519): the clock of this machine may be wrong. */
function lifetimeMs(tokens: Tokens): number {
  const body = tokens.accessToken.split(".")[1] ?? "";
  const claims = JSON.parse(atob(body.replaceAll("-", "+").replaceAll("_", "/"))) as { exp: number; iat: number };
  return (claims.exp - claims.iat) * 1000;
}
