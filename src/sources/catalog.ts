import { asStreamError, StreamError } from "../errors.ts";
import { changed, type Room } from "../shards/bytes.ts";
import type { Notes, Problem } from "../shards/notes.ts";
import type { Row, Shard, ShardInfo, Source } from "./source.ts";

export interface CatalogOptions {
  /** Shards kept open (a file handle and 40 bytes a row each), at least 1; more only while they are in use. */
  readonly open?: number;
  readonly signal?: AbortSignal;
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
  readonly list: readonly ShardInfo[];
  /** Number of shards. */
  readonly shards: number;
  /** Rows of a shard; undefined until it has been opened once. */
  rows(shard: number): number | undefined;
  /** Rows of a shard, opened if need be. */
  count(shard: number): Promise<number>;
  /** As Shard.read. */
  read(shard: number, row: number, room?: Room): Promise<Row>;
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
}

/** Lists the source. Rejects as Source.list does. */
export async function createCatalog(
  source: Source,
  { open: limit = 64, signal }: CatalogOptions = {},
): Promise<Catalog> {
  if (!Number.isInteger(limit) || limit < 1)
    throw new StreamError("BAD_OPTION", `open: expected an integer of at least 1, got ${limit}`);
  const list = await source.list(signal);
  const counts = new Float64Array(list.length).fill(-1);
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
  let closing: Promise<void> | undefined;

  async function opened(number: number): Promise<Shard> {
    try {
      const shard = await source.open(number, stop.signal);
      const before = counts[number] as number;
      if (before >= 0 && before !== shard.rows) {
        await shard.close();
        throw changed(nameOf(number));
      }
      if (before < 0) note(number, shard);
      return shard;
    } catch (error) {
      const known = asStreamError(error);
      // once a shard, however often it is tried again
      if (known.code !== "ABORTED" && !failed.has(number)) {
        failed.add(number);
        problems.push(problemOf(nameOf(number), known));
      }
      throw error;
    }
  }

  function note(number: number, shard: Shard): void {
    counts[number] = shard.rows;
    problems.push(...(shard.notes?.problems ?? []));
    for (const [reason, count] of Object.entries(shard.notes?.skipped ?? {}))
      skipped[reason] = (skipped[reason] ?? 0) + count;
  }

  function nameOf(number: number): string {
    return list[number]?.name ?? String(number);
  }

  async function using<T>(number: number, work: (shard: Shard) => T | Promise<T>): Promise<T> {
    if (closing) throw new StreamError("CLOSED", `${source.address}: the catalog is closed`);
    if (!list[number])
      throw new StreamError("INTERNAL", `${source.address}: shard ${number} of ${list.length}`);
    const one = held.get(number) ?? { shard: opened(number), users: 0 };
    held.delete(number);
    held.set(number, one);
    one.users++;
    users++;
    try {
      return await work(await one.shard);
    } catch (error) {
      // a shard that failed to open is tried anew by the next who asks
      await one.shard.catch(() => held.get(number) === one && held.delete(number));
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
    held.delete(number);
    // one that failed to open needs no closing
    const work = one.shard.then((shard) => shard.close()).catch(() => undefined);
    closings.add(work);
    void work.then(() => closings.delete(work));
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
    rows: (shard) => ((counts[shard] ?? -1) >= 0 ? counts[shard] : undefined),
    count: (shard) =>
      (counts[shard] ?? -1) >= 0
        ? Promise.resolve(counts[shard] as number)
        : using(shard, (one) => one.rows),
    read: (shard, row, room) => using(shard, (one) => one.read(row, room)),
    problems,
    skipped,
    fingerprintParts: () =>
      list.map(({ name, size, hash }) => ({ name, size, ...(hash !== undefined && { hash }) })),
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
