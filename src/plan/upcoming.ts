import type { Rows, Stretch } from "./rows.ts";

/**
 * Which shards a partition needs, and how soon. Distances are in shards along the way of the entry that comes to a shard first, whatever the entries' weights
 * and the shards' sizes are, and take it that the mix stays as it is.
 */
export interface Upcoming {
  /** Ordinals of the shards that the step's windows span, in no particular order. While a window can't be planned: also the shard that must be counted first. */
  readonly now: readonly number[];
  /** The next `count` shards after those, nearest first; fewer where the partition holds no more. */
  next(count: number): number[];
  /** 0 for a shard that is needed now, else its distance; Infinity where the partition never needs it: it holds no row of it, or the last pass is through it. */
  rank(shard: number): number;
}

/** One or more entries that go the same way through the shards of one source. */
export interface Way {
  readonly rows: Rows;
  readonly stretch: Stretch;
  /** How many epochs there are. */
  readonly epochs: number;
}

export function createUpcoming(partition: number, ways: readonly Way[]): Upcoming {
  function shardAt({ rows, stretch, epochs }: Way, place: number): number | undefined {
    const epoch = stretch.epoch + Math.floor(place / rows.length);
    return epoch < epochs ? rows.shard(partition, epoch, place % rows.length) : undefined;
  }

  const now = new Set<number>();
  for (const way of ways) {
    // A stretch of a whole epoch and more has every shard in it.
    const end = Math.min(way.stretch.to, way.stretch.from + 2 * way.rows.length);
    for (let place = way.stretch.from; place <= end; place++) {
      const shard = shardAt(way, place);
      if (shard !== undefined) now.add(shard);
    }
  }

  function distance({ rows, stretch, epochs }: Way, shard: number): number {
    for (let ahead = 0; ahead < 2 && stretch.epoch + ahead < epochs; ahead++) {
      const at = rows.place(partition, stretch.epoch + ahead, shard);
      if (at === undefined) return Infinity;
      const place = ahead * rows.length + at;
      if (place >= stretch.from) return Math.max(0, place - stretch.to);
    }
    return Infinity;
  }

  return {
    now: [...now],
    next(count) {
      const found = new Set<number>();
      // The last of the next epoch is the furthest that a shard can be.
      const furthest = ways.reduce((most, { rows }) => Math.max(most, 2 * rows.length), 0);
      for (let ahead = 1; ahead <= furthest && found.size < count; ahead++) {
        for (const way of ways) {
          if (ahead > 2 * way.rows.length || found.size >= count) continue;
          const shard = shardAt(way, way.stretch.to + ahead);
          if (shard !== undefined && !now.has(shard)) found.add(shard);
        }
      }
      return [...found];
    },
    rank: (shard) => ways.reduce((least, way) => Math.min(least, distance(way, shard)), Infinity),
  };
}
