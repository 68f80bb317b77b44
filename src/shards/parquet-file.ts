import { open, stat, type FileHandle } from "node:fs/promises";
import { checkAborted } from "../abort.ts";
import { StreamError } from "../errors.ts";
import { changed, reasonOf } from "./bytes.ts";

/** The seam between a Parquet file and where its bytes are: src/net has them behind a URL. */
export interface RandomBytes {
  /** Bytes. */
  readonly size: number;
  /** Exactly the bytes from `from` up to `to` (exclusive). */
  read(from: number, to: number, signal: AbortSignal): Promise<Uint8Array>;
  /** The same in pieces of any size, in one request. The consumer's pace is the pace of reading; breaking off closes everything. */
  stream(from: number, to: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

const PIECE = 1 << 20;

/** A local file, open only while it is read. `shard` is its logical name, for messages. Rejects SOURCE_NOT_FOUND; SHARD_CORRUPT where it changes. */
export async function fileBytes(path: string, shard: string): Promise<RandomBytes> {
  const known = await stat(path).catch((cause: unknown) => {
    throw new StreamError("SOURCE_NOT_FOUND", `${shard}: can't be opened: ${reasonOf(cause)}`, {
      cause,
      context: { shard },
    });
  });

  async function opened(): Promise<FileHandle> {
    try {
      return await open(path, "r");
    } catch (cause) {
      throw unreadable(cause, 0);
    }
  }

  function unreadable(cause: unknown, offset: number): StreamError {
    return new StreamError(
      "SHARD_CORRUPT",
      `${shard}: can't be read at byte ${offset}: ${reasonOf(cause)}`,
      { cause, context: { shard, offset } },
    );
  }

  async function fill(handle: FileHandle, at: number, into: Uint8Array): Promise<void> {
    for (let done = 0; done < into.length;) {
      const rest = into.length - done;
      const { bytesRead } = await handle
        .read(into, done, rest, at + done)
        .catch((cause: unknown) => {
          throw unreadable(cause, at + done);
        });
      if (bytesRead === 0) throw changed(shard, at + done);
      done += bytesRead;
    }
    const now = await handle.stat();
    if (now.size !== known.size || now.mtimeMs !== known.mtimeMs) throw changed(shard, at);
  }

  return {
    size: known.size,
    async read(from, to, signal) {
      checkAborted(signal);
      const handle = await opened();
      try {
        const into = new Uint8Array(to - from);
        await fill(handle, from, into);
        return into;
      } finally {
        await handle.close();
      }
    },
    async *stream(from, to, signal) {
      const handle = await opened();
      try {
        for (let at = from; at < to; at += PIECE) {
          checkAborted(signal);
          const piece = new Uint8Array(Math.min(PIECE, to - at));
          await fill(handle, at, piece);
          yield piece;
        }
      } finally {
        await handle.close();
      }
    },
  };
}

/** Bytes in memory. */
export function heldBytes(bytes: Uint8Array): RandomBytes {
  return {
    size: bytes.length,
    read: (from, to) => Promise.resolve(bytes.subarray(from, to)),
    async *stream(from, to) {
      yield bytes.subarray(from, to);
    },
  };
}

/** Bytes that come in order, taken in pieces of any length. */
export interface Pull {
  /** Offset of the next byte in the file. */
  readonly at: number;
  /** The next `length` bytes without taking them; perhaps a view. Rejects SHARD_CORRUPT where there are fewer. */
  peek(length: number): Promise<Uint8Array>;
  /** As peek, and takes them. */
  take(length: number): Promise<Uint8Array>;
  /** The next bytes as a pull of their own; they fill `into`. */
  hold(into: Uint8Array): Promise<Pull>;
  /** Steps over what comes before `offset`. */
  skipTo(offset: number): Promise<void>;
  close(): Promise<void>;
}

export function createPull(shard: string, from: number, pieces: AsyncIterable<Uint8Array>): Pull {
  const iterator = pieces[Symbol.asyncIterator]();
  let held: Uint8Array[] = [];
  let length = 0;
  let at = from;
  let over = false;

  /** Whether there are that many bytes. */
  async function gather(wanted: number): Promise<boolean> {
    while (length < wanted) {
      const next = await iterator.next();
      if (next.done === true) {
        over = true;
        return false;
      }
      if (next.value.length > 0) held.push(next.value);
      length += next.value.length;
    }
    return true;
  }

  function joined(wanted: number): Uint8Array {
    const first = held[0] ?? new Uint8Array(0);
    if (first.length >= wanted) return first.subarray(0, wanted);
    const into = new Uint8Array(wanted);
    let done = 0;
    for (const piece of held) {
      into.set(piece.subarray(0, wanted - done), done);
      done += Math.min(piece.length, wanted - done);
      if (done === wanted) break;
    }
    return into;
  }

  function drop(count: number): void {
    at += count;
    length -= count;
    let rest = count;
    let whole = 0;
    while (rest > 0 && rest >= (held[whole]?.length ?? 0)) rest -= held[whole++]?.length ?? 0;
    held = held.slice(whole);
    if (rest > 0) held[0] = (held[0] as Uint8Array).subarray(rest);
  }

  function short(): StreamError {
    const offset = at + length;
    return new StreamError("SHARD_CORRUPT", `${shard}: the bytes end early at byte ${offset}`, {
      context: { shard, offset },
    });
  }

  return {
    get at() {
      return at;
    },
    async peek(wanted) {
      if (!(await gather(wanted))) throw short();
      return joined(wanted);
    },
    async take(wanted) {
      if (!(await gather(wanted))) throw short();
      const bytes = joined(wanted);
      drop(wanted);
      return bytes;
    },
    async hold(into) {
      const from = at;
      const wanted = into.length;
      while (at < from + wanted) {
        if (length === 0 && !(await gather(1))) throw short();
        const piece = (held[0] as Uint8Array).subarray(0, from + wanted - at);
        into.set(piece, at - from);
        drop(piece.length);
      }
      return createPull(
        shard,
        from,
        heldBytes(into).stream(0, wanted, new AbortController().signal),
      );
    },
    async skipTo(offset) {
      while (at < offset) {
        if (length === 0 && !(await gather(1))) throw short();
        drop(Math.min(length, offset - at));
      }
    },
    async close() {
      held = [];
      length = 0;
      if (!over) await iterator.return?.();
    },
  };
}
