import { StreamError } from "../errors.ts";
import { derive, permutation } from "../random/random.ts";
import type { Counts, Deal } from "./deal.ts";
import { createRecent } from "./recent.ts";
import type { Windows } from "./windows.ts";

/** A row, and the shuffled window it was found in. */
export interface Located {
  readonly partition: number;
  /** Ordinal in the plan's entries. */
  readonly entry: number;
  readonly epoch: number;
  /** Number of the window in its epoch. */
  readonly window: number;
  /** Rows of the epoch, for this partition, before the window. */
  readonly start: number;
  /** Rows in the window. */
  readonly rows: number;
  /** Place in the shuffled window, 0 .. rows - 1. */
  readonly offset: number;
  readonly shard: number;
  readonly row: number;
}

/** A position can't be planned yet. Counting more shards never changes an answer that was given. */
export interface NeedsIndex {
  /** Ordinals of shards that certainly have to be counted before the answer is known, in the order in which the epoch reads them. */
  readonly needs: readonly number[];
  /** How many rows of the partition are missing up to the end of the window; a hint of how many more shards, after `needs`, to count ahead. */
  readonly missing: number;
}

export interface RowAt {
  readonly shard: number;
  readonly row: number;
  readonly offset: number;
}

/** Told of every computation that costs more than a few operations, so that tests can count them. */
export interface Watch {
  /** The shards of an epoch were put in order. */
  order?(): void;
  /** The rows of a window were shuffled. */
  window?(): void;
}

export interface Rows {
  /** Rows of a partition, or what must be counted first. */
  total(partition: number): number | NeedsIndex;
  /** `name` is the entry's; it decides the order where every entry has its own. */
  locate(partition: number, entry: number, name: string, position: number): Located | NeedsIndex;
  at(located: Located, name: string, offset: number): RowAt;
  /** Shards of the partition in the order in which the epoch reads them. */
  order(partition: number, epoch: number): Uint32Array;
}

/** One partition's way through one epoch; as far as counts are known, the rows before each shard. */
interface Walk {
  readonly ranks: Uint32Array;
  readonly starts: Float64Array;
  known: number;
}

/** Numbers kept for epochs, and for shuffled windows: 8 and 4 bytes each. */
const keptOrders = 4_000_000;
const keptOffsets = 8_000_000;

export interface RowsOptions {
  readonly seed: number;
  readonly partitions: number;
  readonly deal: "rows" | "shards";
  readonly shared: boolean;
}

export function createRows(
  options: RowsOptions,
  counts: Counts,
  deal: Deal,
  windows: Windows,
  watch: Watch,
): Rows {
  const { seed, partitions, shared } = options;
  const orders = createRecent<Uint32Array>(keptOrders, (order) => order.length);
  const walks = createRecent<Walk>(keptOrders, (walk) => walk.starts.length);
  const shuffles = createRecent<Uint32Array>(keptOffsets, (table) => table.length);
  const totals = Array.from({ length: partitions }, () => ({ place: 0, rows: 0 }));

  function ranks(partition: number, epoch: number): Uint32Array {
    const key = options.deal === "rows" ? `${epoch}` : `${epoch}/${partition}`;
    return orders.get(key, () => {
      watch.order?.();
      const random =
        options.deal === "rows"
          ? derive(seed, "shards", epoch)
          : derive(seed, "shards", epoch, partition);
      return permutation(random, deal.length).map((place) => deal.rank(partition, place));
    });
  }

  function countOf(partition: number, rank: number): number | undefined {
    const rows = counts.rows(deal.shard(rank));
    if (rows === undefined) return undefined;
    if (!(Number.isSafeInteger(rows) && rows >= 0))
      throw new StreamError("INTERNAL", `shard ${deal.shard(rank)} is said to hold ${rows} rows`);
    return deal.count(partition, rank, rows);
  }

  /** The walk, its starts filled as far as the counts go. */
  function walkOf(partition: number, epoch: number): Walk {
    const walk = walks.get(`${epoch}/${partition}`, () => ({
      ranks: ranks(partition, epoch),
      starts: new Float64Array(deal.length + 1),
      known: 0,
    }));
    while (walk.known < deal.length) {
      const rows = countOf(partition, walk.ranks[walk.known]!);
      if (rows === undefined) break;
      walk.starts[walk.known + 1] = walk.starts[walk.known]! + rows;
      walk.known += 1;
    }
    return walk;
  }

  function total(partition: number): number | undefined {
    const sofar = totals[partition]!;
    for (; sofar.place < deal.length; sofar.place++) {
      const rows = countOf(partition, deal.rank(partition, sofar.place));
      if (rows === undefined) return undefined;
      sofar.rows += rows;
    }
    return sofar.rows;
  }

  function uncounted(partition: number, epoch: number): number[] {
    return [...ranks(partition, epoch)]
      .map((rank) => deal.shard(rank))
      .filter((shard) => counts.rows(shard) === undefined);
  }

  function find(walk: Walk, partition: number, x: number, offset: number): RowAt {
    let low = 0;
    let high = walk.known - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (walk.starts[middle]! <= x) low = middle;
      else high = middle - 1;
    }
    const rank = walk.ranks[low]!;
    return {
      shard: deal.shard(rank),
      row: deal.row(partition, rank, x - walk.starts[low]!),
      offset,
    };
  }

  function shuffled(
    span: Pick<Located, "partition" | "epoch" | "window" | "rows">,
    name: string,
  ): Uint32Array {
    const { partition, epoch, window } = span;
    const own = shared ? [] : [name];
    return shuffles.get([epoch, partition, window, ...own].join("/"), () => {
      watch.window?.();
      return permutation(derive(seed, "window", epoch, partition, window, ...own), span.rows);
    });
  }

  function place(
    partition: number,
    entry: number,
    name: string,
    epoch: number,
    row: number,
    end: number,
  ): Located {
    const { window, start, size } = windows.span(epoch, row);
    const span = { partition, entry, epoch, window, start, rows: Math.min(size, end - start) };
    const offset = row - start;
    return {
      ...span,
      ...find(walkOf(partition, epoch), partition, start + shuffled(span, name)[offset]!, offset),
    };
  }

  return {
    total(partition) {
      const rows = total(partition);
      if (rows !== undefined) return rows;
      return { needs: uncounted(partition, 0), missing: 0 };
    },
    locate(partition, entry, name, position) {
      const rows = total(partition);
      if (rows === undefined) {
        // While any shard is uncounted only epoch 0 can be planned, from its beginning as far as the counts reach without a gap.
        const span = windows.span(0, position);
        const walk = walkOf(partition, 0);
        const missing = span.start + span.size - walk.starts[walk.known]!;
        if (missing > 0) return { needs: [deal.shard(walk.ranks[walk.known]!)], missing };
        return place(partition, entry, name, 0, position, Infinity);
      }
      if (rows < fewestRows)
        throw new StreamError(
          "TOO_FEW_ROWS",
          `partition ${partition} holds ${rows} rows; at least ${fewestRows} are needed: use fewer partitions`,
        );
      const epoch = Math.floor(position / rows);
      return place(partition, entry, name, epoch, position - epoch * rows, rows);
    },
    at(located, name, offset) {
      const walk = walkOf(located.partition, located.epoch);
      return find(
        walk,
        located.partition,
        located.start + shuffled(located, name)[offset]!,
        offset,
      );
    },
    order: (partition, epoch) => ranks(partition, epoch).map((rank) => deal.shard(rank)),
  };
}

/** Rows that a partition must hold. */
export const fewestRows = 4;
