import { asStreamError, StreamError } from "../errors.ts";
import type { Room } from "../shards/bytes.ts";
import { infoOf } from "./listing.ts";
import type { Notes, Problem } from "../shards/notes.ts";
import type { List, Row, Shard, ShardInfo, Source } from "./source.ts";

export interface CatalogOptions {
  /** Shards kept open (a file handle and 40 bytes a row each), at least 1; more only while they are in use. */
  readonly open?: number;
  readonly signal?: AbortSignal;
  /** Counts learnt earlier, by ordinal. A shard that turns out to hold another number is SHARD_CORRUPT. */
  readonly counts?: (
    list: List<ShardInfo>,
  ) => ReadonlyMap<number, number> | Promise<ReadonlyMap<number, number>>;
  /** Told of each shard whose rows have all been counted. */
  readonly onCount?: (shard: number, rows: number) => void;
  /** Told of each problem when it is noted. */
  readonly onProblem?: (problem: Problem) => void;
}

/** What identifies a shard in the stream's fingerprint. */
interface FingerprintPart {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly hash?: string;
}

/** The ordered list of shards, with counts where known. Also the `Counts` of the plan. */
export interface Catalog extends Notes {
  readonly address: string;
  readonly list: List<ShardInfo>;
  /** Number of shards. */
  readonly shards: number;
  /** As Source.cheap. */
  readonly cheap: boolean;
  /** As Source.countable and Source.inPlace. */
  readonly countable: boolean;
  readonly inPlace: boolean;
  /** Rows of a shard; undefined until all of them have been counted once. */
  rows(shard: number): number | undefined;
  /** Rows of a shard counted so far. Never falls. */
  sofar(shard: number): number;
  /** Rows of a shard, opened if need be: all, or so far when these are at least `enough`. */
  count(shard: number, enough?: number): Promise<number>;
  /** Whether the rows of a shard are known, here or in the store; they are counted then. */
  isKnown(shard: number): Promise<boolean>;
  /** As Source.tally, else as count. */
  tally(shard: number): Promise<number>;
  /** Begins to open a shard that is needed. Failures show when it is used. */
  prepare(shard: number): void;
  /** Has a shard fetched that will soon be needed, as far as there is room. Failures show when it is. */
  prefetch(shard: number): void;
  /** As Source.kept. */
  kept(shard: number): number;
  /** As Source.needs. Shards that are not needed now (rank 0) and were not used for a while are closed, so that what the store keeps of them may go. */
  needs(rank: (shard: number) => number): void;
  /** As Shard.ready, also for a row that is not counted yet. */
  ready(shard: number, row: number): Promise<void>;
  /** As Shard.read. Waits for a row that is still on its way. */
  read(shard: number, row: number, room?: Room): Promise<Row>;
  /** Shards opened, fetched or counted by this catalog so far, each once; not those whose counts were given. */
  opened(): number;
  /** What was noticed so far: of each shard when it was first opened, and each shard that could not be. */
  readonly problems: readonly Problem[];
  readonly skipped: { readonly [reason: string]: number };
  /** In catalog order. Counts are no part of it: they are learnt. */
  fingerprintParts(): readonly FingerprintPart[];
  /** Waits for reads under way, then closes every shard. Idempotent. Later reads reject with CLOSED. */
  close(): Promise<void>;
}

interface Held {
  readonly shard: Promise<Shard>;
  users: number;
  /** How often needs() had been called when it was last used. */
  used: number;
}

/** Calls of needs() for which a shard without use stays open: those of a few consumers that are at different steps. */
const KEPT = 8;

