import type { Dispatcher } from "undici";
import { StreamError } from "../errors.ts";
import { failureOf, Setback } from "./setback.ts";

/** Bytes held for a reader that is slower than the network; above it nothing is taken from the socket. */
const HELD = 1 << 18;
/** Bytes of an unwanted body that are let through so that the connection can be used again. */
const UNWANTED = 1 << 16;

export interface Outgoing {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly signal: AbortSignal;
}

/** An answer whose body is read piece by piece. */
export interface Incoming {
  readonly status: number;
  /** Names in lower case; several of one name joined by commas. */
  readonly headers: ReadonlyMap<string, string>;
  /** The next piece of the body, undefined at its end. All that came before a failure is given before the failure is thrown. */
  readonly read: () => Promise<Uint8Array | undefined>;
  /** Ends it at once; a read under way, and each later one, throws the reason. No effect after the end. */
  drop(reason: Error): void;
  /** The body is not wanted. */
  discard(): void;
}

export interface ExchangeOptions {
  /** Milliseconds without a byte while one is waited for. */
  readonly stall: number;
  readonly onBytes: (count: number) => void;
}

/** One request and its answer, nothing followed or tried again. Rejects with a Setback, with NETWORK where another try can't help, with the signal's reason. */
export function exchange(
  dispatcher: Dispatcher,
  { method, url, headers, body, signal }: Outgoing,
  { stall, onBytes }: ExchangeOptions,
): Promise<Incoming> {
  const queue: Uint8Array[] = [];
  let held = 0;
  let over = false;
  let failure: Error | undefined;
  let unwanted = -1;
  let watched = 0;
  let controller: Dispatcher.DispatchController | undefined;
  let wake: (() => void) | undefined;
  let timer: NodeJS.Timeout | undefined;
  const { promise, resolve, reject } = Promise.withResolvers<Incoming>();

  function end(error?: Error): void {
    if (over) return;
    over = true;
    failure = error;
    unwatch();
    signal.removeEventListener("abort", abort);
    if (error) reject(error); // no effect once there is an answer
    wake?.();
  }

  function drop(reason: Error): void {
    if (over) return;
    queue.length = 0;
    end(reason);
    controller?.abort(reason);
  }

  const abort = (): void => drop(signal.reason as Error);

  function watch(): void {
    const mine = ++watched;
    const late = (): void => {
      if (mine === watched) drop(new Setback(`no byte for ${stall / 1000} s`));
    };
    clearTimeout(timer);
    // what came while this thread was busy is looked at first
    timer = setTimeout(() => setImmediate(late), stall);
  }

  function unwatch(): void {
    watched++;
    clearTimeout(timer);
  }

  async function read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const chunk = queue.shift();
      if (chunk) {
        held -= chunk.length;
        return chunk;
      }
      if (failure) throw failure;
      if (over) return undefined;
      if (controller?.paused) controller.resume();
      if (queue.length > 0 || over) continue;
      watch();
      await new Promise<void>((resolve) => (wake = resolve));
      unwatch();
    }
  }

  function discard(): void {
    if (over) return;
    unwanted = held;
    queue.length = 0;
    if (controller?.paused) controller.resume();
    if (!over) watch();
  }

  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) {
    abort();
    return promise;
  }
  watch();
  const handler: Dispatcher.DispatchHandler = {
    onRequestStart(given) {
      controller = given;
      if (over) given.abort(failure ?? new Error("given up"));
    },
    onResponseStart(_, status, fields) {
      if (status < 200 || over) return;
      unwatch();
      const headers = new Map<string, string>();
      for (const [name, value] of Object.entries(fields))
        if (value !== undefined)
          headers.set(name.toLowerCase(), Array.isArray(value) ? value.join(", ") : value);
      resolve({ status, headers, read, drop, discard });
    },
    onResponseData(given, chunk) {
      if (over) return;
      onBytes(chunk.length);
      if (unwanted >= 0) {
        unwanted += chunk.length;
        if (unwanted > UNWANTED) drop(new Error("not wanted"));
        return;
      }
      queue.push(chunk);
      held += chunk.length;
      if (held >= HELD) given.pause();
      wake?.();
    },
    onResponseEnd: () => end(),
    onResponseError: (_, error) => end(wrapped(error, url)),
  };
  try {
    dispatcher.dispatch(
      {
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method,
        headers: { ...headers },
        body: body ?? null,
        // undici would close each connection after a HEAD, for servers that send a body with it; those are met by trying again
        reset: false,
        // Measured here instead, and only while somebody waits.
        headersTimeout: 0,
        bodyTimeout: 0,
      },
      handler,
    );
  } catch (error) {
    end(wrapped(error, url));
  }
  return promise;
}

function wrapped(error: unknown, url: URL): Error {
  if (error instanceof StreamError || error instanceof Setback) return error;
  const { reason, hopeless } = failureOf(error);
  if (!hopeless) return new Setback(reason, undefined, error);
  return new StreamError("NETWORK", `${url.host}: ${reason}`, {
    cause: error,
    context: { host: url.host },
  });
}
