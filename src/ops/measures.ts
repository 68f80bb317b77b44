/** The table of what /metrics says. Everything is read when it is asked for; docs/operations.md explains each name. */
import type { StreamInfo } from "../model.ts";
import type { StreamState } from "../loader.ts";
import type { Statistics } from "../statistics.ts";
import { waitings, type ServerCounts } from "../transport/tally.ts";
import { whyNotReady } from "./health.ts";
import type { RewardCounts } from "./rewards.ts";
import type { Subject } from "./subject.ts";
import type { VitalSigns } from "./vitals.ts";

/** One sample: its labels, its value. */
export type Sample = readonly [labels: { readonly [name: string]: string }, value: number];

export interface Metric {
  /** Without the prefix. */
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
  readonly read: (facts: Facts) => number | undefined | Iterable<Sample>;
}

/** All that is known at one moment. */
export interface Facts {
  readonly subject: Subject;
  readonly info: StreamInfo | undefined;
  readonly statistics: Statistics | undefined;
  readonly now: StreamState | undefined;
  readonly counts: ServerCounts | undefined;
  readonly rewards: { readonly [entry: string]: RewardCounts };
  readonly vitals: VitalSigns;
  /** Seconds since 1970. */
  readonly began: number;
}

export const PREFIX = "ssl_r1_";

/** Stages that are no task's own. */
const stages: ReadonlySet<string> = new Set(["read", "decode", "encode"]);

const taskOf = ({ info }: Facts, entry: string): string =>
  info?.entries.find(({ name }) => name === entry)?.task ?? "";

function* each(
  counts: { readonly [name: string]: number | undefined } | undefined,
  labels: (name: string) => Sample[0],
): Iterable<Sample> {
  for (const [name, count] of Object.entries(counts ?? {})) yield [labels(name), count ?? 0];
}

