import { StreamError } from "./errors.ts";
import type { StoreCounts } from "./cache/store.ts";
import type { Notify } from "./notice.ts";
import type { CellResult } from "./workers/messages.ts";

/** Images tried before the share of unusable ones is judged. */
const JUDGED_AFTER = 200;

/** What was asked of servers so far. */
export interface NetworkCounts {
  readonly requests: number;
  /** Tries that failed and were repeated. */
  readonly retries: number;
  /** Bytes received. */
  readonly bytes: number;
  /** Milliseconds of pauses before repeated tries, of all requests together. */
  readonly waited?: number;
  /** Why the last try failed that was repeated. */
  readonly reason?: string;
}

/** What has happened since the stream was opened. */
export interface Statistics {
  /** Puzzles made, by entry. */
  puzzles(): { readonly [entry: string]: number };
  /** Cells made. */
  cells(): number;
  /** Slots for which no usable image was found. */
  failed(): number;
  /** Unusable images met, by reason. A row met twice counts twice. */
  skipped(): { readonly [reason: string]: number };
  /** Rejected draws, by task and reason. */
  rejected(): { readonly [what: string]: number };
  /** Wall milliseconds by stage: read (in the main thread), decode, each task, encode (in the workers). */
  milliseconds(): { readonly [stage: string]: number };
  /** Undefined where no server has been needed. */
  network(): NetworkCounts | undefined;
  /** Undefined where nothing has been fetched that must be kept. */
  cache(): StoreCounts | undefined;
  /** Shards opened, fetched or counted by this loader so far, each once. */
  shardsOpened(): number;
  spent(stage: string, time: number): void;
  readonly warnings: readonly string[];
  warn(message: string): void;
  /** Throws SKIP_BUDGET when too large a share of the images was unusable. */
  count(result: CellResult): void;
}

/** What others count, and who is told. */
interface Watched {
  readonly network?: () => NetworkCounts | undefined;
  readonly cache?: () => StoreCounts | undefined;
  readonly shardsOpened?: () => number;
  readonly notify?: Notify;
}

export function createStatistics(
  {
    maxSkipShare,
    maxSkips = Infinity,
  }: { readonly maxSkipShare: number; readonly maxSkips?: number | undefined },
  {
    network = () => undefined,
    cache = () => undefined,
    shardsOpened = () => 0,
    notify = () => {},
  }: Watched = {},
): Statistics {
  const puzzles: Record<string, number> = {};
  const skipped: Record<string, number> = {};
  const rejected: Record<string, number> = {};
  const milliseconds: Record<string, number> = {};
  const warnings: string[] = [];
  let made = 0;
  let cells = 0;
  let failed = 0;
  let skips = 0;
  const add = (counts: Record<string, number>, name: string, by: number): void => {
    counts[name] = (counts[name] ?? 0) + by;
  };
  return {
    puzzles: () => ({ ...puzzles }),
    cells: () => cells,
    failed: () => failed,
    skipped: () => ({ ...skipped }),
    rejected: () => ({ ...rejected }),
    milliseconds: () => ({ ...milliseconds }),
    network,
    cache,
    shardsOpened,
    warnings,
    spent: (stage, time) => add(milliseconds, stage, time),
    warn: (message) => void warnings.push(message),
    count(result) {
      for (const { entry } of result.puzzles) add(puzzles, entry, 1);
      for (const { shard, key, reason, detail } of result.skips) {
        add(skipped, reason, 1);
        notify({ kind: "skipped", shard, key, reason, detail });
      }
      for (const [what, times] of Object.entries(result.rejects)) add(rejected, what, times);
      for (const [stage, spent] of Object.entries(result.milliseconds))
        add(milliseconds, stage, spent);
      cells++;
      failed += result.failed.length;
      made += result.puzzles.length;
      skips += result.skips.length;
      const tooMany = skips > maxSkips;
      const tooLarge = made + skips >= JUDGED_AFTER && skips > maxSkipShare * (made + skips);
      if (!tooMany && !tooLarge) return;
      const last = result.skips.at(-1);
      const example = last ? `; the last: ${last.shard}: ${last.key}: ${last.detail}` : "";
      throw new StreamError(
        "SKIP_BUDGET",
        `${skips} of ${made + skips} images tried were unusable, more than ${tooMany ? `maxSkips ${maxSkips}` : `maxSkipShare ${maxSkipShare}`} allows${example}`,
      );
    },
  };
}
