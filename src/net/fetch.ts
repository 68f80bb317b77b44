import { STATUS_CODES } from "node:http";
import { StreamError } from "../errors.ts";
import { contextOf, nameOf, parseUrl } from "./address.ts";
import { decoded, encodingOf } from "./decode.ts";
import { download } from "./download.ts";
import { lengthOf, parseContentRange, strongEtag } from "./facts.ts";
import type { Answer, Send } from "./send.ts";
import { Setback, Yielded } from "./setback.ts";
import { isPassing, passing } from "./status.ts";
import type { Tries } from "./tries.ts";

/** Bodies up to this are read before the answer is given, so that a cut is repaired by asking again. Bytes. */
const WHOLE = 1 << 24;
/** Bodies of unknown length are not read beyond this. Bytes. */
const LARGEST = 1 << 26;

export interface FetchOptions {
  readonly send: Send;
  readonly tries: (url: URL) => Tries;
  readonly wall: () => number;
  /** The caller's signal and the end of the network, as one. */
  readonly signal: (given?: AbortSignal | null) => Linked;
  /** Whether a POST changes nothing at the server and may be sent again. */
  readonly safePost: (url: URL) => boolean;
}

export interface Linked {
  readonly signal: AbortSignal;
  /** Takes the listeners away. */
  readonly done: () => void;
  readonly abort: () => void;
}

interface Range {
  readonly from: number;
  /** Exclusive; undefined is the end. */
  readonly to: number | undefined;
}

/**
 * Net.fetch. Other than the platform's: a range that the server ignores is cut out of the whole here; `url` of an answer is what was asked for, never a
 * signed address; 408, 425, 429 and 5xx are tried again or end in NETWORK and are never given back; bodies of requests are strings or bytes.
 */
export function createFetch(options: FetchOptions): typeof globalThis.fetch {
  return async (input, init = {}) => {
    const given = input instanceof Request ? input : undefined;
    const url = parseUrl(given ? given.url : String(input));
    const method = (init.method ?? given?.method ?? "GET").toUpperCase();
    const headers = Object.fromEntries(new Headers(init.headers ?? given?.headers));
    headers["accept-encoding"] = "identity";
    const body = bodyOf(init.body ?? (given?.body ? await given.text() : undefined), url);
    const range = rangeOf(headers["range"]);
    const repeatable =
      method === "GET" || method === "HEAD" || (method === "POST" && options.safePost(url));
    const tries = options.tries(url);
    const { signal, done, abort } = options.signal(init.signal ?? given?.signal);
    let handedOver = false;
    try {
      for (;;) {
        let answer: Answer | undefined;
        try {
          answer = await options.send({
            method,
            url,
            headers,
            signal,
            started: tries.started,
            ...(body !== undefined && { body }),
          });
          if (isPassing(answer.status)) throw passing(answer, options.wall());
          const large = method === "GET" ? largeBody(answer, range) : undefined;
          if (large) {
            handedOver = true;
            const { from, to, known, ...rest } = large;
            delete headers["range"];
            const { send, wall } = options;
            const bytes = download(url, known, {
              send,
              tries,
              wall,
              signal,
              from,
              to,
              headers,
              first: answer,
            });
            const { leave } = answer;
            const cancel = (): void => {
              abort();
              leave();
              done();
            };
            return respond(url, { ...rest, body: streamOf(bytes, { done, cancel }) });
          }
          const whole = respond(url, await wholeBody(answer, method, range));
          answer.leave();
          return whole;
        } catch (error) {
          answer?.leave();
          if (error instanceof Yielded) continue;
          if (!(error instanceof Setback)) throw error;
          if (!repeatable)
            throw new StreamError("NETWORK", `${nameOf(url)}: ${method} failed: ${error.message}`, {
              cause: error,
              context: { ...contextOf(url), tries: 1 },
            });
          await tries.failed(error, signal);
        }
      }
    } finally {
      if (!handedOver) done();
    }
  };
}

interface Parts {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> | null;
}

function respond(url: URL, { status, headers, body }: Parts): Response {
  const statusText = STATUS_CODES[status] ?? "";
  const response = new Response(body, { status, statusText, headers });
  Object.defineProperty(response, "url", { value: url.href });
  return response;
}

