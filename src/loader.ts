/** The main path: steps -> cells -> rows -> puzzles -> batches. Read this first. */
import { pipe } from "it-pipe";
import { ahead } from "./ahead.ts";
import { resolveEntries } from "./entries.ts";
import { StreamError } from "./errors.ts";
import { fingerprint, STREAM_VERSION } from "./fingerprint.ts";
import type {
  Batch,
  Cell,
  CellMaker,
  FailedSlot,
  ImageFormat,
  Json,
  Puzzle,
  StepRequest,
  StreamInfo,
} from "./model.ts";
import { resolveStreamOptions, type ResolvedOptions, type StreamOptions } from "./options.ts";
import { defaultPartitions } from "./plan/cells.ts";
import { checkPlan, unevenRatio } from "./plan/check.ts";
import { defaultDeal, listingOrder } from "./plan/deal.ts";
import { createPlan, needsIndex, type CellPlan, type Plan, type SlotPlan } from "./plan/plan.ts";
import type { Located } from "./plan/rows.ts";
import { mostSubstitutes } from "./plan/substitutes.ts";
import { createCatalog, type Catalog } from "./sources/catalog.ts";
import { openSource } from "./sources/open.ts";
import { resolveTemplates } from "./tasks/prompt.ts";
import { tasks } from "./tasks/registry.ts";
import { createStatistics, type Statistics } from "./statistics.ts";
import { freeSlabs, type CellResult, type RowData, type SlotJob } from "./workers/messages.ts";
import { createPool, type Pool } from "./workers/pool.ts";

/** A stream of batches; batch k is a pure function of (seed, options, data). */
export interface Stream extends CellMaker, AsyncIterable<Batch>, AsyncDisposable {
  readonly info: () => StreamInfo;
  /** Batches from a step on, made ahead. Images are the caller's own. */
  batches(options?: IterateOptions): AsyncGenerator<Batch, void, undefined>;
  /** Batch `step`, or the given slots of it in the order given. Asking again gives the same bytes. STEP_OUT_OF_RANGE, BAD_SLOTS. */
  get(step: number, slots?: readonly number[], options?: MakeOptions): Promise<Batch>;
  /** Counts and times since the start, by task and by reason; for metrics. */
  readonly statistics: Statistics;
  /** Ends all work and threads. Idempotent. */
  close(): Promise<void>;
}

export interface MakeOptions {
  /** Default raw. */
  readonly format?: ImageFormat;
  readonly signal?: AbortSignal;
}

export interface IterateOptions extends MakeOptions {
  /** First step, default 0. */
  readonly from?: number;
}

/** Seams for tests: another worker entry. */
export interface Internals {
  readonly workerEntry?: URL;
}

/** Shards that are all counted before the first batch; with more, as the stream comes to them. */
const COUNTED_AT_ONCE = 64;

/** Some slots of one cell. */
interface CellWork {
  readonly plan: CellPlan;
  readonly wanted: ReadonlySet<number> | undefined;
  readonly last: boolean;
}

/** Opens the source, checks the options against it and starts the worker threads. */
export async function createStream(
  options: StreamOptions,
  internals: Internals = {},
): Promise<Stream> {
  const resolved = resolveStreamOptions(options);
  const source = await openSource(resolved.source, {
    group: resolved.groupField,
    order: (count) => listingOrder(resolved.seed, count),
  });
  const catalog = await createCatalog(source);
  try {
    return await start(resolved, catalog, internals);
  } catch (error) {
    await catalog.close();
    throw error;
  }
}

