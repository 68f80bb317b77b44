import { StreamError } from "../errors.ts";
import { contextOf, nameOf } from "./address.ts";
import type { Known } from "./net.ts";
import type { Answer } from "./send.ts";
import { Setback } from "./setback.ts";

/** `Content-Range: bytes 5-9/20`; `total` is undefined where the server says `*`. */
export interface ContentRange {
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
  readonly total: number | undefined;
}

export function parseContentRange(text: string | undefined): ContentRange | undefined {
  const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/i.exec(text?.trim() ?? "") ?? [];
  if (first === undefined || last === undefined || Number(last) < Number(first)) return undefined;
  return {
    from: Number(first),
    to: Number(last) + 1,
    total: total === "*" ? undefined : Number(total),
  };
}

/** The whole size in the answer to a range that lies beyond it: `bytes *\/20`. */
export function parseUnsatisfied(text: string | undefined): number | undefined {
  const [, total] = /^bytes \*\/(\d+)$/i.exec(text?.trim() ?? "") ?? [];
  return total === undefined ? undefined : Number(total);
}

/** A strong ETag as it stands in the header; weak ones say nothing of bytes. */
export function strongEtag(text: string | undefined): string | undefined {
  const etag = text?.trim();
  return etag === undefined || etag === "" || etag.startsWith("W/") ? undefined : etag;
}

/** Bytes of the body as it is sent. */
export function lengthOf(headers: ReadonlyMap<string, string>): number | undefined {
  const text = headers.get("content-length");
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

/** What is known of a file and what its server said of it; what it says later must agree. */
export interface Facts {
  readonly size: number | undefined;
  /** What makes the answer to a range one of the same file: a strong ETag, else a date of change. Undefined where the server gives neither. */
  readonly validator: string | undefined;
  /** Whether it is an ETag. */
  readonly strong: boolean;
  /** Takes what an answer says of the whole file. `size` where it tells that. */
  learn(answer: Answer, size: number | undefined): void;
  /** The size was found out by reading to the end. */
  measured(size: number): void;
  /**
   * Something is not as it was. What a server says once may be a slip, of it or of one of its replicas: that is a Setback. Said twice in a row it is the file
   * that has changed: SHARD_CORRUPT.
   */
  doubt(what: string): never;
  /** The last answer was in order. */
  trust(): void;
}

export function createFacts(url: URL, known: Known): Facts {
  let size = known.size;
  let etag: string | undefined;
  let modified: string | undefined;
  let doubted: string | undefined;

  function doubt(what: string): never {
    if (doubted !== what) {
      doubted = what;
      throw new Setback(what);
    }
    throw new StreamError("SHARD_CORRUPT", `${nameOf(url)}: ${what}`, {
      context: { ...contextOf(url), shard: nameOf(url) },
    });
  }

  function agree<T>(what: string, was: T | undefined, is: T | undefined): void {
    if (was !== undefined && is !== undefined && bare(was) !== bare(is))
      doubt(`the file has changed: its ${what} was ${was} and is ${is} now`);
  }

  return {
    get size() {
      return size;
    },
    get strong() {
      return etag !== undefined;
    },
    get validator() {
      return etag ?? modified;
    },
    learn(answer, told) {
      const here = strongEtag(answer.headers.get("etag"));
      agree("ETag", known.etag, strongEtag(answer.linked.etag) ?? here);
      agree("ETag", etag, here);
      if (etag === undefined) agree("date", modified, answer.headers.get("last-modified"));
      agree("size", size, answer.linked.size);
      agree("size", size ?? answer.linked.size, told);
      size ??= told ?? answer.linked.size;
      etag ??= here;
      modified ??= answer.headers.get("last-modified");
    },
    measured(now) {
      agree("size", size, now);
      size = now;
    },
    doubt,
    trust() {
      doubted = undefined;
    },
  };
}

/** ETags are known with and without their quotes. */
function bare(value: unknown): unknown {
  return typeof value === "string" ? value.replace(/^"(.*)"$/, "$1") : value;
}
