/** The main path: steps -> cells -> rows -> puzzles -> batches. Read this first. */
import { pipe } from "it-pipe";
import { ahead } from "./ahead.ts";
import { asRequests, collect, inOrder, stepsFrom } from "./batches.ts";
import { makeCell, planCells } from "./cells.ts";
import { StreamError } from "./errors.ts";
import { createGate } from "./gate.ts";
import {
  imageFormats,
  type Batch,
  type CellMaker,
  type ImageFormat,
  type StreamInfo,
} from "./model.ts";
import {
  resolveStreamOptions,
  sourcesOf,
  type ResolvedOptions,
  type StreamOptions,
} from "./options.ts";
import { createLookahead } from "./lookahead.ts";
import type { Clock } from "./net/clock.ts";
import type { Notify } from "./notice.ts";
import { openOrigin, type Origin, type OriginOptions } from "./origin.ts";
import { listingOrder } from "./plan/deal.ts";
import { partitionsOf } from "./plan/nodes.ts";
import { countAll, countFew, samplesOf, setUp, sharedNotes } from "./setup.ts";
import { openCatalog } from "./counted.ts";
import type { Catalog } from "./sources/catalog.ts";
import { countsOf } from "./sources/counts.ts";
import { createStatistics, type Statistics } from "./statistics.ts";
import { createTrays } from "./trays.ts";
import { createPool, type PoolState } from "./workers/pool.ts";

/** A stream of batches; batch k is a pure function of (seed, options, data). */
export interface Stream extends CellMaker, AsyncIterable<Batch>, AsyncDisposable {
  readonly info: () => StreamInfo;
  /** As its option `node` says; empty for a spare, undefined without one. */
  readonly near: readonly number[] | undefined;
  /** Batches from a step on, made ahead. Their images are the caller's own. */
  batches(options?: IterateOptions): AsyncGenerator<Batch, void, undefined>;
  /** Batch `step`, or the given slots of it in the order given. Asking again gives the same bytes. STEP_OUT_OF_RANGE, BAD_SLOTS. */
  get(step: number, slots?: readonly number[], options?: MakeOptions): Promise<Batch>;
  /** Counts and times since the start, by task and by reason; for metrics. */
  readonly statistics: Statistics;
  /** What is under way. */
  now(): StreamState;
  /** Name of the entry that a puzzle is of, by its index; not whether a finite stream has it. STEP_OUT_OF_RANGE. */
  entryOf(index: number): string;
  /** Ends all work and threads. Idempotent. */
  close(): Promise<void>;
}

export interface StreamState {
  readonly workers: PoolState & {
    /** Threads that died while they made a cell. */
    readonly deaths: number;
  };
  /** Cells whose rows are being read or that are in the workers, and those that wait until there is room for them. */
  readonly cells: { readonly making: number; readonly waiting: number };
}

export interface MakeOptions {
  /** Default raw. */
  readonly format?: ImageFormat;
  readonly signal?: AbortSignal;
}

export interface IterateOptions extends MakeOptions {
  /** First step, default 0. */
  readonly from?: number;
  /** These steps, in this order, instead. */
  readonly steps?: Iterable<number>;
}

/** Seams for tests: another worker entry, time that passes faster. */
export interface Internals {
  readonly workerEntry?: URL;
  readonly clock?: Clock;
  /** As OriginOptions.watch; for the command line. */
  readonly watch?: OriginOptions["watch"];
  /** Told of what a log may want to know. */
  readonly notify?: Notify;
}

/** Opens the source, checks the options against it and starts the worker threads. */
export async function createStream(
  given: StreamOptions,
  internals: Internals = {},
): Promise<Stream> {
  const options = resolveStreamOptions(given);
  const several = sourcesOf(options).length > 1;
  const origin = await openOrigin({
    ...options,
    order: (count, of) => listingOrder(options.seed, count, several ? of : undefined),
    ...(internals.clock && { clock: internals.clock }),
    ...(internals.watch && { watch: internals.watch }),
    ...(internals.notify && { notify: internals.notify }),
  });
  try {
    const catalog = await openCatalog(options, origin.source, (problem) =>
      internals.notify?.({ kind: "shard", ...problem }),
    );
    try {
      return await start(options, catalog, origin, internals);
    } catch (error) {
      await catalog.close();
      throw error;
    }
  } catch (error) {
    await origin.close();
    throw error;
  }
}