async function start(
  options: ResolvedOptions,
  catalog: Catalog,
  { workerEntry }: Internals,
): Promise<Stream> {
  const { seed, batch, order, window, passes } = options;
  const entries = resolveEntries(options);
  const { templates, suffix } = resolveTemplates(tasks, options.templates);
  const partitions = options.partitions ?? defaultPartitions(batch);
  const deal = options.deal ?? defaultDeal(catalog.shards, partitions);
  const plan = createPlan(
    { seed, batch, partitions, entries, deal, window, order, passes },
    catalog,
  );
  const sizes = {
    factor: options.factor,
    minPixels: options.minPixels,
    maxPixels: options.maxPixels,
    fit: options.fit,
  };
  const identity = fingerprint({
    stream: {
      seed,
      batch,
      partitions,
      deal,
      window,
      order,
      passes: passes ?? null,
      cells: plan.cellsPerPartition,
    },
    entries: entries.map(({ name, task, weight, options: own }) => ({
      name,
      task,
      weight,
      options: own as Json,
      template: templates[task]!,
    })),
    suffix,
    sizes,
    images: {
      decoder: "libjpeg-turbo, fast DCT; sharp",
      maxInputPixels: options.maxInputPixels,
      groupField: options.groupField,
      rule: "first image member",
    },
    shards: catalog.fingerprintParts().map((part) => ({ ...part })),
  });
  const settings = {
    seed,
    entries: entries.map(({ name, task, options: own }) => ({
      name,
      task,
      options: own,
      template: templates[task]!,
    })),
    sizes,
    suffix,
    substitutes: passes === undefined ? mostSubstitutes : 0,
    maxInputPixels: options.maxInputPixels,
  };
  const statistics = createStatistics(options.maxSkipShare);
  if (passes !== undefined || catalog.shards <= COUNTED_AT_ONCE)
    await countAll(plan, catalog, statistics);
  const slabBytes = Math.max(8 << 20, options.maxPixels * 4 + 65_536);
  const pool = createPool({
    threads: options.workers,
    settings,
    slabBytes,
    ...(workerEntry && { entry: workerEntry }),
  });
  const closing = new AbortController();
  let streams = 0;

  /** All work in flight, over all consumers, is bounded: each gets its share, at least one cell. */
  const share = (): number => Math.floor((options.workers * 2 + 2) / Math.max(1, streams));

  const stream: Stream = {
    statistics,
    info: () => ({
      version: STREAM_VERSION,
      fingerprint: identity,
      seed,
      batch,
      partitions,
      entries: entries.map(({ name, task, weight, options: own, images }) => ({
        name,
        task,
        weight,
        options: own as EntryJson,
        images,
      })),
      shards: catalog.shards,
      ...counted(catalog),
      steps: plan.steps() ?? null,
      skipped: statistics.skipped(),
    }),
    async *cells(requests, { format = "raw", signal } = {}) {
      const stop = signal ? AbortSignal.any([signal, closing.signal]) : closing.signal;
      streams++;
      try {
        yield* pipe(
          () => cellsOf(plan, requests),
          (works) => ahead(works, share, (work) => makeCell(work, format, stop)),
        );
      } finally {
        streams--;
      }
    },
    async *batches({ from = 0, ...make } = {}) {
      yield* pipe(() => stream.cells(stepsFrom(from, plan.steps()), make), collect);
    },
    async get(step, slots, make) {
      const request = slots ? { step, slots } : { step };
      for await (const got of pipe(() => stream.cells([request], make), collect))
        return slots ? inOrder(got, slots) : got;
      return { step, puzzles: [], failed: [] }; // a step whose every slot the passes leave out
    },
    [Symbol.asyncIterator]: () => stream.batches(),
    async close() {
      closing.abort(new StreamError("CLOSED", "the stream was closed"));
      await pool.close();
      await catalog.close();
    },
    [Symbol.asyncDispose]: () => stream.close(),
  };
  return stream;

  async function makeCell(work: CellWork, format: ImageFormat, signal: AbortSignal): Promise<Cell> {
    const { step, cell } = work.plan;
    checkAborted(signal);
    const slots = work.plan.slots.map((slot) => ({
      slot,
      wanted: work.wanted?.has(slot.slot) ?? true,
    }));
    const located = new Map<number, Located>();
    for (const { slot } of slots) located.set(slot.slot, await locate(plan, catalog, slot, signal));
    const jobs = slots.map(({ slot, wanted }): SlotJob => {
      const { shard, row, offset, rows } = located.get(slot.slot)!;
      return {
        slot: slot.slot,
        index: slot.index,
        entry: slot.entry,
        wanted,
        row: `${shard}/${row}`,
        offset,
        rows,
      };
    });
    const wantedRows = new Map(
      slots
        .filter(({ wanted }) => wanted)
        .map(({ slot }) => [rowId(located.get(slot.slot)!), located.get(slot.slot)!]),
    );
    const result = await runUntilAborted(
      pool.make({
        job: { step, cell, format, slots: jobs },
        rows: () => Promise.all([...wantedRows.values()].map((row) => readRow(catalog, row))),
        row: (slot, offset) => readRow(catalog, plan.at(located.get(slot)!, offset)),
      }),
      signal,
    );
    statistics.count(result);
    return asCell(work, result, format);
  }
}

type EntryJson = StreamInfo["entries"][number]["options"];

function* stepsFrom(from: number, steps: number | undefined): Generator<StepRequest> {
  for (let step = from; steps === undefined || step < steps; step++) yield { step };
}

/** The cells that hold the wanted slots, in slot order. */
function* cellsOf(plan: Plan, requests: Iterable<StepRequest>): Generator<CellWork> {
  for (const { step, slots } of requests) {
    let wanted: Set<number> | undefined;
    let ordinals = Array.from({ length: plan.cells }, (_, cell) => cell);
    if (slots) {
      wanted = new Set(slots);
      if (wanted.size !== slots.length || slots.length === 0) {
        throw new StreamError(
          "BAD_SLOTS",
          `slots of step ${step}: got ${slots.length}, ${wanted.size} of them different; they must be unique and at least one`,
        );
      }
      ordinals = [...new Set(slots.map((slot) => plan.cellOf(slot)))].sort(
        (one, other) => one - other,
      );
    }
    // A step beyond the passes has no slots, but its request still wants its last cell.
    for (const [at, cell] of ordinals.entries())
      yield { plan: plan.cell(step, cell), wanted, last: at === ordinals.length - 1 };
  }
}

