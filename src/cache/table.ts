import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { openFile } from "../shards/bytes.ts";
import type { Pace } from "../shards/pace.ts";
import { fileOf, PART, TABLE } from "./folder.ts";
import type { Presence } from "./presence.ts";
import { seedOf } from "./record.ts";
import type { Space } from "./space.ts";

/**
 * Numbers of each row of something on this machine, in a file of the cache's folder, so that they need neither be found again nor be held in memory. Little-endian:
 *
 *     32 bytes   magic, CRC-32 of what follows up to the rows, lengths of identity and notes, number of rows, numbers a row (32 bits each), zeros
 *     identity, notes   UTF-8
 *     rows       numbers (float64), CRC-32 of them, which goes on from that of the identity and of the row's number
 */
const HEAD = 32;
const MAGIC = Buffer.from("ssl-r1 t");
const SUM = 4;
/** What is read at once: identity and notes are hardly ever longer. Bytes. */
const FIRST = 4096;
/** Beyond, notes are not kept, nor is the table. Bytes. */
const LONGEST = 1 << 20;
/** Rows of a table: more would be tens of megabytes to be made at once. */
const MOST_ROWS = 1_000_000;

export interface Table {
  readonly rows: number;
  readonly notes: string;
  /** Undefined where its bytes are not what was written. */
  read(row: number): Promise<Float64Array | undefined>;
  close(): Promise<void>;
}

/** `numbers` has `width` for each row. */
export interface TableContent {
  readonly width: number;
  readonly numbers: Float64Array;
  readonly notes: string;
}

function sumOf(record: Buffer, row: number, seed: number): number {
  const number = Buffer.alloc(8);
  number.writeDoubleLE(row);
  return crc32(record, crc32(number, seed));
}

/** Undefined where it is too large to be kept. */
export function packTable(id: string, { width, numbers, notes }: TableContent): Buffer | undefined {
  const [name, told] = [Buffer.from(id), Buffer.from(notes)];
  const rows = numbers.length / width;
  if (rows > MOST_ROWS || name.length + told.length > LONGEST) return undefined;
  const record = width * 8 + SUM;
  const start = HEAD + name.length + told.length;
  const bytes = Buffer.alloc(start + rows * record);
  MAGIC.copy(bytes);
  for (const [at, value] of [name.length, told.length, rows, width].entries())
    bytes.writeUInt32LE(value, 12 + 4 * at);
  name.copy(bytes, HEAD);
  told.copy(bytes, HEAD + name.length);
  bytes.writeUInt32LE(crc32(bytes.subarray(12, start)), 8);
  const seed = seedOf(id);
  for (let row = 0, at = start; row < rows; row++, at += record) {
    for (let column = 0; column < width; column++)
      bytes.writeDoubleLE(numbers[row * width + column]!, at + column * 8);
    const sum = sumOf(bytes.subarray(at, at + width * 8), row, seed);
    bytes.writeUInt32LE(sum, at + width * 8);
  }
  return bytes;
}

/** The table with this identity; undefined where there is none, or none that is whole. Never rejects. */
export async function openTable(
  folder: string,
  id: string,
  width: number,
  pace: Pace,
): Promise<Table | undefined> {
  const file = await openFile(join(folder, fileOf(id) + TABLE), "table", pace).catch(
    () => undefined,
  );
  if (!file) return undefined;
  const read = async (at: number, length: number): Promise<Buffer> => {
    const bytes = await file.read(at, length);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  };
  try {
    let head = await read(0, Math.min(FIRST, file.size));
    const [name, told, rows, columns] = [12, 16, 20, 24].map((at) => head.readUInt32LE(at)) as [
      number,
      number,
      number,
      number,
    ];
    const start = HEAD + name + told;
    const record = width * 8 + SUM;
    const right =
      head.subarray(0, 8).equals(MAGIC) &&
      columns === width &&
      name + told <= LONGEST &&
      file.size === start + rows * record;
    if (right && start > head.length) head = await read(0, start);
    if (
      right &&
      crc32(head.subarray(12, start)) === head.readUInt32LE(8) &&
      head.toString("utf8", HEAD, HEAD + name) === id
    ) {
      const seed = seedOf(id);
      return {
        rows,
        notes: head.toString("utf8", HEAD + name, start),
        async read(row) {
          const bytes = await read(start + row * record, record).catch(() => undefined);
          if (!bytes) return undefined;
          const numbers = bytes.subarray(0, width * 8);
          if (bytes.readUInt32LE(width * 8) !== sumOf(numbers, row, seed)) return undefined;
          return Float64Array.from({ length: width }, (_, at) => numbers.readDoubleLE(at * 8));
        },
        close: () => file.close(),
      };
    }
  } catch {
    // too short, or cannot be read: as if it were not there
  }
  await file.close();
  return undefined;
}

interface KeeperOptions {
  readonly folder: string;
  readonly presence: Presence;
  readonly space: Space;
  readonly signal: AbortSignal;
}

/**
 * Writes tables one after the other, each whole or not at all: the file gets its name when it is complete. A power failure may leave a name without all bytes, which no
 * CRC fits. Room is taken for many at once, since the folder is listed for that.
 */
export function createTableKeeper({
  folder,
  presence,
  space,
  signal,
}: KeeperOptions): (id: string, content: TableContent) => Promise<void> {
  const part = `tables${PART}${presence.me}`;
  let room = 0;
  let turn: Promise<void> = Promise.resolve();

  async function keep(id: string, content: TableContent): Promise<void> {
    const bytes = packTable(id, content);
    if (!bytes || signal.aborted) return;
    // before older ones and what is never needed again, behind all else
    const growing = { shard: "table", file: part, need: Number.MAX_VALUE, signal };
    if (room < bytes.length) room = await space.reserve(growing, bytes.length);
    const path = join(folder, fileOf(id) + TABLE);
    const own = path + PART + presence.me;
    try {
      await writeFile(own, bytes);
      room -= bytes.length;
      await rename(own, path);
    } catch (error) {
      await rm(own, { force: true });
      throw error;
    } finally {
      presence.reserve(part, room);
    }
  }

  // without one nothing is lost but the time to find out again
  return (id, content) => (turn = turn.then(() => keep(id, content)).catch(() => undefined));
}
