// A stream that breaks is opened again where it stood: after the last message that came.
import { Code, ConnectError } from "@connectrpc/connect";
import { failureOf, isPassing, isTooFast, isStaleToken, type Failure } from "./failure.js";
import { jittered, sleep } from "./repeat.js";

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
/** Three heartbeats and some slack. */
const SILENCE_MS = 35_000;

/** How the stream stands; `breaks` counts how often it broke, not how often it was tried again. */
export type Link =
  | { readonly kind: "connecting" }
  | { readonly kind: "live"; readonly breaks: number }
  | { readonly kind: "broken"; readonly breaks: number; readonly pauseMs: number; readonly why: Failure }
  | { readonly kind: "over" };

export interface Watched {
  readonly resumeToken: string;
}

/**
 * Gives every message to `tell` until the server ends the stream with OK or `signal` aborts.
 *
 * open: opens the stream after the message of this token; "" means from a snapshot on. renew: gets another access token.
 * Raises what opening again cannot mend.
 */
export async function watch<M extends Watched>(
  open: (resumeToken: string, signal: AbortSignal) => AsyncIterable<M>,
  tell: (message: M) => void,
  show: (link: Link) => void,
  renew: () => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let token = "";
  let breaks = 0;
  let pause = FIRST_PAUSE_MS;
  let renewed = false;
  let isLive = false;
  show({ kind: "connecting" });
  while (!signal.aborted) {
    try {
      for await (const message of audible(open, token, signal)) {
        token = message.resumeToken || token;
        pause = FIRST_PAUSE_MS;
        renewed = false;
        isLive = true;
        show({ kind: "live", breaks });
        tell(message);
      }
      show({ kind: "over" });
      return;
    } catch (error) {
      if (signal.aborted) return;
      const why = failureOf(error);
      if (isStaleToken(why) && !renewed) {
        renewed = true;
        await renew();
        continue;
      }
      if (!isPassing(why) && !isTooFast(why)) throw error;
      if (isLive) breaks += 1;
      isLive = false;
      const pauseMs = Math.max(why.pauseMs, jittered(pause));
      show({ kind: "broken", breaks, pauseMs, why });
      await sleep(pauseMs, signal);
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    }
  }
}

/** The messages of one stream. One that is silent for too long is dead although nobody has said so. */
async function* audible<M>(
  open: (resumeToken: string, signal: AbortSignal) => AsyncIterable<M>,
  token: string,
  outer: AbortSignal,
): AsyncGenerator<M> {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    for await (const message of open(token, AbortSignal.any([outer, silence.signal]))) {
      clearTimeout(timer);
      yield message;
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
    }
  } catch (error) {
    throw silence.signal.aborted ? new ConnectError("The stream has fallen silent.", Code.Unavailable) : error;
  } finally {
    clearTimeout(timer);
    // Else the server keeps the stream, and counts it, until the connection closes.
    silence.abort();
  }
}
