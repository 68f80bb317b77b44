import { Agent, EnvHttpProxyAgent } from "undici";
import { StreamError } from "../errors.ts";
import { isLoopback, parseUrl } from "./address.ts";
import { systemClock, type Clock } from "./clock.ts";
import { download } from "./download.ts";
import { exchange } from "./exchange.ts";
import { createFetch, type Linked } from "./fetch.ts";
import { head } from "./head.ts";
import type { Net } from "./net.ts";
import { createPermits } from "./permits.ts";
import { createSend, type Token } from "./send.ts";
import { createTries, type Retry, type Tries } from "./tries.ts";

export type { Clock } from "./clock.ts";
export type { Token } from "./send.ts";
export type { Retry } from "./tries.ts";

export interface NetOptions {
  readonly token?: Token | undefined;
  /** Requests under way at once, at least 1; 8. A request is under way until its body is read. */
  readonly requests?: number;
  /** Milliseconds that one request may go on failing without a new byte, its turns and waits for them not counted; 600,000. */
  readonly budget?: number;
  /** Tries in a row without a new byte; 30. */
  readonly tries?: number;
  /** Milliseconds without a byte, while one is waited for, that are taken for a cut; 60,000. */
  readonly stall?: number;
  /** Milliseconds that a reader may rest while others wait for their turn; it asks for the rest anew then; 5,000. */
  readonly patience?: number;
  /** For a terminal. */
  readonly onRetry?: (retry: Retry) => void;
  /** Whether a POST changes nothing at the server and may be sent again; the Hub's paths-info only. */
  readonly safePost?: (url: URL) => boolean;
  /** Proxies; from HTTP_PROXY, HTTPS_PROXY and NO_PROXY (in either case) of the environment. */
  readonly proxies?: { readonly http?: string; readonly https?: string; readonly none?: string };
  readonly clock?: Clock;
}

/** The network over HTTP/1.1. Loopback is never reached through a proxy. BAD_OPTION where the environment names a proxy that is none. */
export function createNet({
  token,
  requests = 8,
  budget = 600_000,
  tries: most = 30,
  stall = 60_000,
  patience = 5_000,
  onRetry = () => {},
  safePost = ({ pathname }) => /^\/api\/.*\/paths-info\//.test(pathname),
  proxies,
  clock = systemClock,
}: NetOptions = {}): Net {
  const counts = { requests: 0, retries: 0, bytes: 0 };
  const connect = { timeout: Math.min(stall, 30_000) };
  const direct = new Agent({ connect });
  const around = proxied(connect, proxies);
  const stop = new AbortController();
  let closing: Promise<void> | undefined;

  const send = createSend({
    exchange(outgoing) {
      counts.requests++;
      return exchange(isLoopback(outgoing.url) ? direct : around, outgoing, {
        stall,
        onBytes: (count) => (counts.bytes += count),
      });
    },
    permits: createPermits(requests, patience),
    clock,
    longest: budget,
    token,
  });

  function tries(url: URL): Tries {
    return createTries(url, { time: budget, tries: most }, clock, (retry) => {
      counts.retries++;
      onRetry(retry);
    });
  }

  /** Aborts with the caller's signal and with close(); its reason is always one of our errors. */
  function linked(given?: AbortSignal | null): Linked {
    const both = new AbortController();
    const close = (): void => both.abort(stop.signal.reason);
    const abort = (): void => {
      const cause: unknown = given?.reason;
      both.abort(
        cause instanceof StreamError
          ? cause
          : new StreamError("ABORTED", "the caller gave up", { cause }),
      );
    };
    stop.signal.addEventListener("abort", close, { once: true });
    given?.addEventListener("abort", abort, { once: true });
    if (given?.aborted) abort();
    if (stop.signal.aborted) close();
    return {
      signal: both.signal,
      abort,
      done() {
        stop.signal.removeEventListener("abort", close);
        given?.removeEventListener("abort", abort);
      },
    };
  }

  return {
    counts,
    fetch: createFetch({ send, tries, wall: clock.wall, signal: linked, safePost }),
    async head(address, given) {
      const url = parseUrl(address);
      const { signal, done } = linked(given);
      try {
        signal.throwIfAborted();
        return await head(url, { send, tries: tries(url), wall: clock.wall, signal });
      } finally {
        done();
      }
    },
    async *download(address, known, { from = 0, to, signal: given }) {
      const url = parseUrl(address);
      const { signal, done } = linked(given);
      try {
        signal.throwIfAborted();
        yield* download(url, known, {
          send,
          tries: tries(url),
          wall: clock.wall,
          signal,
          from,
          to,
        });
      } finally {
        done();
      }
    },
    close: () => (closing ??= closeAll()),
  };

  async function closeAll(): Promise<void> {
    stop.abort(new StreamError("CLOSED", "the network is closed"));
    await Promise.all([direct.destroy(), around.destroy()]);
  }
}

function proxied(
  connect: { readonly timeout: number },
  proxies: NetOptions["proxies"],
): EnvHttpProxyAgent {
  try {
    return new EnvHttpProxyAgent({
      connect,
      // http through a proxy as everybody does it; CONNECT to port 80 is often refused
      proxyTunnel: false,
      ...(proxies && {
        httpProxy: proxies.http ?? "",
        httpsProxy: proxies.https ?? "",
        noProxy: proxies.none ?? "",
      }),
    });
  } catch {
    // what stands there is not repeated: it may hold a password
    throw new StreamError(
      "BAD_OPTION",
      "HTTP_PROXY or HTTPS_PROXY: expected an address such as http://proxy:3128",
    );
  }
}
