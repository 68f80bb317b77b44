import { StreamError } from "../errors.ts";
import { derive, permutation } from "../random/random.ts";
import type { Counts, Deal } from "./deal.ts";
import { createRecent } from "./recent.ts";
import type { SourceShape } from "./sources.ts";
import type { Windows } from "./windows.ts";

/** A row, and the shuffled window it was found in. */
export interface Located {
  readonly partition: number;
  /** Ordinal in the plan's entries. */
  readonly entry: number;
  /** Ordinal in the plan's sources; epoch and window are those of the source. */
  readonly source: number;
  readonly epoch: number;
  /** Number of the window in its epoch. */
  readonly window: number;
  /** Rows of the epoch, for this partition, before the window. */
  readonly start: number;
  /** Rows in the window. */
  readonly rows: number;
  /** Place in the shuffled window, 0 .. rows - 1. */
  readonly offset: number;
  /** Ordinal in the catalog. */
  readonly shard: number;
  readonly row: number;
}

/** A position can't be planned yet. Counting more shards never changes an answer that was given. */
export interface NeedsIndex {
  /** Ordinals of shards that certainly have to be counted before the answer is known, in the order in which the epoch reads them. */
  readonly needs: readonly number[];
  /** How many rows of the partition are missing up to the end of the window; a hint of how many more shards, after `needs`, to count ahead. 0 where all are needed. */
  readonly missing: number;
  /** How many rows of shard `needs[0]` must have been counted before an answer is possible, unless it ends before: then ask again, too. Infinity where only its end helps. */
  readonly rows: number;
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

/** Where positions that follow one another read: places in the order of their epochs' shards. */
export interface Stretch {
  /** Of the first position; while it can't be known, 0. */
  readonly epoch: number;
  /** Place, in the order of that epoch, of the first shard of the first position's window. */
  readonly from: number;
  /** Place of the last shard of the last position's window; in a later epoch it goes on after the shards of the epochs before. */
  readonly to: number;
}

/** The rows of one source. */
export interface Rows {
  /** Rows of a partition, or what must be counted first. */
  total(partition: number): number | NeedsIndex;
  /** `name` is the entry's; it decides the order where every entry has its own. */
  locate(partition: number, entry: number, name: string, position: number): Located | NeedsIndex;
  at(located: Located, name: string, offset: number): RowAt;
  /** Shards of the partition in the order in which the epoch reads them. */
  order(partition: number, epoch: number): Uint32Array;
  /** Number of shards in such an order, the same for every partition and epoch. */
  readonly length: number;
  /** The shard at a place of the order; undefined where the partition is known to hold no row of it. */
  shard(partition: number, epoch: number, place: number): number | undefined;
  /** Where the shard stands in the order; undefined where the partition holds none of it, or is known to hold no row. */
  place(partition: number, epoch: number, shard: number): number | undefined;
  /** Shards that the windows of the positions span; those that can't be planned yet are taken to wait for the first shard that must be counted. */
  stretch(partition: number, first: number, last: number): Stretch;
}

/** One partition's way through one epoch; as far as counts are known, the rows before each shard, or before each so many-th where there are many. */
interface Walk {
  readonly ranks: Uint32Array;
  /** Rows before place at * stride. */
  readonly starts: Float64Array;
  /** Places whose shards are counted, and the rows before the next. */
  known: number;
  rows: number;
}

/** Numbers kept for shuffled windows: 4 bytes each. */
const keptOffsets = 8_000_000;
/** Places from one start that is kept to the next, at most: they are counted anew for every row that is looked up. */
const longestStride = 64;

interface Shuffled {
  readonly name: string;
  readonly partition: number;
  readonly epoch: number;
  readonly window: number;
  readonly table: Uint32Array;
}

export interface RowsOptions {
  readonly seed: number;
  readonly partitions: number;
  readonly source: SourceShape;
  readonly shared: boolean;
  /** Numbers kept for epochs, 8 and 4 bytes each. Default 4,000,000. */
  readonly kept?: number;
}

export function createRows(
  options: RowsOptions,
  counts: Counts,
  deal: Deal,
  windows: Windows,
  watch: Watch,
): Rows {
  const { seed, partitions, shared, kept: keptOrders = 4_000_000 } = options;
  const { source, own: key, deal: dealt } = options.source;
  const orders = createRecent<Uint32Array>(keptOrders, (order) => order.length);
  const walks = createRecent<Walk>(keptOrders, (walk) => walk.starts.length);
  const inverses = createRecent<Uint32Array>(keptOrders, (places) => places.length);
  const shuffles = createRecent<Uint32Array>(keptOffsets, (table) => table.length);
  const totals = Array.from({ length: partitions }, () => ({ place: 0, rows: 0 }));
  // so that an epoch of every partition is kept, or each batch would make them all anew
  const stride = Math.min(longestStride, Math.ceil((partitions * deal.length) / keptOrders));
  /** By entry: the window in which it was last; most slots are in the same. Only where windows are small beside what is kept. */
  const latest: Shuffled[] = [];

  function ranks(partition: number, epoch: number): Uint32Array {
    return orders.get(wayOf(partition, epoch), () => {
      watch.order?.();
      const random =
        dealt === "rows"
          ? derive(seed, "shards", ...key, epoch)
          : derive(seed, "shards", ...key, epoch, partition);
      return permutation(random, deal.length).map((place) => deal.rank(partition, place));
    });
  }

  /** Place in the partition's list -> place in the epoch's order. */
  function inverse(partition: number, epoch: number): Uint32Array {
    return inverses.get(wayOf(partition, epoch), () => {
      const order = ranks(partition, epoch);
      const places = new Uint32Array(order.length);
      for (const [at, rank] of order.entries())
        places[deal.place(partition, deal.shard(rank))!] = at;
      return places;
    });
  }

  /** In deal "rows" all partitions go one way. */
  function wayOf(partition: number, epoch: number): number {
    return dealt === "rows" ? epoch : epoch * partitions + partition;
  }

  function countOf(partition: number, rank: number): number | undefined {
    const rows = counts.rows(deal.shard(rank));
    if (rows === undefined) return undefined;
    if (!(Number.isSafeInteger(rows) && rows >= 0))
      throw new StreamError("INTERNAL", `shard ${deal.shard(rank)} is said to hold ${rows} rows`);
    return deal.count(partition, rank, rows);
  }

  /** Rows of the partition that are counted from the epoch's beginning on without a gap, be it to the middle of a shard. Never kept: it grows. */
  function reached(walk: Walk, partition: number): number {
    const { rows } = walk;
    if (walk.known === deal.length || !counts.sofar) return rows;
    const rank = walk.ranks[walk.known]!;
    const some = counts.sofar(deal.shard(rank));
    if (!(Number.isSafeInteger(some) && some >= 0))
      throw new StreamError("INTERNAL", `of shard ${deal.shard(rank)} ${some} rows are counted`);
    return rows + deal.count(partition, rank, some);
  }

  /** The walk, its starts filled as far as the counts go. */
  function walkOf(partition: number, epoch: number): Walk {
    const walk = walks.get(epoch * partitions + partition, () => ({
      ranks: ranks(partition, epoch),
      starts: new Float64Array(Math.floor(deal.length / stride) + 1),
      known: 0,
      rows: 0,
    }));
    while (walk.known < deal.length) {
      const rows = countOf(partition, walk.ranks[walk.known]!);
      if (rows === undefined) break;
      walk.rows += rows;
      walk.known += 1;
      if (walk.known % stride === 0) walk.starts[walk.known / stride] = walk.rows;
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

  /** The place of the shard that holds the epoch's row, and the rows before it; the last place may be a shard that is still being counted. */
  function placeOf(walk: Walk, partition: number, row: number): { place: number; start: number } {
    const end = Math.min(walk.known, deal.length - 1);
    let low = 0;
    let high = Math.floor(end / stride);
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (walk.starts[middle]! <= row) low = middle;
      else high = middle - 1;
    }
    let place = low * stride;
    let start = walk.starts[low]!;
    for (const last = Math.min(end, place + stride - 1); place < last; place++) {
      const next = start + countOf(partition, walk.ranks[place]!)!;
      if (next > row) break;
      start = next;
    }
    return { place, start };
  }

  function find(walk: Walk, partition: number, x: number, offset: number): RowAt {
    const { place, start } = placeOf(walk, partition, x);
    const rank = walk.ranks[place]!;
    return { shard: deal.shard(rank), row: deal.row(partition, rank, x - start), offset };
  }

  function shuffled(
    span: Pick<Located, "partition" | "entry" | "epoch" | "window" | "rows">,
    name: string,
  ): Uint32Array {
    const { partition, entry, epoch, window, rows } = span;
    const last = latest[entry];
    if (
      last?.window === window &&
      last.partition === partition &&
      last.epoch === epoch &&
      // plans with other logs use the same rows, and their entries' numbers
      last.name === name
    )
      return last.table;
    const own = shared ? [] : [name];
    const table = shuffles.get([epoch, partition, window, ...own].join("/"), () => {
      watch.window?.();
      return permutation(derive(seed, "window", ...key, epoch, partition, window, ...own), rows);
    });
    if (entry * windows.size <= keptOffsets)
      latest[entry] = { name, partition, epoch, window, table };
    return table;
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
    const rows = Math.min(size, end - start);
    const span = { partition, entry, source, epoch, window, start, rows };
    const offset = row - start;
    return {
      ...span,
      ...find(walkOf(partition, epoch), partition, start + shuffled(span, name)[offset]!, offset),
    };
  }

  /** Places of the shards that the windows of two positions of one epoch span. */
  function placesOf(partition: number, epoch: number, first: number, last: number, end: number) {
    const walk = walkOf(partition, epoch);
    const { start } = windows.span(epoch, first);
    const span = windows.span(epoch, last);
    return {
      from: placeOf(walk, partition, start).place,
      to: placeOf(walk, partition, Math.min(span.start + span.size, end) - 1).place,
    };
  }

  return {
    total(partition) {
      const rows = total(partition);
      if (rows !== undefined) return rows;
      return { needs: uncounted(partition, 0), missing: 0, rows: Infinity };
    },
    locate(partition, entry, name, position) {
      const rows = total(partition);
      if (rows === undefined) {
        // While any shard is uncounted only epoch 0 can be planned, from its beginning as far as the counts reach without a gap.
        const span = windows.span(0, position);
        const walk = walkOf(partition, 0);
        const end = span.start + span.size;
        const missing = end - reached(walk, partition);
        if (missing <= 0) return place(partition, entry, name, 0, position, Infinity);
        const rank = walk.ranks[walk.known]!;
        const more = end - walk.rows;
        return {
          needs: [deal.shard(rank)],
          missing,
          rows: deal.row(partition, rank, more - 1) + 1,
        };
      }
      if (rows < fewestRows)
        throw new StreamError(
          "TOO_FEW_ROWS",
          `${key.length > 0 ? `source ${source}: ` : ""}partition ${partition} holds ${rows} rows; at least ${fewestRows} are needed: use fewer partitions`,
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
    length: deal.length,
    shard: (partition, epoch, place) => {
      const rank = ranks(partition, epoch)[place]!;
      return countOf(partition, rank) === 0 ? undefined : deal.shard(rank);
    },
    place(partition, epoch, shard) {
      const listed = deal.place(partition, shard);
      if (listed === undefined || countOf(partition, deal.rank(partition, listed)) === 0)
        return undefined;
      return inverse(partition, epoch)[listed];
    },
    stretch(partition, first, last) {
      const rows = total(partition);
      // A partition without rows is never read; it fails when it is asked for one.
      if (rows === undefined || rows === 0)
        return { epoch: 0, ...placesOf(partition, 0, first, last, Infinity) };
      const epoch = Math.floor(first / rows);
      const ends = Math.floor(last / rows);
      const from = placesOf(partition, epoch, first - epoch * rows, first - epoch * rows, rows);
      const to = placesOf(partition, ends, last - ends * rows, last - ends * rows, rows);
      return { epoch, from: from.from, to: (ends - epoch) * deal.length + to.to };
    },
  };
}

/** Rows that a partition must hold. */
export const fewestRows = 4;
