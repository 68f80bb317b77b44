import { rm } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { StreamError } from "../errors.ts";
import { openFile, type ByteSource, type Room } from "../shards/bytes.ts";
import type { Row } from "../shards/feed.ts";
import type { Notes } from "../shards/notes.ts";
import type { Pace } from "../shards/pace.ts";
import type { Offsets } from "./offsets.ts";
import { codeOf } from "./presence.ts";
import { seedOf, unpack } from "./record.ts";

/**
 * A file of the cache, little-endian:
 *
 *     32 bytes   magic, CRC-32 of what follows here, CRC-32 of the identity, number of rows (float64, -1: not known yet), zeros
 *     records    see record.ts
 *     index      begin of each record and end of the last, float64 each
 *     notes      JSON: what was found beside the rows
 *     identity   UTF-8
 *     36 bytes   lengths of notes and identity, number of rows, begin of the index (float64 each), CRC-32 from the index to here, magic
 */
export const FILE_HEAD = 32;
const FILE_TAIL = 36;
const HEAD_MAGIC = Buffer.from("ssl-r1 1");
const TAIL_MAGIC = Buffer.from("1 1r-lss");

export function packFileHead(id: string, count: number | undefined): Buffer {
  const head = Buffer.alloc(FILE_HEAD);
  HEAD_MAGIC.copy(head);
  head.writeUInt32LE(seedOf(id), 12);
  head.writeDoubleLE(count ?? -1, 16);
  head.writeUInt32LE(crc32(head.subarray(12)), 8);
  return head;
}

/** Number of rows where the head knows it; undefined where it is not that of a file with this identity. */
export function unpackFileHead(
  head: Uint8Array,
  id: string,
): { readonly count?: number } | undefined {
  const buffer = Buffer.from(head.buffer, head.byteOffset, head.length);
  if (buffer.length !== FILE_HEAD || !buffer.subarray(0, 8).equals(HEAD_MAGIC)) return undefined;
  if (buffer.readUInt32LE(8) !== crc32(buffer.subarray(12))) return undefined;
  if (buffer.readUInt32LE(12) !== seedOf(id)) return undefined;
  const count = buffer.readDoubleLE(16);
  return count < 0 ? {} : { count };
}

/** Bytes behind the records, at most; without the notes. */
export function endSize(rows: number, id: string): number {
  return (rows + 1) * 8 + Buffer.byteLength(id) + FILE_TAIL;
}

export function packEnd(offsets: Offsets, notes: Notes, id: string): Buffer {
  const told = Buffer.from(JSON.stringify(notes));
  const index = (offsets.rows + 1) * 8;
  const end = Buffer.alloc(endSize(offsets.rows, id) + told.length);
  for (let row = 0; row <= offsets.rows; row++) end.writeDoubleLE(offsets.at(row), row * 8);
  told.copy(end, index);
  end.write(id, index + told.length);
  const tail = end.length - FILE_TAIL;
  end.writeUInt32LE(told.length, tail);
  end.writeUInt32LE(Buffer.byteLength(id), tail + 4);
  end.writeDoubleLE(offsets.rows, tail + 8);
  end.writeDoubleLE(offsets.end, tail + 16);
  end.writeUInt32LE(crc32(end.subarray(0, tail + 24)), tail + 24);
  TAIL_MAGIC.copy(end, tail + 28);
  return end;
}

/** Rows on disk, whole or growing. */
export interface Rows {
  /** Undefined where its bytes are not what was written. */
  read(row: number, room?: Room): Promise<Row | undefined>;
  close(): Promise<void>;
}

export interface WholeFile extends Rows {
  readonly rows: number;
  readonly notes: Notes;
  readonly id: string;
}

/**
 * A file that was finished; undefined where there is none, or none that is whole. That one is removed. Costs the read of its index; each record is verified
 * when it is read. `id` undefined: whichever it has.
 */
export async function openWhole(
  path: string,
  id: string | undefined,
  shard: string,
  pace: Pace,
): Promise<WholeFile | undefined> {
  const file = await openFile(path, shard, pace).catch((error: unknown) => {
    const { cause } = error as Error;
    if (codeOf(cause) === "ENOENT") return undefined;
    throw new StreamError("CACHE", `${shard}: the cache can't be read: ${codeOf(cause) ?? error}`, {
      cause: error,
      context: { shard },
    });
  });
  if (!file) return undefined;
  try {
    const end = await readEnd(file, id);
    if (end) {
      const { places, notes, id } = end;
      const seed = seedOf(id);
      return {
        rows: places.length - 1,
        notes,
        id,
        async read(row, room) {
          const at = places[row] as number;
          try {
            return unpack(await file.read(at, (places[row + 1] as number) - at, room), row, seed);
          } catch (error) {
            if (error instanceof StreamError && error.code === "SHARD_CORRUPT") return undefined;
            throw error;
          }
        },
        close: () => file.close(),
      };
    }
  } catch (error) {
    if (!(error instanceof StreamError && error.code === "SHARD_CORRUPT")) {
      await file.close();
      throw error;
    }
  }
  await file.close();
  await rm(path, { force: true });
  return undefined;
}

interface End {
  readonly places: Float64Array;
  readonly notes: Notes;
  readonly id: string;
}

async function readEnd(file: ByteSource, wanted: string | undefined): Promise<End | undefined> {
  const { size } = file;
  if (size < FILE_HEAD + FILE_TAIL) return undefined;
  const head = Buffer.from(await file.read(0, FILE_HEAD));
  const tail = Buffer.from(await file.read(size - FILE_TAIL, FILE_TAIL));
  if (!tail.subarray(28).equals(TAIL_MAGIC)) return undefined;
  const [notesLength, idLength] = [tail.readUInt32LE(0), tail.readUInt32LE(4)];
  const [rows, at] = [tail.readDoubleLE(8), tail.readDoubleLE(16)];
  const index = (rows + 1) * 8;
  // so that nothing absurd is allocated
  if (!(at >= FILE_HEAD && at + index + notesLength + idLength + FILE_TAIL === size))
    return undefined;
  const end = Buffer.from(await file.read(at, size - at));
  if (crc32(end.subarray(0, end.length - 12)) !== tail.readUInt32LE(24)) return undefined;
  const text = end.toString("utf8", index, end.length - FILE_TAIL);
  const idText = end.toString("utf8", index + notesLength, end.length - FILE_TAIL);
  if (wanted !== undefined && wanted !== idText) return undefined;
  if (!unpackFileHead(head, idText)) return undefined;
  const notes = JSON.parse(text.slice(0, text.length - idText.length)) as Notes;
  const places = Float64Array.from({ length: rows + 1 }, (_, row) => end.readDoubleLE(row * 8));
  if (places[0] !== FILE_HEAD || places[rows] !== at) return undefined;
  return { places, notes, id: idText };
}
