/** What /status says: one JSON object, for people, scripts and `ssl-r1 top`. No paths, no tokens, nothing of the host. */
import { whyNotReady } from "./health.ts";
import type { Facts } from "./measures.ts";
import { shownError } from "./subject.ts";

export interface Status {
  readonly ssl_r1: 1;
  readonly version: string;
  readonly phase: string;
  /** Why it is not ready; null where it is. */
  readonly notReady: string | null;
  /** Seconds. */
  readonly uptime: number;
  readonly node: string | null;
  readonly near: readonly number[] | null;
  readonly loaders: readonly string[] | null;
  readonly stream: {
    readonly fingerprint: string;
    readonly version: number;
    readonly seed: number;
    readonly batch: number;
    readonly partitions: number;
    readonly entries: readonly {
      readonly name: string;
      readonly task: string;
      readonly weight: number;
    }[];
    readonly shards: number;
    readonly shardsOpened: number;
    readonly samples: number;
    readonly counted: boolean;
    readonly steps: number | null;
  } | null;
  readonly clients: readonly {
    readonly name: string;
    readonly format: string;
    readonly requests: number;
    readonly sentBytes: number;
    readonly rewards: number;
    readonly waitingFor: string;
  }[];
  readonly made: { readonly [entry: string]: number };
  readonly cells: { readonly made: number; readonly making: number; readonly waiting: number };
  readonly sent: {
    readonly bytes: number;
    readonly cells: number;
    readonly batches: number;
    readonly puzzles: number;
    readonly failedSlots: number;
    readonly queuedBytes: number;
  };
  readonly requests: { readonly [kind: string]: { readonly [outcome: string]: number } };
  readonly connections: { readonly [outcome: string]: number };
  /** Seconds of all clients together, by what was waited for (docs/operations.md). */
  readonly waited: { readonly [what: string]: number };
  readonly seconds: { readonly [stage: string]: number };
  readonly skipped: { readonly [reason: string]: number };
  readonly rejected: { readonly [what: string]: number };
  readonly rewards: { readonly [entry: string]: { readonly count: number; readonly sum: number } };
  readonly cache: { readonly [what: string]: string | number } | null;
  readonly network: { readonly [what: string]: string | number } | null;
  readonly workers: { readonly [what: string]: number } | null;
  readonly memory: {
    readonly resident: number;
    readonly heapUsed: number;
    readonly external: number;
  };
  readonly cpu: { readonly user: number; readonly system: number };
  /** Seconds. */
  readonly eventLoopDelay: { readonly median: number; readonly p99: number; readonly max: number };
  readonly openFiles: number | null;
  readonly lastError: {
    readonly code: string;
    readonly message: string;
    readonly at: number;
  } | null;
}

export function statusOf(facts: Facts): Status {
  const { subject, info, statistics, now, counts, vitals } = facts;
  const milliseconds = statistics?.milliseconds() ?? {};
  return {
    ssl_r1: 1,
    version: subject.version,
    phase: subject.phase,
    notReady: whyNotReady(subject) ?? null,
    uptime: process.uptime(),
    node: subject.node ?? null,
    near: subject.stream?.near ?? null,
    loaders: subject.loaders ?? null,
    stream: info
      ? {
          fingerprint: info.fingerprint,
          version: info.version,
          seed: info.seed,
          batch: info.batch,
          partitions: info.partitions,
          entries: info.entries.map(({ name, task, weight }) => ({ name, task, weight })),
          shards: info.shards,
          shardsOpened: statistics?.shardsOpened() ?? 0,
          samples: info.samples,
          counted: info.counted,
          steps: info.steps,
        }
      : null,
    clients: (subject.server?.clients ?? [])
      .filter(({ name }) => name !== "")
      .map(({ name, format, requests, sentBytes, rewards, waiting }) => ({
        name,
        format,
        requests,
        sentBytes,
        rewards,
        waitingFor: waiting,
      })),
    made: statistics?.puzzles() ?? {},
    cells: {
      made: statistics?.cells() ?? 0,
      making: now?.cells.making ?? 0,
      waiting: now?.cells.waiting ?? 0,
    },
    sent: {
      bytes: counts?.sentBytes ?? 0,
      cells: counts?.sentCells ?? 0,
      batches: counts?.sentBatches ?? 0,
      puzzles: counts?.sentPuzzles ?? 0,
      failedSlots: counts?.failedSlots ?? 0,
      queuedBytes: counts?.queuedBytes ?? 0,
    },
    requests: counts?.requests ?? {},
    connections: counts?.connections ?? {},
    waited: counts?.seconds ?? {},
    seconds: Object.fromEntries(
      Object.entries(milliseconds).map(([stage, spent]) => [stage, spent / 1000]),
    ),
    skipped: statistics?.skipped() ?? {},
    rejected: statistics?.rejected() ?? {},
    rewards: facts.rewards,
    cache: statistics?.cache() ? { ...statistics.cache() } : null,
    network: statistics?.network() ? { ...statistics.network() } : null,
    workers: now ? { ...now.workers } : null,
    memory: { resident: vitals.resident, heapUsed: vitals.heapUsed, external: vitals.external },
    cpu: vitals.cpu,
    eventLoopDelay: vitals.delay,
    openFiles: vitals.openFiles ?? null,
    lastError: subject.lastError ? shownError(subject.lastError) : null,
  };
}
