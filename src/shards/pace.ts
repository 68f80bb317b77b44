/**
 * Whether files answer at once. From the page cache or a local disk it is cheapest to wait for a read (9 microseconds against 20 for one that another
 * thread does, and the workers lose their cores less often); over a slow network it must not hold up the main thread. Decides when bytes come, never which.
 */
export interface Pace {
  /** Does `work` and takes the time, where files have been fast; undefined where the caller should read in the background. */
  now<T>(work: () => T): { readonly value: T } | undefined;
}

/** Milliseconds that a read may take on the average, over this many reads. */
const FAST = 0.4;
const LOOK = 64;
/** Reads in the background before the next look; doubles while files stay slow. */
const FIRST_REST = 1_000;
const LONGEST_REST = 64_000;

export function createPace(clock: () => number = () => performance.now()): Pace {
  let looks = 0;
  let spent = 0;
  let rest = 0;
  let nextRest = FIRST_REST;
  return {
    now(work) {
      if (rest > 0) {
        rest--;
        return undefined;
      }
      const began = clock();
      try {
        return { value: work() };
      } finally {
        spent += clock() - began;
        looks++;
        if (spent > FAST * LOOK) {
          rest = nextRest;
          nextRest = Math.min(nextRest * 2, LONGEST_REST);
          looks = spent = 0;
        } else if (looks === LOOK) {
          looks = spent = 0;
          nextRest = FIRST_REST;
        }
      }
    },
  };
}
