import { StreamError } from "../errors.ts";
import { contextOf, nameOf, redirectTarget } from "./address.ts";
import type { Clock } from "./clock.ts";
import type { Incoming, Outgoing } from "./exchange.ts";
import { quotaAfter, retryAfter } from "./limits.ts";
import type { Permit, Permits } from "./permits.ts";
import { Yielded } from "./setback.ts";

const MOST_REDIRECTS = 10;

export interface Token {
  readonly value: string;
  /** As URL.origin gives them. The token is sent to these only. */
  readonly origins: readonly string[];
}

export interface Ask extends Outgoing {
  /** Where `url` redirected to a while ago: it is asked there. */
  readonly place?: URL | undefined;
  /** Told of each redirect that is followed. */
  readonly moved?: (place: URL) => void;
  /** A redirect that tells size and ETag (X-Linked-Size, X-Linked-Etag) is answer enough. */
  readonly linked?: boolean;
  /** Called when a request leaves, after all the waiting for its turn. */
  readonly started?: () => void;
}

/** What the Hub says of a file while it redirects to where the bytes are. */
export interface Linked {
  readonly size?: number;
  readonly etag?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  /** Who answered in the end. */
  readonly host: string;
  /** Whether that is of another origin than was asked. */
  readonly elsewhere: boolean;
  /** Whether a token was sent to the origin that was asked. */
  readonly trusted: boolean;
  readonly linked: Linked;
  /** As Incoming.read; throws Yielded where the request was given up for others. */
  readonly read: () => Promise<Uint8Array | undefined>;
  /** Idempotent. Gives the permit back; closes the connection unless the body was read to its end. */
  readonly leave: () => void;
}

export type Send = (ask: Ask) => Promise<Answer>;

export interface SendOptions {
  readonly exchange: (outgoing: Outgoing) => Promise<Incoming>;
  readonly permits: Permits;
  readonly clock: Clock;
  /** The longest that is waited ahead of time for a quota. Milliseconds. */
  readonly longest: number;
  readonly token?: Token | undefined;
}

/** One answer, redirects followed, nothing tried again. A host that said that its quota is used up is left alone until there is more. */
export function createSend({ exchange, permits, clock, longest, token }: SendOptions): Send {
  /** Hosts that want to be left alone, and until when. */
  const quiet = new Map<string, number>();

  function listen(host: string, { status, headers }: Incoming): void {
    const quota = quotaAfter(headers, clock.wall());
    const asked = status === 429 || status === 503 ? retryAfter(headers, clock.wall()) : undefined;
    // who asks for more fails with that, see Tries; others need not wait that long
    const wait = Math.min(Math.max(quota ?? 0, asked ?? 0), longest);
    if (wait > 0) quiet.set(host, Math.max(quiet.get(host) ?? 0, clock.now() + wait));
  }

  /** A permit, when the host may be asked. Waiting for a host holds no permit. */
  async function admitted(
    host: string,
    permit: Permit | undefined,
    signal: AbortSignal,
  ): Promise<Permit> {
    let one = permit;
    for (;;) {
      const wait = (quiet.get(host) ?? 0) - clock.now();
      if (wait <= 0) {
        quiet.delete(host);
        if (one) return one;
        one = await permits.take(signal);
      } else {
        one?.release();
        one = undefined;
        await clock.sleep(wait, signal);
      }
    }
  }

  function headersFor(ask: Ask, url: URL): Record<string, string> {
    const own = url.origin === ask.url.origin;
    // some servers answer nobody without a name
    const headers: Record<string, string> = { "user-agent": "ssl-r1-stream" };
    for (const [name, value] of Object.entries(ask.headers)) {
      const secret = name === "authorization" || name === "cookie";
      // whoever adds the token by himself must not send it elsewhere either
      if (secret && (!own || (token && value.includes(token.value)))) continue;
      if (name === "host" || name === "proxy-authorization") continue;
      headers[name] = value;
    }
    if (own && ask.url.username)
      headers["authorization"] ??=
        `Basic ${Buffer.from(`${decodeURIComponent(ask.url.username)}:${decodeURIComponent(ask.url.password)}`).toString("base64")}`;
    if (token?.origins.includes(url.origin)) headers["authorization"] = `Bearer ${token.value}`;
    return headers;
  }

  return async (ask) => {
    const name = nameOf(ask.url);
    let { url, method, body } = ask;
    if (ask.place) url = ask.place;
    let linked: Linked = {};
    let permit: Permit | undefined;
    try {
      for (let hop = 0; ; hop++) {
        permit = await admitted(url.host, permit, ask.signal);
        ask.started?.();
        const headers = headersFor(ask, url);
        if (method !== ask.method) delete headers["content-type"];
        const incoming = await exchange({
          method,
          url,
          headers,
          signal: ask.signal,
          ...(body !== undefined && { body }),
        });
        listen(url.host, incoming);
        if (url.origin === ask.url.origin) linked = { ...linked, ...linkedOf(incoming.headers) };
        const location = incoming.headers.get("location");
        const redirect = [301, 302, 303, 307, 308].includes(incoming.status);
        const enough = ask.linked && linked.size !== undefined && linked.etag !== undefined;
        if (!redirect || location === undefined || enough) {
          const elsewhere = url.origin !== ask.url.origin;
          const trusted = "authorization" in headersFor(ask, ask.url);
          return held(incoming, permit, { host: url.host, elsewhere, trusted, linked });
        }
        if (hop >= MOST_REDIRECTS) {
          incoming.drop(new Error("not followed"));
          throw new StreamError("NETWORK", `${name}: more than ${MOST_REDIRECTS} redirects`, {
            context: contextOf(ask.url),
          });
        }
        incoming.discard();
        url = redirectTarget(url, location, name);
        ask.moved?.(url);
        const becomesGet = incoming.status === 303 || (incoming.status < 303 && method === "POST");
        if (becomesGet && method !== "GET" && method !== "HEAD") {
          method = "GET";
          body = undefined;
        }
      }
    } catch (error) {
      permit?.release();
      throw error;
    }
  };
}

function held(
  incoming: Incoming,
  permit: Permit,
  who: Pick<Answer, "host" | "elsewhere" | "trusted" | "linked">,
): Answer {
  let left = false;
  const leave = (reason?: Error): void => {
    if (left) return;
    left = true;
    // what comes with an error is short, and the connection can be used again
    if (reason ?? incoming.status < 300) incoming.drop(reason ?? new Error("not wanted"));
    else incoming.discard();
    permit.release();
  };
  const rest = (): void => permit.rest(() => leave(new Yielded("given up for others")));
  rest();
  return {
    ...who,
    status: incoming.status,
    headers: incoming.headers,
    async read() {
      permit.busy();
      const chunk = await incoming.read();
      rest();
      return chunk;
    },
    leave: () => leave(),
  };
}

function linkedOf(headers: ReadonlyMap<string, string>): Linked {
  const size = headers.get("x-linked-size");
  const etag = headers.get("x-linked-etag");
  return {
    ...(size !== undefined && /^\d+$/.test(size) && { size: Number(size) }),
    ...(etag !== undefined && { etag }),
  };
}
