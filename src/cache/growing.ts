import { readSync } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { ownRoom, type Room } from "../shards/bytes.ts";
import type { Pace } from "../shards/pace.ts";
import { FILE_HEAD, unpackFileHead, type Rows } from "./file.ts";
import { createOffsets, type Offsets } from "./offsets.ts";
import { codeOf } from "./presence.ts";
import { endsOf, HEAD, seedOf, unpack } from "./record.ts";

/** Up to `length` bytes: fewer where the file ends. */
async function readAt(
  handle: FileHandle,
  pace: Pace,
  at: number,
  length: number,
  room: Room = ownRoom,
): Promise<Uint8Array> {
  const into = room(length);
  let done = 0;
  while (done < length) {
    const from = done;
    const now = pace.now(() => readSync(handle.fd, into, from, length - from, at + from));
    const count = now
      ? now.value
      : (await handle.read(into, from, length - from, at + from)).bytesRead;
    if (count === 0) break;
    done += count;
  }
  return into.subarray(0, done);
}

/** Rows of a file that somebody still writes. */
export function growingRows(
  handle: FileHandle,
  pace: Pace,
  offsets: Offsets,
  id: string,
): Pick<Rows, "read"> {
  const seed = seedOf(id);
  return {
    async read(row, room) {
      const at = offsets.at(row);
      const length = (row + 1 < offsets.rows ? offsets.at(row + 1) : offsets.end) - at;
      return unpack(await readAt(handle, pace, at, length, room), row, seed);
    },
  };
}

/** The part that another process writes. */
export interface Followed extends Rows {
  /** Number of rows where the writer knew it at the beginning. */
  readonly count?: number;
  /** Number of rows that came since the last look; undefined where the part was removed. */
  look(): Promise<number | undefined>;
}

/** Undefined where there is no such part, or nothing in it yet. */
export async function followPart(
  path: string,
  id: string,
  pace: Pace,
): Promise<Followed | undefined> {
  const handle = await open(path, "r").catch((error: unknown) => {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  });
  if (!handle) return undefined;
  const head = unpackFileHead(await readAt(handle, pace, 0, FILE_HEAD), id);
  if (!head) {
    await handle.close();
    return undefined;
  }
  const offsets = createOffsets(FILE_HEAD);
  return {
    ...head,
    ...growingRows(handle, pace, offsets, id),
    async look() {
      const before = offsets.rows;
      const { size, nlink } = await handle.stat();
      if (nlink === 0) return undefined;
      while (offsets.end + HEAD <= size) {
        const record = await readAt(handle, pace, offsets.end, HEAD);
        const ends = endsOf(record, offsets.rows);
        // not there yet, or the index
        if (!ends || offsets.end + ends.image > size) break;
        offsets.push(offsets.end + ends.image);
      }
      return offsets.rows - before;
    },
    close: () => handle.close(),
  };
}
