import { writevSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import type { Row } from "../shards/feed.ts";
import type { Notes } from "../shards/notes.ts";
import type { Pace } from "../shards/pace.ts";
import { endSize, FILE_HEAD, packEnd, packFileHead, type Rows } from "./file.ts";
import { growingRows } from "./growing.ts";
import { createOffsets } from "./offsets.ts";
import { isFull } from "./folder.ts";
import { packHead, seedOf } from "./record.ts";

/** A file of the cache that this store writes: whole and under its own name only when all of it is on the disk. */
export interface Part extends Rows {
  readonly rows: number;
  /** Rejects with what `room` or the system says; what was there before stays readable. */
  append(row: Row): Promise<void>;
  /**
   * Index, footer, then the new name. The data is made durable before the name is, so that a power failure leaves the whole file or none (or, where the disk
   * lies about that, bytes that no CRC fits).
   */
  finish(notes: Notes, path: string): Promise<void>;
  /** Removes the file; rows can be read until close(). */
  remove(): Promise<void>;
}

export interface PartOptions {
  readonly path: string;
  readonly id: string;
  /** Number of rows where it is known. */
  readonly count: number | undefined;
  readonly pace: Pace;
  /** Asked before the file grows to so many bytes. */
  readonly reserve: (bytes: number) => Promise<void> | undefined;
  /** Asked for so many bytes when the disk is full; rejects where there are none. */
  readonly free: (bytes: number, cause: unknown) => Promise<void>;
}

export async function createPart(options: PartOptions): Promise<Part> {
  const { path, id, count, pace, reserve, free } = options;
  const seed = seedOf(id);
  const offsets = createOffsets(FILE_HEAD);
  await reserve(FILE_HEAD + endSize(0, id));
  // ours alone by its name; what an earlier attempt left goes
  const handle = await open(path, "w+");
  let closing: Promise<void> | undefined;

  /** All of it, or an error and nothing: who follows the file takes no half record for a whole one. */
  async function write(parts: readonly Uint8Array[], at: number): Promise<void> {
    let rest = parts.filter(({ length }) => length > 0);
    let place = at;
    while (rest.length > 0) {
      const [from, left] = [place, rest];
      const now = pace.now(() => writevSync(handle.fd, left, from));
      let done = now ? now.value : (await handle.writev(left, from)).bytesWritten;
      place += done;
      while (rest[0] && done >= rest[0].length) {
        done -= rest[0].length;
        rest = rest.slice(1);
      }
      if (rest[0] && done > 0) rest = [rest[0].subarray(done), ...rest.slice(1)];
    }
  }

  async function put(parts: readonly Uint8Array[], at: number): Promise<void> {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    for (;;) {
      try {
        await write(parts, at);
        return;
      } catch (error) {
        await handle.truncate(at);
        if (!isFull(error)) throw error;
        await free(length, error);
      }
    }
  }

  try {
    await put([packFileHead(id, count)], 0);
  } catch (error) {
    await handle.close();
    await rm(path, { force: true });
    throw error;
  }

  return {
    get rows() {
      return offsets.rows;
    },
    ...growingRows(handle, pace, offsets, id),
    async append(row) {
      const head = packHead(row, offsets.rows, seed);
      const at = offsets.end;
      const end = at + head.length + row.bytes.length;
      await reserve(end + endSize(offsets.rows + 1, id));
      await put([head, row.bytes], at);
      offsets.push(end);
    },
    async finish(notes, whole) {
      const end = packEnd(offsets, notes, id);
      await reserve(offsets.end + end.length);
      await put([end], offsets.end);
      await handle.datasync();
      // whole seconds can be set again exactly when the time of use is set: see openFile, which refuses a file whose time changed
      const { mtimeMs } = await handle.stat();
      const seconds = Math.floor(mtimeMs / 1000);
      await handle.utimes(mtimeMs / 1000, seconds);
      await rename(path, whole);
    },
    remove: () => rm(path, { force: true }),
    close: () => (closing ??= handle.close()),
  };
}
