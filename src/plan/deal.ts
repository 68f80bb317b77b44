import { derive, permutation } from "../random/random.ts";
import type { SourceShape } from "./sources.ts";

/** How many rows the shards hold; learnt while the stream runs. A count, once known, never changes. */
export interface Counts {
  readonly shards: number;
  /** Rows of a shard, undefined while unknown. */
  rows(shard: number): number | undefined;
  /** Rows of a shard that were counted so far, while `rows` is undefined. Never falls, and the shard holds at least as many. */
  sofar?(shard: number): number;
}

/**
 * Which rows of a source belong to which partition, for the whole stream. A partition's shards are listed in order of their rank; `rank` numbers shards in seeded order.
 * Nothing here depends on counts.
 */
export interface Deal {
  /** Shards of one partition: the same number for all. */
  readonly length: number;
  /** The rank that stands at this place of the partition's list. */
  rank(partition: number, place: number): number;
  /** Ordinal in the catalog. */
  shard(rank: number): number;
  /** Where the shard stands in the partition's list, undefined where it is not of it. */
  place(partition: number, shard: number): number | undefined;
  /** How many of a shard's rows are the partition's. */
  count(partition: number, rank: number, rows: number): number;
  /** The row of the shard that is the partition's x-th of it. */
  row(partition: number, rank: number, x: number): number;
}

export function createDeal(
  seed: number,
  { shards, first: firstShard, deal, own }: Pick<SourceShape, "shards" | "first" | "deal" | "own">,
  partitions: number,
): Deal {
  const dealt = permutation(derive(seed, "deal", ...own), shards);
  /** Whole shards of each partition; ranks from `split` on are shared row by row. */
  const whole = deal === "shards" ? Math.floor(shards / partitions) : 0;
  const split = whole * partitions;
  const ranks = new Uint32Array(shards);
  for (let rank = 0; rank < shards; rank++) ranks[dealt[rank]!] = rank;
  return {
    length: shards - split + whole,
    rank: (partition, place) =>
      place < whole ? partition + partitions * place : split + place - whole,
    shard: (rank) => firstShard + dealt[rank]!,
    place(partition, shard) {
      const rank = ranks[shard - firstShard];
      if (rank === undefined) return undefined;
      if (rank >= split) return whole + rank - split;
      return rank % partitions === partition ? Math.floor(rank / partitions) : undefined;
    },
    count(partition, rank, rows) {
      if (rank < split) return rows;
      const first = (partition + rank) % partitions;
      return rows > first ? Math.floor((rows - 1 - first) / partitions) + 1 : 0;
    },
    row: (partition, rank, x) =>
      rank < split ? x : ((partition + rank) % partitions) + partitions * x,
  };
}

/** Whole shards only where every partition gets so many that unequal ones even out. */
export function defaultDeal(shards: number, partitions: number): "rows" | "shards" {
  return shards < 32 * partitions ? "rows" : "shards";
}

/**
 * The order in which a folder's files, sorted by the UTF-8 bytes of their names, become rows: row r is the file at place order[r]. `source` is the folder's
 * ordinal in a stream of several sources, and must be left out in a stream of one.
 */
export function listingOrder(seed: number, count: number, source?: number): Uint32Array {
  return permutation(derive(seed, "listing", ...(source === undefined ? [] : [source])), count);
}

/** Where a group stands for `split`, 0 <= share < 1. Without the stream's seed: training and evaluation must cut at the same place whatever theirs are. */
export function splitShare(group: string): number {
  return derive(0, "split", group).unit();
}
