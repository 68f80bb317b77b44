import { setImmediate } from "node:timers/promises";
import type { Clock } from "../../src/net/clock.ts";

/** Time that passes when a test says so. */
export interface FakeClock extends Clock {
  /** Wakes, one after the other, whoever sleeps up to then. */
  advance(milliseconds: number): Promise<void>;
  /** Settles when so many sleep. */
  sleeping(count: number): Promise<void>;
  /** How many sleep now. */
  readonly sleepers: number;
}

export function createFakeClock(): FakeClock {
  let now = 0;
  const sleepers = new Set<{ until: number; wake(): void }>();
  return {
    now: () => now,
    wall: () => now,
    random: () => 0.5,
    get sleepers() {
      return sleepers.size;
    },
    sleep: (milliseconds, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason as Error);
        const abort = (): void => {
          sleepers.delete(sleeper);
          reject(signal.reason as Error);
        };
        const sleeper = {
          until: now + milliseconds,
          wake(): void {
            sleepers.delete(sleeper);
            signal.removeEventListener("abort", abort);
            resolve();
          },
        };
        sleepers.add(sleeper);
        signal.addEventListener("abort", abort, { once: true });
      }),
    async advance(milliseconds) {
      const end = now + milliseconds;
      for (;;) {
        const [next] = [...sleepers].sort((a, b) => a.until - b.until);
        if (next === undefined || next.until > end) break;
        now = next.until;
        next.wake();
        await setImmediate();
      }
      now = end;
    },
    async sleeping(count) {
      while (sleepers.size !== count) await setImmediate();
    },
  };
}