export const counters: readonly Metric[] = [
  {
    name: "puzzles_total",
    help: "Puzzles made",
    labels: ["entry", "task"],
    read: (facts) =>
      each(facts.statistics?.puzzles(), (entry) => ({ entry, task: taskOf(facts, entry) })),
  },
  { name: "cells_total", help: "Cells made", read: ({ statistics }) => statistics?.cells() },
  {
    name: "failed_slots_total",
    help: "Slots for which no usable image was found",
    read: ({ statistics }) => statistics?.failed(),
  },
  {
    name: "stage_seconds_total",
    help: "Seconds spent reading (main thread), decoding, making puzzles by task, and encoding (workers)",
    labels: ["stage", "task"],
    *read({ statistics }) {
      for (const [name, spent] of Object.entries(statistics?.milliseconds() ?? {})) {
        const own = stages.has(name);
        yield [{ stage: own ? name : "make", task: own ? "" : name }, spent / 1000];
      }
    },
  },
  {
    name: "skipped_images_total",
    help: "Images that could not be used, by reason",
    labels: ["reason"],
    read: ({ statistics }) => each(statistics?.skipped(), (reason) => ({ reason })),
  },
  {
    name: "rejected_draws_total",
    help: "Random draws that a task did not take, by task and reason",
    labels: ["task", "reason"],
    read: ({ statistics }) =>
      each(statistics?.rejected(), (what) => {
        const [task = "", reason = ""] = what.split(": ", 2);
        return { task, reason };
      }),
  },
  {
    name: "sent_puzzles_total",
    help: "Puzzles sent to clients",
    read: ({ counts }) => counts?.sentPuzzles,
  },
  { name: "sent_cells_total", help: "Cells sent", read: ({ counts }) => counts?.sentCells },
  {
    name: "sent_batches_total",
    help: "Steps, or the asked slots of them, sent to their end",
    read: ({ counts }) => counts?.sentBatches,
  },
  {
    name: "sent_bytes_total",
    help: "Bytes sent to clients",
    read: ({ counts }) => counts?.sentBytes,
  },
  {
    name: "sent_failed_slots_total",
    help: "Slots sent without an image",
    read: ({ counts }) => counts?.failedSlots,
  },
  {
    name: "requests_total",
    help: "Answered requests, by kind and outcome: ok, cancelled, drained or an error code",
    labels: ["kind", "outcome"],
    *read({ counts }) {
      for (const [kind, outcomes] of Object.entries(counts?.requests ?? {}))
        yield* each({ ok: 0, ...outcomes }, (outcome) => ({ kind, outcome }));
    },
  },
  {
    name: "connections_total",
    help: "Connections that were welcomed, and those that were refused or ended by the loader, by error code",
    labels: ["outcome"],
    read: ({ counts }) =>
      each(counts && { welcomed: 0, ...counts.connections }, (outcome) => ({ outcome })),
  },
  {
    name: "client_seconds_total",
    help: "Seconds of all connected clients together, by what was waited for: cells is the trainer waiting for the loader; request, credit and socket the loader for the trainer",
    labels: ["waiting_for"],
    read: ({ counts }) => each(counts?.seconds, (what) => ({ waiting_for: what })),
  },
  {
    name: "rewards_total",
    help: "Rewards received",
    labels: ["entry", "task"],
    *read(facts) {
      for (const [entry, { count }] of Object.entries(facts.rewards))
        yield [{ entry, task: taskOf(facts, entry) }, count];
    },
  },
  {
    name: "worker_deaths_total",
    help: "Worker threads that died while they made a cell",
    read: ({ now }) => now?.workers.deaths,
  },
  {
    name: "worker_restarts_total",
    help: "Worker threads started for others that had gone",
    read: ({ now }) => now?.workers.restarts,
  },
  {
    name: "shards_opened_total",
    help: "Different shards opened, fetched or counted",
    read: ({ statistics }) => statistics?.shardsOpened(),
  },
  {
    name: "network_received_bytes_total",
    help: "Bytes received from data servers",
    read: ({ statistics }) => statistics?.network()?.bytes,
  },
  {
    name: "network_requests_total",
    help: "Requests to data servers",
    read: ({ statistics }) => statistics?.network()?.requests,
  },
  {
    name: "network_retries_total",
    help: "Tries that failed and were repeated",
    read: ({ statistics }) => statistics?.network()?.retries,
  },
  {
    name: "network_wait_seconds_total",
    help: "Seconds of pauses before repeated tries, of all requests together",
    read({ statistics }) {
      const waited = statistics?.network()?.waited;
      return waited === undefined ? undefined : waited / 1000;
    },
  },
  ...(
    [
      ["hits", "hits", "Shards opened whose rows were in the cache"],
      ["misses", "misses", "Shards opened whose rows had to be fetched"],
      ["evictions", "evictions", "Shards that made room for others"],
      ["evicted_bytes", "evictedBytes", "Bytes of shards that made room for others"],
    ] as const
  ).map(([name, field, help]): Metric => ({
    name: `cache_${name}_total`,
    help,
    labels: ["store"],
    *read({ statistics }) {
      const cache = statistics?.cache();
      if (cache) yield [{ store: cache.kind }, cache[field]];
    },
  })),
  {
    name: "cpu_seconds_total",
    help: "Processor seconds of all threads",
    labels: ["mode"],
    read: ({ vitals }) => each(vitals.cpu, (mode) => ({ mode })),
  },
  {
    name: "event_loop_seconds_total",
    help: "Seconds that the main thread's event loop was active or idle",
    labels: ["state"],
    read: ({ vitals }) => each(vitals.loop, (state) => ({ state })),
  },
  {
    name: "gc_seconds_total",
    help: "Seconds of garbage collection in the main thread",
    labels: ["kind"],
    *read({ vitals }) {
      for (const [kind, { seconds }] of Object.entries(vitals.gc)) yield [{ kind }, seconds];
    },
  },
  {
    name: "gc_runs_total",
    help: "Garbage collections in the main thread",
    labels: ["kind"],
    *read({ vitals }) {
      for (const [kind, { runs }] of Object.entries(vitals.gc)) yield [{ kind }, runs];
    },
  },
];

