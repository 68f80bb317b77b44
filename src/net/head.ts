import { lengthOf, parseContentRange, parseUnsatisfied, strongEtag } from "./facts.ts";
import type { Head } from "./net.ts";
import type { Answer, Send } from "./send.ts";
import { Setback, Yielded } from "./setback.ts";
import { isPassing, passing, refused } from "./status.ts";
import type { Tries } from "./tries.ts";

export interface HeadOptions {
  readonly send: Send;
  readonly tries: Tries;
  readonly wall: () => number;
  readonly signal: AbortSignal;
}

/** Net.head. A redirect that tells size and ETag is not followed; who knows no HEAD (or signed an address for GET) is asked for the first byte. */
export async function head(url: URL, { send, tries, wall, signal }: HeadOptions): Promise<Head> {
  let method = "HEAD";
  for (;;) {
    try {
      const answer = await send({
        method,
        url,
        headers: {
          "accept-encoding": "identity",
          ...(method === "GET" && { range: "bytes=0-0" }),
        },
        signal,
        linked: true,
        started: tries.started,
      });
      try {
        if (isPassing(answer.status)) throw passing(answer, wall());
        const found = headOf(answer, method);
        if (found) return found;
        const { status } = answer;
        const unknown = status === 405 || status === 501;
        if (method === "GET" || !(unknown || (answer.elsewhere && status === 403)))
          throw refused(url, answer);
        method = "GET";
      } finally {
        answer.leave();
      }
    } catch (error) {
      if (error instanceof Yielded) continue;
      if (!(error instanceof Setback)) throw error;
      await tries.failed(error, signal);
    }
  }
}

function headOf({ status, headers, linked }: Answer, method: string): Head | undefined {
  const etag = strongEtag(linked.etag) ?? strongEtag(headers.get("etag"));
  const give = (size: number | undefined, ranges: boolean): Head => ({
    ...(size !== undefined && { size }),
    ...(etag !== undefined && { etag }),
    ranges,
  });
  const accepts = headers.get("accept-ranges");
  if (linked.size !== undefined && status < 400) return give(linked.size, accepts !== "none");
  if (status === 206) {
    const part = parseContentRange(headers.get("content-range"));
    return give(part?.total, part !== undefined);
  }
  // the first byte of an empty file
  if (status === 416 && method === "GET")
    return give(parseUnsatisfied(headers.get("content-range")), true);
  if (status !== 200) return undefined;
  const encoded = headers.has("content-encoding");
  return give(encoded ? undefined : lengthOf(headers), accepts === "bytes" && method === "HEAD");
}
