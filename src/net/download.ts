import { createHash, type Hash } from "node:crypto";
import { StreamError } from "../errors.ts";
import { contextOf, nameOf } from "./address.ts";
import { decoded, encodingOf } from "./decode.ts";
import { createFacts, lengthOf, parseContentRange, parseUnsatisfied, strongEtag } from "./facts.ts";
import type { Known } from "./net.ts";
import type { Answer, Send } from "./send.ts";
import { Setback, Yielded } from "./setback.ts";
import { isPassing, passing, refused } from "./status.ts";
import type { Tries } from "./tries.ts";

export interface DownloadOptions {
  readonly send: Send;
  readonly tries: Tries;
  readonly wall: () => number;
  readonly signal: AbortSignal;
  readonly from?: number;
  /** Exclusive. */
  readonly to?: number | undefined;
  /** Of every request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The answer to the first request, where it is there already. */
  readonly first?: Answer;
}

/** Where an accepted answer's bytes belong. */
interface Part {
  /** Of its first byte. */
  readonly start: number;
  /** Of the byte after its last, where it says that. */
  readonly stop: number | undefined;
  /** Whether the end of the answer is the end of the file. */
  readonly whole: boolean;
  /** Whether a cut can't be taken for its end. */
  readonly framed: boolean;
  readonly body: { read(): Promise<Uint8Array | undefined>; close?(): void };
}

/** Tries in a row without a byte where an address redirected to, after which it is asked itself again: the machine there may be sick. */
const FAITH = 2;

/**
 * Net.download. After a cut the rest is asked for where the address redirected to; after an answer that can't be used (a signed address has expired, a mirror
 * has another file) the address is asked itself again.
 */