export const gauges: readonly Metric[] = [
  {
    name: "info",
    help: "1; its labels say what runs",
    labels: ["version", "fingerprint", "node"],
    *read({ subject: { version, node = "" }, info }) {
      if (info) yield [{ version, fingerprint: info.fingerprint, node }, 1];
    },
  },
  {
    name: "start_time_seconds",
    help: "When it was started, in seconds since 1970",
    read: ({ began }) => began,
  },
  {
    name: "ready",
    help: "1 where /readyz says so",
    read: ({ subject }) => (whyNotReady(subject) === undefined ? 1 : 0),
  },
  {
    name: "draining",
    help: "1 from the signal to drain on",
    read: ({ subject: { phase } }) => (phase === "draining" ? 1 : 0),
  },
  {
    name: "clients",
    help: "Connected clients, by what is waited for",
    labels: ["waiting_for"],
    read: ({ counts }) => each(counts?.clients, (what) => ({ waiting_for: what })),
  },
  {
    name: "waiting_requests",
    help: "Unanswered requests, by what they wait for",
    labels: ["waiting_for"],
    read: ({ counts }) =>
      each(
        counts &&
          Object.fromEntries(
            waitings
              .filter((what) => what !== "request" && what !== "nothing")
              .map((what) => [what, counts.waiting[what]]),
          ),
        (what) => ({ waiting_for: what }),
      ),
  },
  {
    name: "queued_bytes",
    help: "Bytes that wait until clients read",
    read: ({ counts }) => counts?.queuedBytes,
  },
  {
    name: "making_cells",
    help: "Cells whose images are being read or that are in the workers",
    read: ({ now }) => now?.cells.making,
  },
  {
    name: "gated_cells",
    help: "Cells that wait until there is room for them",
    read: ({ now }) => now?.cells.waiting,
  },
  {
    name: "rewards_sum",
    help: "Sum of the rewards received; falls where rewards are negative",
    labels: ["entry", "task"],
    *read(facts) {
      for (const [entry, { sum }] of Object.entries(facts.rewards))
        yield [{ entry, task: taskOf(facts, entry) }, sum];
    },
  },
  { name: "workers", help: "Worker threads wanted", read: ({ now }) => now?.workers.threads },
  {
    name: "workers_ready",
    help: "Worker threads that have started and answer",
    read: ({ now }) => now?.workers.ready,
  },
  {
    name: "worker_silence_seconds",
    help: "How long the quietest busy worker thread has given no sign of life",
    read: ({ now }) => now && now.workers.silent / 1000,
  },
  { name: "shards", help: "Shards of the stream", read: ({ info }) => info?.shards },
  {
    name: "counted_samples",
    help: "Images counted so far",
    read: ({ info }) => info?.samples,
  },
  ...(
    [
      ["", "bytes", "Bytes in the cache: in memory now, or on disk when room was last taken"],
      ["limit_", "limit", "Bytes that the cache may hold"],
    ] as const
  ).map(([name, field, help]): Metric => ({
    name: `cache_${name}bytes`,
    help,
    labels: ["store"],
    *read({ statistics }) {
      const cache = statistics?.cache();
      if (cache) yield [{ store: cache.kind }, cache[field]];
    },
  })),
  {
    name: "resident_memory_bytes",
    help: "Memory of the process",
    read: ({ vitals }) => vitals.resident,
  },
  {
    name: "heap_used_bytes",
    help: "Objects of the main thread",
    read: ({ vitals }) => vitals.heapUsed,
  },
  {
    name: "external_memory_bytes",
    help: "Buffers of the main thread outside of its heap",
    read: ({ vitals }) => vitals.external,
  },
  {
    name: "open_files",
    help: "File descriptors, sockets among them",
    read: ({ vitals }) => vitals.openFiles,
  },
  {
    name: "event_loop_delay_seconds",
    help: "How late the main thread's timers were over the last 15 to 30 seconds",
    labels: ["quantile"],
    *read({ vitals: { delay } }) {
      yield [{ quantile: "0.5" }, delay.median];
      yield [{ quantile: "0.99" }, delay.p99];
      yield [{ quantile: "1" }, delay.max];
    },
  },
];
