// Calls that are repeated while the server cannot be reached. Only reads, and writes that carry a request_id.
import { failureOf, isPassing, isTooFast } from "./failure.js";

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 3_000;
const GIVE_UP_MS = 20_000;

export async function repeat<T>(work: () => Promise<T>): Promise<T> {
  const end = performance.now() + GIVE_UP_MS;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      return await work();
    } catch (error) {
      const failure = failureOf(error);
      const wait = Math.max(failure.pauseMs, jittered(pause));
      const worthIt = isPassing(failure) || (isTooFast(failure) && failure.pauseMs > 0);
      if (!worthIt || performance.now() + wait > end) throw error;
      await sleep(wait);
    }
  }
}

export function jittered(ms: number): number {
  return ms * (0.5 + Math.random() / 2);
}

/** Ends early when the machine is online again, or with `signal`. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      globalThis.removeEventListener("online", done);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    globalThis.addEventListener("online", done);
    signal?.addEventListener("abort", done);
    if (signal?.aborted) done();
  });
}

/** A UUID of version 4; crypto.randomUUID is only there on https and on this machine, and a phone may come by http. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** The request ids of what somebody means to do once, such as paying for one order, however often it is tried. */
export class Intents {
  private readonly ids = new Map<string, string>();

  idOf(intent: string): string {
    let id = this.ids.get(intent);
    if (id === undefined) this.ids.set(intent, (id = newId()));
    return id;
  }
}