/** Lists the source. Rejects as Source.list does. */
export async function createCatalog(
  source: Source,
  { open: limit = 64, signal, counts: learnt, onCount, onProblem }: CatalogOptions = {},
): Promise<Catalog> {
  if (!Number.isInteger(limit) || limit < 1)
    throw new StreamError("BAD_OPTION", `open: expected an integer of at least 1, got ${limit}`);
  const list = await source.list(signal);
  const counts = new Float64Array(list.length).fill(-1);
  for (const [number, rows] of (await learnt?.(list)) ?? []) counts[number] = rows;
  /** Rows counted so far of shards that are not complete. */
  const seen = new Float64Array(list.length);
  const open = new Map<number, Shard>();
  /** Shards that the source was asked for. */
  const touched = new Uint8Array(list.length);
  let touches = 0;
  const noted = new Set<number>();
  const problems: Problem[] = [];
  const skipped: Record<string, number> = {};
  const failed = new Set<number>();
  /** In order of last use. */
  const held = new Map<number, Held>();
  /** Every shard that is open or being closed, so that close() misses none. */
  const closings = new Set<Promise<void>>();
  const stop = new AbortController();
  let idle: (() => void) | undefined;
  let users = 0;
  let turns = 0;
  let closing: Promise<void> | undefined;

  function touch(number: number): void {
    touches += 1 - (touched[number] ?? 1);
    touched[number] = 1;
  }

  async function opened(number: number): Promise<Shard> {
    touch(number);
    try {
      const shard = await source.open(number, stop.signal);
      if (!shard.complete) follow(number, shard);
      else if (!finished(number, shard)) {
        await shard.close();
        throw miscounted(number, shard);
      }
      open.set(number, shard);
      return shard;
    } catch (error) {
      failure(number, error);
      throw error;
    }
  }

  /** Notes what a shard holds that is still being read. */
  function follow(number: number, shard: Shard): void {
    shard.counted(Infinity).then(
      () => {
        if (!finished(number, shard)) failure(number, miscounted(number, shard));
      },
      (error: unknown) => failure(number, error),
    );
  }

  function failure(number: number, error: unknown): void {
    const known = asStreamError(error);
    if (known.code === "ABORTED" || known.code === "CLOSED" || failed.has(number)) return;
    // once a shard, however often it is tried again
    failed.add(number);
    tell(problemOf(nameOf(number), known));
  }

  function tell(problem: Problem): void {
    problems.push(problem);
    onProblem?.(problem);
  }

  /** False where it holds another number of rows than before. */
  function finished(number: number, shard: Shard): boolean {
    const before = counts[number] as number;
    if (before >= 0 && before !== shard.rows) return false;
    if (!noted.has(number)) note(number, shard);
    if (before < 0) onCount?.(number, shard.rows);
    return true;
  }

  /** Throws SHARD_CORRUPT where a shard that has been read turns out to hold another number of rows than was given. */
  function check(number: number, shard: Shard): void {
    if (shard.complete && !finished(number, shard)) throw miscounted(number, shard);
  }

  function miscounted(number: number, { rows }: Shard): StreamError {
    const shard = nameOf(number);
    return new StreamError(
      "SHARD_CORRUPT",
      `${shard}: holds ${rows} images, ${counts[number]} were counted earlier: the counts are wrong or it has changed`,
      { context: { shard } },
    );
  }

  function note(number: number, shard: Shard): void {
    noted.add(number);
    counts[number] = shard.rows;
    for (const problem of shard.notes?.problems ?? []) tell(problem);
    for (const [reason, count] of Object.entries(shard.notes?.skipped ?? {}))
      skipped[reason] = (skipped[reason] ?? 0) + count;
  }

  function nameOf(number: number): string {
    return list.at(number)?.name ?? String(number);
  }

  async function using<T>(number: number, work: (shard: Shard) => T | Promise<T>): Promise<T> {
    if (closing) throw new StreamError("CLOSED", `${source.address}: the catalog is closed`);
    if (!(number in counts))
      throw new StreamError("INTERNAL", `${source.address}: shard ${number} of ${list.length}`);
    const one = held.get(number) ?? { shard: opened(number), users: 0, used: turns };
    held.delete(number);
    held.set(number, one);
    one.users++;
    one.used = turns;
    users++;
    try {
      return await work(await one.shard);
    } catch (error) {
      // a shard that failed, or whose rows failed to come, is tried anew by the next who asks
      const shard = await one.shard.catch(() => undefined);
      if (!shard?.complete && held.get(number) === one) {
        held.delete(number);
        if (shard) shut(number, one);
      }
      throw error;
    } finally {
      one.users--;
      users--;
      evict();
      if (users === 0) idle?.();
    }
  }

  function evict(): void {
    for (const [number, one] of held) {
      if (held.size <= limit) return;
      if (one.users === 0) shut(number, one);
    }
  }

  function shut(number: number, one: Held): void {
    if (held.get(number) === one) held.delete(number);
    sofar(number);
    open.delete(number);
    closeOpened(one.shard);
  }

  /** One that failed to open needs no closing. */
  function closeOpened(shard: Promise<Shard>): void {
    const work = shard.then((one) => one.close()).catch(() => undefined);
    closings.add(work);
    void work.then(() => closings.delete(work));
  }

  function sofar(number: number): number {
    const now = Math.max(seen[number] ?? 0, open.get(number)?.rows ?? 0);
    if (number in seen) seen[number] = now;
    return now;
  }

  async function counted(number: number, enough: number): Promise<number> {
    const rows = enough === Infinity ? await source.count?.(number, stop.signal) : undefined;
    if (rows !== undefined) return learn(number, rows);
    return using(number, async (shard) => {
      if (!shard.complete) await shard.counted(enough);
      check(number, shard);
      return shard.rows;
    });
  }

  function learn(number: number, rows: number): number {
    touch(number);
    if ((counts[number] as number) < 0) {
      counts[number] = rows;
      onCount?.(number, rows);
    }
    return counts[number] as number;
  }

  async function tallied(number: number): Promise<number> {
    const rows = await source.tally?.(number, stop.signal);
    return rows === undefined ? counted(number, Infinity) : learn(number, rows);
  }

  async function closeAll(): Promise<void> {
    stop.abort();
    if (users > 0) await new Promise<void>((resolve) => (idle = resolve));
    for (const [number, one] of held) shut(number, one);
    await Promise.all(closings);
  }

  return {
    address: source.address,
    list,
    shards: list.length,
    cheap: source.cheap,
    countable: source.countable,
    inPlace: source.inPlace,
    rows: (shard) => ((counts[shard] ?? -1) >= 0 ? counts[shard] : undefined),
    sofar: (shard) => ((counts[shard] ?? -1) >= 0 ? (counts[shard] as number) : sofar(shard)),
    count: (shard, enough = Infinity) =>
      (counts[shard] ?? -1) >= 0
        ? Promise.resolve(counts[shard] as number)
        : counted(shard, enough),
    async isKnown(shard) {
      if ((counts[shard] ?? -1) >= 0) return true;
      const rows = await source.count?.(shard, stop.signal);
      if (rows !== undefined) learn(shard, rows);
      return rows !== undefined;
    },
    tally: (shard) =>
      (counts[shard] ?? -1) >= 0 ? Promise.resolve(counts[shard] as number) : tallied(shard),
    prepare: (shard) => void using(shard, () => undefined).catch(() => undefined),
    prefetch(shard) {
      // it is closed at once: what is open can't give way to what is needed sooner
      if (closing || held.has(shard)) return;
      touch(shard);
      closeOpened(source.open(shard, stop.signal));
    },
    kept: (shard) => source.kept?.(shard) ?? 0,
    needs(rank) {
      source.needs?.(rank);
      turns++;
      for (const [number, one] of held)
        if (one.users === 0 && turns - one.used > KEPT && rank(number) > 0) shut(number, one);
    },
    ready: (shard, row) =>
      using(shard, async (one) => {
        if (!one.complete && row >= one.rows) await one.counted(row + 1);
        check(shard, one);
        await one.ready?.(row);
      }),
    read: (shard, row, room) =>
      using(shard, async (one) => {
        if (!one.complete && row >= one.rows) await one.counted(row + 1);
        check(shard, one);
        return one.read(row, room);
      }),
    opened: () => touches,
    problems,
    skipped,
    fingerprintParts: () => Array.from(list, infoOf),
    close: () => (closing ??= closeAll()),
  };
}

/** An error as a line of a list. */
export function problemOf(shard: string, error: StreamError): Problem {
  const { key, offset } = error.context;
  return {
    shard,
    ...(typeof key === "string" && { key }),
    ...(typeof offset === "number" && { offset }),
    reason: error.message,
  };
}
