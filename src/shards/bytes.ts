import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { open } from "node:fs/promises";
import { StreamError } from "../errors.ts";
import { createPace, type Pace } from "./pace.ts";

/** Gives memory of exactly this many bytes, to read into. */
export type Room = (length: number) => Uint8Array;

export const ownRoom: Room = (length) => new Uint8Array(length);

/** The seam between a shard and where its bytes are. */
export interface ByteSource {
  /** Bytes. */
  readonly size: number;
  /** Exactly `length` bytes from `at`, in memory of their own or in that of `room`; rejects where there are fewer. */
  read(at: number, length: number, room?: Room): Promise<Uint8Array>;
  /** Idempotent. Reads after it reject with CLOSED. */
  close(): Promise<void>;
}

export interface File extends ByteSource {
  /** Modification time, milliseconds. */
  readonly time: number;
  /** Its number in the file system. */
  readonly inode: number;
}

/** A local file, opened once. `shard` is its logical name, for messages. Rejects SOURCE_NOT_FOUND. */
export async function openFile(
  path: string,
  shard: string,
  pace: Pace = createPace(),
): Promise<File> {
  const handle = await open(path, "r").catch((cause: unknown) => {
    throw new StreamError("SOURCE_NOT_FOUND", `${shard}: can't be opened: ${reasonOf(cause)}`, {
      cause,
      context: { shard },
    });
  });
  const { size, mtimeMs, ino } = await handle.stat();
  let closing: Promise<void> | undefined;
  return {
    size,
    time: mtimeMs,
    inode: ino,
    async read(at, length, room = ownRoom) {
      if (closing) throw closed(shard);
      checkRange(shard, size, at, length);
      const into = room(length);
      let done = 0;
      try {
        while (done < length) {
          const from = done;
          const rest = (): [Uint8Array, number, number, number] => [
            into,
            from,
            length - from,
            at + from,
          ];
          const now = pace.now(() => readSync(handle.fd, ...rest()));
          const count = now ? now.value : (await handle.read(...rest())).bytesRead;
          if (count === 0) break;
          done += count;
        }
      } catch (cause) {
        throw new StreamError(
          "SHARD_CORRUPT",
          `${shard}: can't be read at byte ${at + done}: ${reasonOf(cause)}`,
          { cause, context: { shard, offset: at + done } },
        );
      }
      if (closing) throw closed(shard);
      // after the read, so that no byte of another version gets through; costs 2 microseconds
      const now = fstatSync(handle.fd);
      if (now.size !== size || now.mtimeMs !== mtimeMs || done < length) throw changed(shard, at);
      return into;
    },
    close: () => (closing ??= handle.close()),
  };
}

/** A whole small file whose size and time are known. Rejects SHARD_CORRUPT where they are others now, and with what the system says. */
export async function readFile(
  path: string,
  shard: string,
  known: { readonly size: number; readonly time: number },
  pace: Pace,
  room: Room = ownRoom,
): Promise<Uint8Array> {
  const now = pace.now(() => {
    const fd = openSync(path, "r");
    try {
      const { size, mtimeMs } = fstatSync(fd);
      if (size !== known.size || mtimeMs !== known.time) throw changed(shard);
      const into = room(size);
      let done = 0;
      for (let count = -1; count !== 0 && done < size; done += count)
        count = readSync(fd, into, done, size - done, done);
      const after = fstatSync(fd);
      if (after.size !== size || after.mtimeMs !== mtimeMs || done < size) throw changed(shard);
      return into;
    } finally {
      closeSync(fd);
    }
  });
  if (now) return now.value;
  const file = await openFile(path, shard, pace);
  try {
    if (file.size !== known.size || file.time !== known.time) throw changed(shard);
    return await file.read(0, known.size, room);
  } finally {
    await file.close();
  }
}

/** Bytes in memory. */
export function fromBytes(bytes: Uint8Array, shard: string): ByteSource {
  let open = true;
  return {
    size: bytes.length,
    async read(at, length, room = ownRoom) {
      if (!open) throw closed(shard);
      checkRange(shard, bytes.length, at, length);
      const into = room(length);
      into.set(bytes.subarray(at, at + length));
      return into;
    },
    async close() {
      open = false;
    },
  };
}

export function changed(shard: string, offset?: number): StreamError {
  return new StreamError("SHARD_CORRUPT", `${shard}: changed while in use`, {
    context: { shard, ...(offset === undefined ? {} : { offset }) },
  });
}

export function closed(shard: string): StreamError {
  return new StreamError("CLOSED", `${shard}: read after close`, { context: { shard } });
}

/** What the operating system says, without the path: it may be one of this machine. */
export function reasonOf(cause: unknown): string {
  if (cause instanceof Error && "code" in cause && typeof cause.code === "string")
    return cause.code;
  return cause instanceof Error ? cause.message : String(cause);
}

function checkRange(shard: string, size: number, at: number, length: number): void {
  if (at >= 0 && length >= 0 && at + length <= size) return;
  throw new StreamError(
    "SHARD_CORRUPT",
    `${shard}: ends at byte ${size}, ${length} bytes wanted from byte ${at}`,
    {
      context: { shard, offset: at },
    },
  );
}