export async function* download(
  url: URL,
  known: Known,
  { send, tries, wall, signal, from = 0, to, headers = {}, first }: DownloadOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const facts = createFacts(url, known);
  const wanted = from === 0 && to === undefined ? known.sha256 : undefined;
  let sum = wanted === undefined ? undefined : createHash("sha256");
  /** Of the next byte to hand out. */
  let at = from;
  let ranges = true;
  let ended = false;
  let refusals = 0;
  /** Where the address redirected to. */
  let place: URL | undefined;
  /** Whether what came from there was in order as far as it came. */
  let sound = true;
  let vain = 0;
  /** Where a connection closed that had not said how much would come. */
  let closedAt: number | undefined;

  const corrupt = (reason: string): StreamError =>
    new StreamError("SHARD_CORRUPT", `${nameOf(url)}: ${reason}`, {
      context: { ...contextOf(url), shard: nameOf(url) },
    });

  const end = (): number => Math.min(to ?? Infinity, facts.size ?? Infinity);

  function rangeHeaders(): Record<string, string> {
    if (!ranges || (at === 0 && to === undefined)) return {};
    const range = `bytes=${at}-${to === undefined ? "" : to - 1}`;
    // of a file of which nothing was handed out any version will do
    return facts.validator === undefined || at === from
      ? { range }
      : { range, "if-range": facts.validator };
  }

  function accept(answer: Answer, asked: boolean, direct: boolean): Part | undefined {
    const { status } = answer;
    if (isPassing(status)) throw passing(answer, wall());
    sound = false;
    const encoding = encodingOf(answer.headers);
    const length = lengthOf(answer.headers);
    const framed = length !== undefined || answer.headers.has("transfer-encoding");
    if (status === 206) {
      const part = parseContentRange(answer.headers.get("content-range"));
      const fits =
        asked &&
        part?.from === at &&
        part.to <= (to ?? Infinity) &&
        (length ?? part.to - at) === part.to - at;
      if (!fits || (encoding !== undefined && known.size === undefined)) {
        const said = answer.headers.get("content-range") ?? "nothing";
        return void slip(`asked for bytes from ${at}, the answer's Content-Range is ${said}`);
      }
      facts.learn(answer, part.total);
      return { start: at, stop: part.to, whole: false, framed: true, body: answer };
    }
    if (status === 416 && asked) {
      const total = parseUnsatisfied(answer.headers.get("content-range"));
      if (total === undefined || total > at) slip("the range was refused");
      facts.learn(answer, total);
      if (total !== at) facts.doubt(`it ends at byte ${total}, bytes from ${at} were asked for`);
      return undefined;
    }
    if (status === 416) throw new Setback("a range was refused that nobody asked for");
    if (status === 200) {
      // a compressed file of the size that is known, named as encoded by mistake
      const plain = encoding === undefined || (length !== undefined && length === known.size);
      facts.learn(answer, plain ? length : undefined);
      if (!plain) ranges = false;
      return {
        start: 0,
        stop: plain ? length : undefined,
        whole: true,
        framed: framed || !plain,
        body: plain ? answer : decoded(answer.read, encoding),
      };
    }
    if (direct) throw new Setback(refused(url, answer).message);
    // a signed address may have expired between the redirect and its use
    if (answer.elsewhere && (status === 401 || status === 403)) {
      const error = refused(url, answer);
      if (refusals++ === 0) throw new Setback(error.message);
    }
    throw refused(url, answer);
  }
  /** A server that gets ranges wrong is asked without them the next time. */
  function slip(reason: string): never {
    ranges = false;
    throw new Setback(reason);
  }

  async function* attempt(given: Answer | undefined): AsyncGenerator<Uint8Array, void, undefined> {
    const extra = rangeHeaders();
    const direct = place !== undefined;
    sound = true;
    const answer =
      given ??
      (await send({
        method: "GET",
        url,
        headers: { ...headers, "accept-encoding": "identity", ...extra },
        signal,
        place,
        moved: (to) => void (place = to),
        started: tries.started,
      }));
    let part: Part | undefined;
    try {
      part = accept(answer, "range" in extra, direct);
      if (!part) {
        facts.measured(at);
        ended = true;
        return;
      }
      let position = part.start;
      if (at === from && !facts.strong) sum ??= createHash("sha256");
      const again = position < at ? repeated(answer) : undefined;
      for (;;) {
        const chunk = await part.body.read();
        if (!chunk) break;
        const useful = chunk.subarray(Math.max(0, at - position), Math.max(0, end() - position));
        again?.(chunk, position);
        position += chunk.length;
        if (useful.length > 0) {
          at += useful.length;
          sum?.update(useful);
          facts.trust();
          tries.progress();
          sound = true;
          vain = 0;
          yield useful;
          tries.started();
        }
        if (facts.size !== undefined && position > facts.size)
          throw corrupt(`the file has changed: its size was ${facts.size} and is more now`);
        if (to !== undefined && at >= to && position !== part.stop) return;
      }
      finish(part, position);
    } finally {
      answer.leave();
      part?.body.close?.();
    }
  }

  /** Compares the bytes that come once more with those that were handed out, where no ETag vouches for them. */
  function repeated(answer: Answer): ((chunk: Uint8Array, position: number) => void) | undefined {
    if (at === from) return undefined;
    if (facts.strong) {
      if (strongEtag(answer.headers.get("etag")) === undefined)
        facts.doubt("the file may have changed: it had an ETag and has none now");
      return undefined;
    }
    const until = at;
    const before = sum?.copy().digest("hex");
    let now: Hash | undefined = createHash("sha256");
    return (chunk, position) => {
      now?.update(chunk.subarray(Math.max(0, from - position), Math.max(0, until - position)));
      if (!now || position + chunk.length < until) return;
      if (now.digest("hex") !== before)
        facts.doubt(`the file has changed: its bytes from ${from} to ${until} are others now`);
      now = undefined;
    };
  }

  /** The answer came to its end. */
  function finish(part: Part, position: number): void {
    if (!part.whole) {
      if (position !== part.stop) throw new Setback("the connection was closed early");
      return;
    }
    if (!part.framed && (position === 0 || position !== (facts.size ?? closedAt))) {
      closedAt = position;
      throw new Setback("the connection was closed, and the answer had not said its length");
    }
    if (position < at || facts.size !== undefined)
      if (position !== facts.size)
        facts.doubt(
          `the file ended at byte ${position}, ${facts.size === undefined ? `${at} bytes came before` : `its size is ${facts.size}`}`,
        );
    facts.measured(position);
    ended = true;
  }

  let given = first;
  while (!ended && at < end()) {
    try {
      yield* attempt(given);
    } catch (error) {
      if (!(error instanceof Yielded)) {
        if (!(error instanceof Setback)) throw error;
        if (!sound || ++vain > FAITH) {
          place = undefined;
          vain = 0;
        }
        await tries.failed(error, signal);
      }
    }
    given = undefined;
  }
  const digest = wanted === undefined ? undefined : sum?.digest("hex");
  if (digest !== wanted?.toLowerCase())
    throw corrupt(`its sha256 is ${digest}, ${wanted} was expected`);
  const short = facts.size !== undefined && facts.size < from;
  if (short || at < (to ?? from))
    throw corrupt(
      `it ends at byte ${facts.size ?? at}, bytes ${from} to ${to ?? "its end"} were asked for`,
    );
}
