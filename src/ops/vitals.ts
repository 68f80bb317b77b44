import { readdirSync } from "node:fs";
import { monitorEventLoopDelay, performance, PerformanceObserver } from "node:perf_hooks";

/** How the process itself is. */
export interface Vitals {
  read(): VitalSigns;
  /** Call now and then, say once a second: delays are those since the last call but 15 to 30. */
  turn(): void;
  stop(): void;
}

export interface VitalSigns {
  /** Bytes. */
  readonly resident: number;
  readonly heapUsed: number;
  readonly external: number;
  /** Seconds, all threads. */
  readonly cpu: { readonly user: number; readonly system: number };
  /** Seconds that the main thread's event loop worked and waited. */
  readonly loop: { readonly active: number; readonly idle: number };
  /** Seconds beyond what timers were set to. */
  readonly delay: { readonly median: number; readonly p99: number; readonly max: number };
  /** Of the main thread, by kind. */
  readonly gc: { readonly [kind: string]: { readonly runs: number; readonly seconds: number } };
  /** Undefined where the system does not tell. */
  readonly openFiles: number | undefined;
}

/** Milliseconds between two samples of the delay. */
const RESOLUTION = 20;
/** Calls of turn() that delays are kept for. */
const KEPT = 15;
/** perf_hooks.constants.NODE_PERFORMANCE_GC_* */
const kinds: { readonly [kind: number]: string } = {
  1: "minor",
  2: "minor",
  4: "major",
  8: "incremental",
  16: "weak",
};

export function watchVitals(): Vitals {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION });
  delay.enable();
  let before = { median: 0, p99: 0, max: 0 };
  let turns = 0;
  const gc: Record<string, { runs: number; seconds: number }> = {};
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { duration, detail } = entry as typeof entry & { readonly detail?: { kind: number } };
      const kind = kinds[detail?.kind ?? 0] ?? "other";
      const one = (gc[kind] ??= { runs: 0, seconds: 0 });
      one.runs++;
      one.seconds += duration / 1000;
    }
  });
  observer.observe({ entryTypes: ["gc"] });

  function delays(): VitalSigns["delay"] {
    // nothing sampled yet reads as nonsense
    if (delay.count === 0) return { median: 0, p99: 0, max: 0 };
    const beyond = (nanoseconds: number): number =>
      Math.max(0, nanoseconds / 1e9 - RESOLUTION / 1000);
    return {
      median: beyond(delay.percentile(50)),
      p99: beyond(delay.percentile(99)),
      max: beyond(delay.max),
    };
  }

  return {
    read() {
      const { rss, heapUsed, external } = process.memoryUsage();
      const { user, system } = process.cpuUsage();
      const { active, idle } = performance.eventLoopUtilization();
      const now = delays();
      return {
        resident: rss,
        heapUsed,
        external,
        cpu: { user: user / 1e6, system: system / 1e6 },
        loop: { active: active / 1000, idle: idle / 1000 },
        delay: {
          median: Math.max(before.median, now.median),
          p99: Math.max(before.p99, now.p99),
          max: Math.max(before.max, now.max),
        },
        gc: structuredClone(gc),
        openFiles: countOpenFiles(),
      };
    },
    turn() {
      if (++turns < KEPT) return;
      turns = 0;
      before = delays();
      delay.reset();
    },
    stop() {
      delay.disable();
      observer.disconnect();
    },
  };
}

function countOpenFiles(): number | undefined {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return undefined;
  }
}
