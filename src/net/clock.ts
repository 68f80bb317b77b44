/** The only place here that knows the time and chance. Both decide when something is asked for, never what reaches a batch. */
export interface Clock {
  /** Milliseconds; never falls. */
  now(): number;
  /** Milliseconds since 1970, to understand the dates of servers. */
  readonly wall: () => number;
  /** Rejects with the signal's reason. */
  sleep(milliseconds: number, signal: AbortSignal): Promise<void>;
  /** From 0 to below 1. */
  random(): number;
}

/** What a timer of the platform can hold. Milliseconds. */
const LONGEST = 0x7fff_ffff;

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  random: () => Math.random(),
  sleep: (milliseconds, signal) =>
    new Promise((resolve, reject) => {
      const abort = (): void => {
        clearTimeout(timer);
        reject(signal.reason as Error);
      };
      const timer = setTimeout(
        () => {
          signal.removeEventListener("abort", abort);
          resolve();
        },
        Math.min(milliseconds, LONGEST),
      );
      signal.addEventListener("abort", abort, { once: true });
      if (signal.aborted) abort();
    }),
};

/** Milliseconds since 1970; undefined where it is no date. */
export function parseDate(text: string): number | undefined {
  const time = Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}
