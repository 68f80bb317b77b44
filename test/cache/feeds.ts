import { StreamError } from "../../src/errors.ts";
import type { Feed, Row } from "../../src/shards/feed.ts";

/** Here and not from the fixtures, which load the test runner: processes are started by the dozen. */
export function noise(length: number, seed: number): Uint8Array {
  let state = (seed * 2_654_435_769 + 1) >>> 0;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 24;
  });
}

/** Rows as a shard has them: names that need care, an empty image, one that is larger than a page. */
export function rowsOf(count: number, seed = 0, bytes = 1_000): Row[] {
  return Array.from({ length: count }, (_, row) => {
    const odd = (row * 7 + seed) % 5;
    const key = odd === 1 ? `d/é ${row}` : odd === 2 ? `\uD800${row}` : `k${row}`;
    return {
      key,
      group: odd === 3 ? "" : odd === 4 ? "crops" : key,
      name: `${key}.jpg`,
      bytes: noise(odd === 0 ? 0 : bytes + row * 13, seed * 1_000 + row),
    };
  });
}

export interface TestFeed {
  /** For Store.open; counts. */
  readonly make: () => Promise<Feed>;
  /** Times that a feed was asked for, rows that were taken, ends that were reached, feeds that are under way. */
  readonly seen: { made: number; taken: number; ended: number; running: number };
  /** Lets so many more rows through. */
  allow(rows: number): void;
  /** The next row to be taken, or the end, is this error; once. */
  fail(error: StreamError): void;
}

/** A feed that gives its rows at the test's pace. */
export function testFeed(
  rows: readonly Row[],
  { counted = false, free = true }: { counted?: boolean; free?: boolean } = {},
): TestFeed {
  const seen = { made: 0, taken: 0, ended: 0, running: 0 };
  let allowed = free ? Number.POSITIVE_INFINITY : 0;
  let failure: StreamError | undefined;
  const wake: (() => void)[] = [];
  const woken = (): void => {
    for (const one of wake.splice(0)) one();
  };
  const blocked = (row: number, signal: AbortSignal): boolean =>
    row >= allowed && !failure && !signal.aborted;
  return {
    seen,
    allow(more) {
      allowed += more;
      woken();
    },
    fail(error) {
      failure = error;
      woken();
    },
    async make() {
      seen.made++;
      return {
        ...(counted && { count: rows.length }),
        async *rows(notes, signal) {
          seen.running++;
          try {
            for (let row = 0; ; row++) {
              while (blocked(row, signal))
                await new Promise<void>((resolve) => {
                  wake.push(resolve);
                  signal.addEventListener("abort", () => resolve(), { once: true });
                });
              if (signal.aborted) throw new StreamError("ABORTED", "given up");
              if (failure) {
                const error = failure;
                failure = undefined;
                throw error;
              }
              const next = rows[row];
              if (!next) break;
              seen.taken++;
              yield { ...next, bytes: next.bytes.slice() };
            }
            notes.skip("no image");
            notes.problem({ shard: "one", reason: "odd" });
            seen.ended++;
          } finally {
            seen.running--;
          }
        },
      };
    },
  };
}
