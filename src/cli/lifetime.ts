import { setTimeout as sleep } from "node:timers/promises";

/** How a running server is told to go: SIGTERM and SIGINT at once; SIGUSR2 when it has finished. (SIGUSR1 is Node's own.) */
export interface Lifetime {
  /** Resolves with the next signal, also one that came before. */
  next(): Promise<NodeJS.Signals>;
  /** Signals have their usual effect again. */
  end(): void;
}

export const DRAIN = "SIGUSR2";
const signals: readonly NodeJS.Signals[] =
  process.platform === "win32" ? ["SIGTERM", "SIGINT"] : ["SIGTERM", "SIGINT", DRAIN];

export function watchSignals(): Lifetime {
  const came: NodeJS.Signals[] = [];
  let waiting: ((signal: NodeJS.Signals) => void) | undefined;
  const take = (signal: NodeJS.Signals): void => {
    if (!waiting) return void came.push(signal);
    waiting(signal);
    waiting = undefined;
  };
  for (const signal of signals) process.on(signal, take);
  return {
    next() {
      const first = came.shift();
      if (first) return Promise.resolve(first);
      return new Promise((resolve) => (waiting = resolve));
    },
    end() {
      for (const signal of signals) process.off(signal, take);
    },
  };
}

/** Waits until the work is done, `seconds` have passed or another signal comes, and says which it was. */
export async function unless(
  work: Promise<void>,
  seconds: number,
  lifetime: Lifetime,
): Promise<"done" | "late" | NodeJS.Signals> {
  const over = new AbortController();
  try {
    return await Promise.race([
      work.then(() => "done" as const),
      sleep(seconds * 1000, "late" as const, { signal: over.signal }),
      lifetime.next(),
    ]);
  } finally {
    over.abort();
  }
}