/** A body that is too large to hold: how it is handed on, piece by piece. */
function largeBody(
  answer: Answer,
  range: Range | undefined,
): (Omit<Parts, "body"> & Range & { known: { size?: number; etag?: string } }) | undefined {
  const { status, headers } = answer;
  const length = lengthOf(headers);
  if ((status !== 200 && status !== 206) || length === undefined || encodingOf(headers))
    return undefined;
  const etag = strongEtag(headers.get("etag"));
  const known = etag === undefined ? {} : { etag };
  const fields = new Headers([...headers]);
  if (status === 206) {
    const part = range && parseContentRange(headers.get("content-range"));
    if (!part || part.from !== range.from || length <= WHOLE) return undefined;
    const { from, to, total } = part;
    return {
      status,
      headers: fields,
      from,
      to,
      known: { ...known, ...(total !== undefined && { size: total }) },
    };
  }
  const { from, to } = clip(range, length);
  if (to - from <= WHOLE) return undefined;
  if (range) setRange(fields, from, to, length);
  return {
    status: range ? 206 : 200,
    headers: fields,
    from,
    to: range ? to : undefined,
    known: { ...known, size: length },
  };
}

async function wholeBody(answer: Answer, method: string, range: Range | undefined): Promise<Parts> {
  const { status } = answer;
  const headers = new Headers([...answer.headers]);
  if (method === "HEAD" || status === 204 || status === 205 || status === 304)
    return { status, headers, body: null };
  const encoding = encodingOf(answer.headers);
  if (status === 206) {
    const part = parseContentRange(answer.headers.get("content-range"));
    if (!range || part?.from !== range.from || part.to > (range.to ?? Infinity) || encoding)
      throw new Setback("the answer's Content-Range is not what was asked for");
    const body = await collect(answer.read, 0, part.to - part.from + 1);
    if (body.length !== part.to - part.from)
      throw new Setback("the answer has another length than its Content-Range");
    return { status, headers, body };
  }
  const body = encoding ? decoded(answer.read, encoding) : answer;
  try {
    if (encoding) {
      headers.delete("content-encoding");
      headers.delete("content-length");
    }
    if (status !== 200 || !range) return { status, headers, body: await collect(body.read) };
    const length = encoding ? undefined : lengthOf(answer.headers);
    const { from, to } = clip(range, length ?? Infinity);
    const bytes = await collect(body.read, from, to - from);
    if (bytes.length === 0)
      return {
        status: 416,
        headers: new Headers({ "content-range": `bytes */${length ?? "*"}` }),
        body: null,
      };
    setRange(headers, from, from + bytes.length, length);
    return { status: 206, headers, body: bytes };
  } finally {
    if (body !== answer) (body as { close(): void }).close();
  }
}

/** The bytes from `from` on, `most` at most. */
async function collect(
  read: Answer["read"],
  from = 0,
  most = Infinity,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let position = 0;
  let length = 0;
  while (length < most) {
    const chunk = await read();
    if (!chunk) break;
    const useful = chunk.subarray(Math.max(0, from - position)).subarray(0, most - length);
    position += chunk.length;
    length += useful.length;
    chunks.push(useful);
    if (length > LARGEST)
      throw new StreamError("NETWORK", `an answer of more than ${LARGEST} bytes, too much to hold`);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

function clip(range: Range | undefined, size: number): { from: number; to: number } {
  const from = Math.min(range?.from ?? 0, size);
  return { from, to: Math.max(from, Math.min(range?.to ?? Infinity, size)) };
}

function setRange(headers: Headers, from: number, to: number, total: number | undefined): void {
  headers.set("content-range", `bytes ${from}-${to - 1}/${total ?? "*"}`);
  headers.set("content-length", String(to - from));
}

/** One range from a beginning on. Others are left to the server. */
function rangeOf(text: string | undefined): Range | undefined {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(text?.trim() ?? "") ?? [];
  if (first === undefined) return undefined;
  return { from: Number(first), to: last ? Number(last) + 1 : undefined };
}

function bodyOf(body: unknown, url: URL): string | Uint8Array | undefined {
  if (body === undefined || body === null) return undefined;
  if (typeof body === "string" || body instanceof Uint8Array) return body;
  if (body instanceof URLSearchParams) return body.toString();
  throw new StreamError("INTERNAL", `${nameOf(url)}: a request's body must be a string or bytes`);
}

/** Reads when it is read. A generator that is left before its first byte does not notice, so it is told. */
function streamOf(
  bytes: AsyncGenerator<Uint8Array, void, undefined>,
  { done: over, cancel }: { readonly done: () => void; readonly cancel: () => void },
): ReadableStream<Uint8Array> {
  return new ReadableStream(
    {
      async pull(controller) {
        try {
          const { value, done } = await bytes.next();
          if (!done) return controller.enqueue(value);
          controller.close();
        } catch (error) {
          controller.error(error);
        }
        over();
      },
      async cancel() {
        cancel();
        await bytes.return();
      },
    },
    { highWaterMark: 0 },
  );
}