async function start(
  options: ResolvedOptions,
  catalog: Catalog,
  origin: Origin,
  { workerEntry: entry, notify }: Internals,
): Promise<Stream> {
  const { plan, settings, info } = setUp(options, catalog, await origin.source.lengths());
  const { node } = options;
  const near = node && partitionsOf(node.index, node.count, info.partitions);
  const statistics = createStatistics(options, {
    network: () => origin.network(),
    cache: () => origin.cache(),
    shardsOpened: () => catalog.opened(),
    ...(notify && { notify }),
  });
  if (options.passes !== undefined) await countAll(plan, catalog, statistics);
  else if (catalog.cheap) await countFew(plan, catalog, statistics, near);
  const notes = near ? sharedNotes(plan, catalog, near) : [];
  for (const note of [...origin.notes, ...notes]) statistics.warn(note);
  const steps = plan.steps() ?? null;
  const pool = createPool({
    threads: options.workers,
    settings,
    ...(entry && { entry }),
    ...(notify && { notify }),
  });
  // While one cell of a thread is being made, the images of the next are read.
  const gate = createGate(options.workers * 2);
  const lookahead = createLookahead(plan, catalog, { ...options, near });
  const making = { plan, catalog, lookahead, pool, statistics, gate, trays: createTrays() };
  const closing = new AbortController();
  let consumers = 0;
  /** Work ahead is bounded over all consumers; each has its share, at least one cell. */
  const share = (): number => (options.workers * 2 + 2) / consumers;

  const stream: Stream = {
    statistics,
    near,
    now: () => ({
      workers: { ...pool.now(), deaths: pool.deaths },
      cells: { making: gate.inside, waiting: gate.waiting },
    }),
    entryOf(index) {
      const { entry } = plan.slot(Math.floor(index / info.batch), index % info.batch);
      return plan.entries[entry]!;
    },
    info: () => ({ ...info, ...samplesOf(catalog), steps, skipped: statistics.skipped() }),
    counts: () => countsOf(catalog, options.imageField),
    async *cells(requests, { format = "raw", signal } = {}) {
      if (!imageFormats.includes(format))
        throw new StreamError(
          "BAD_OPTION",
          `format: got ${JSON.stringify(format)}; there are ${imageFormats.join(", ")}`,
        );
      const leaving = new AbortController();
      const stop = AbortSignal.any([closing.signal, leaving.signal, ...(signal ? [signal] : [])]);
      consumers++;
      try {
        yield* pipe(
          () => planCells(plan, steps, requests),
          (works) =>
            ahead(
              works,
              share,
              (work) => makeCell(making, work, format, stop),
              () => leaving.abort(),
            ),
        );
      } finally {
        consumers--;
      }
    },
    async *batches({ from = 0, steps: chosen = stepsFrom(from, steps), ...make } = {}) {
      yield* pipe(() => stream.cells(asRequests(chosen), make), collect);
    },
    async get(step, slots, make) {
      const request = slots ? { step, slots } : { step };
      for await (const batch of pipe(() => stream.cells([request], make), collect))
        return slots ? inOrder(batch, slots) : batch;
      throw new StreamError("INTERNAL", `step ${step} has no cells`);
    },
    [Symbol.asyncIterator]: () => stream.batches(),
    async close() {
      closing.abort(new StreamError("CLOSED", "the stream was closed"));
      // at once: rows that a server has not sent yet are waited for by all of them
      await Promise.all([pool.close(), catalog.close(), origin.close()]);
    },
    [Symbol.asyncDispose]: () => stream.close(),
  };
  return stream;
}
