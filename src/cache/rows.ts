import { ownRoom, type Room } from "../shards/bytes.ts";
import type { Row } from "../shards/feed.ts";
import type { Block, Pool } from "./chunks.ts";
import { createOffsets } from "./offsets.ts";
import { endsOf, HEAD, packHead, stringsOf } from "./record.ts";

/** Rows in memory, one behind the other. */
export interface MemoryRows {
  readonly rows: number;
  /** Bytes. */
  readonly size: number;
  /** False where the pool has no room. */
  append(row: Row): boolean;
  read(row: number, room?: Room): Row;
  free(): void;
}

export function createMemoryRows(pool: Pool): MemoryRows {
  const block: Block = pool.block();
  const offsets = createOffsets(0);
  return {
    get rows() {
      return offsets.rows;
    },
    get size() {
      return block.size;
    },
    append(row) {
      if (!block.append([packHead(row, offsets.rows), row.bytes])) return false;
      offsets.push(block.size);
      return true;
    },
    read(row, room = ownRoom) {
      const at = offsets.at(row);
      const head = new Uint8Array(HEAD);
      block.read(at, head);
      const ends = endsOf(head, row);
      if (!ends) throw new Error(`row ${row} is not where it was put`);
      const strings = new Uint8Array(ends.name);
      block.read(at, strings);
      const bytes = room(ends.image - ends.name);
      block.read(at + ends.name, bytes);
      return { ...stringsOf(strings, ends), bytes };
    },
    free: () => block.free(),
  };
}