/** The row of a slot, after counting the shards that it takes to know (plan.md, rule 7). */
async function locate(
  plan: Plan,
  catalog: Catalog,
  slot: SlotPlan,
  signal: AbortSignal,
): Promise<Located> {
  for (;;) {
    const found = plan.locate(slot);
    if (!needsIndex(found)) return found;
    checkAborted(signal);
    await Promise.all(found.needs.map((shard) => catalog.count(shard)));
  }
}

const rowId = ({ shard, row }: { readonly shard: number; readonly row: number }): string =>
  `${shard}/${row}`;

async function readRow(
  catalog: Catalog,
  at: { readonly shard: number; readonly row: number },
): Promise<RowData> {
  const { key, group, bytes } = await catalog.read(at.shard, at.row);
  return {
    id: rowId(at),
    shard: catalog.list[at.shard]!.name,
    key,
    group,
    bytes: bytes as Uint8Array<ArrayBuffer>,
  };
}

/** The images are views of the worker's memory until the cell is released. */
function asCell({ plan, last }: CellWork, result: CellResult, format: ImageFormat): Cell {
  const { memory, slabs, failed } = result;
  let released = false;
  const puzzles = result.puzzles.map(({ images, ...puzzle }): Puzzle => ({
    ...puzzle,
    images: images.map(({ width, height, at, length }) => ({
      width,
      height,
      format,
      data: new Uint8Array(memory, at, length),
    })),
  }));
  const release = (): void => {
    if (!released) freeSlabs(memory, slabs);
    released = true;
  };
  return { step: plan.step, cell: plan.cell, puzzles, failed, last, release };
}

/** Cells of one request after the other -> batches with images of their own. */
async function* collect(cells: AsyncIterable<Cell>): AsyncGenerator<Batch, void, undefined> {
  let puzzles: Puzzle[] = [];
  let failed: FailedSlot[] = [];
  for await (const cell of cells) {
    try {
      for (const puzzle of cell.puzzles)
        puzzles.push({
          ...puzzle,
          images: puzzle.images.map((image) => ({ ...image, data: image.data.slice() })),
        });
      failed.push(...cell.failed);
    } finally {
      cell.release();
    }
    if (!cell.last) continue;
    yield { step: cell.step, puzzles, failed };
    puzzles = [];
    failed = [];
  }
}

function inOrder({ step, puzzles, failed }: Batch, slots: readonly number[]): Batch {
  const bySlot = new Map(puzzles.map((puzzle) => [puzzle.slot, puzzle]));
  return { step, failed, puzzles: slots.flatMap((slot) => bySlot.get(slot) ?? []) };
}

/** Counts every shard and looks at the partitions: better an error now than in the middle of the run. */
async function countAll(plan: Plan, catalog: Catalog, statistics: Statistics): Promise<void> {
  await Promise.all(catalog.list.map((_, shard) => catalog.count(shard)));
  if (counted(catalog).samples === 0)
    throw new StreamError(
      "SOURCE_EMPTY",
      `${catalog.address}: no image in ${catalog.shards} shards`,
    );
  const check = checkPlan(plan.spec, catalog);
  if ("needs" in check || check.ratio <= unevenRatio) return;
  statistics.warn(
    `partitions hold ${Math.min(...check.rows)} to ${Math.max(...check.rows)} rows: images of the smallest come ${check.ratio.toFixed(2)} times as often`,
  );
}

function counted(catalog: Catalog): { samples: number; counted: boolean } {
  let samples = 0;
  let all = true;
  for (let shard = 0; shard < catalog.shards; shard++) {
    const rows = catalog.rows(shard);
    if (rows === undefined) all = false;
    else samples += rows;
  }
  return { samples, counted: all };
}

function checkAborted(signal: AbortSignal): void {
  if (!signal.aborted) return;
  throw signal.reason instanceof StreamError
    ? signal.reason
    : new StreamError("ABORTED", "the caller gave up", { cause: signal.reason });
}

/** The work itself can't be stopped in the middle of an image; its result is released when nobody waits for it any more. */
async function runUntilAborted(
  work: Promise<CellResult>,
  signal: AbortSignal,
): Promise<CellResult> {
  let stop: (() => void) | undefined;
  try {
    const aborted = new Promise<never>((_, reject) => {
      stop = () => {
        try {
          checkAborted(signal);
        } catch (error) {
          reject(error as Error);
        }
      };
      signal.addEventListener("abort", stop, { once: true });
    });
    aborted.catch(() => {});
    return await Promise.race([work, aborted]);
  } catch (error) {
    work.then(({ memory, slabs }) => freeSlabs(memory, slabs)).catch(() => {});
    throw error;
  } finally {
    if (stop) signal.removeEventListener("abort", stop);
  }
}
