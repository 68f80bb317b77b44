import type { Known, Net } from "../net/net.ts";
import { changed, closed, ownRoom, type ByteSource } from "../shards/bytes.ts";

/** Bytes that cost less to be received and dropped than another request does. */
const GAP = 4 << 20;
/** Bytes asked for where something was left out; twice as many each time that nothing is. */
const PROBE = 1 << 15;
/** Requests of this length and above are for all the rest. */
const LONGEST_PROBE = 8 << 20;
/** Bytes that are read to the end of an answer, so that its connection can be used again. */
const REST = 1 << 18;

const none = new Uint8Array(0);

/** A file elsewhere, read from its beginning to its end with parts left out. */
export interface SparseBytes extends ByteSource {
  /** Where nothing was left out and the hash of the whole is known, compares it. Rejects SHARD_CORRUPT. */
  finish(): Promise<void>;
}

export interface SparseOptions {
  readonly url: string;
  readonly known: Known;
  /** Whether the server gives parts. */
  readonly ranges: boolean;
  /** Bytes. */
  readonly size: number;
  readonly signal: AbortSignal;
}

/**
 * Reads must go on from where the last one began, or later. One request as long as little is left out; where more is (the contents of large members)
 * what follows is asked for by range. Rejects as Net.download does.
 */
export function sparseBytes(
  net: Net,
  name: string,
  { url, known, ranges, size, signal }: SparseOptions,
): SparseBytes {
  let chunks: AsyncIterator<Uint8Array> | undefined;
  /** What was received and is to be read next, its place in the file, and where the answer ends. */
  let held: Uint8Array = none;
  let position = 0;
  let end = 0;
  let probe = size;
  /** What was read last: headers are looked at twice where they lie across the end of a read. */
  let last = { at: 0, bytes: none as Uint8Array };
  let open = true;

  async function request(at: number): Promise<void> {
    await leave();
    end = probe < LONGEST_PROBE ? Math.min(size, at + probe) : size;
    probe *= 2;
    position = at;
    const part = { ...(at > 0 && { from: at }), ...(end < size && { to: end }) };
    chunks = net.download(url, known, { ...part, signal })[Symbol.asyncIterator]();
  }

  async function leave(): Promise<void> {
    const left = chunks;
    if (!left) return;
    chunks = undefined;
    if (end - position - held.length <= REST) while (!(await left.next()).done);
    await left.return?.();
    held = none;
  }

  /** The next bytes, at most `most`, at least one. */
  async function piece(most: number): Promise<Uint8Array> {
    while (held.length === 0) {
      if (!chunks || position === end) await request(position);
      const { done, value } = await chunks!.next();
      if (done && position !== end) throw changed(name, position);
      held = done ? none : value;
    }
    const found = held.subarray(0, most);
    held = held.subarray(found.length);
    position += found.length;
    return found;
  }

  async function go(at: number): Promise<void> {
    const gap = at - position;
    if (gap === 0) return;
    if (gap < 0 || (gap > GAP && ranges)) {
      probe = PROBE;
      await request(at);
    } else while (position < at) await piece(at - position);
  }

  return {
    size,
    async read(at, length, room = ownRoom) {
      if (!open) throw closed(name);
      const into = room(length);
      const again = at - last.at;
      let done = 0;
      if (again >= 0 && again <= last.bytes.length) {
        const seen = last.bytes.subarray(again, again + length);
        into.set(seen);
        done = seen.length;
      }
      if (done < length) await go(at + done);
      while (done < length) {
        const found = await piece(length - done);
        into.set(found, done);
        done += found.length;
      }
      last = { at, bytes: into };
      return into;
    },
    async finish() {
      if (position === size) await leave();
    },
    async close() {
      open = false;
      const left = chunks;
      chunks = undefined;
      await left?.return?.();
    },
  };
}
