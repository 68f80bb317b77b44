/** A resource made ahead of its use. */
export interface Releasable {
  release(): void;
}

/**
 * Runs `make` on up to `limit()` items at once and yields the results in order. The limit is asked anew before each start. What was made but not taken
 * is released when the consumer breaks off: `leaving` is called then, which should have every running `make` end soon, and they have ended before this does.
 */
export async function* ahead<In, Out extends Releasable>(
  items: Iterable<In>,
  limit: () => number,
  make: (item: In) => Promise<Out>,
  leaving: () => void = () => {},
): AsyncGenerator<Out, void, undefined> {
  const running: Promise<Out>[] = [];
  const iterator = items[Symbol.iterator]();
  let ended = false;
  const start = (made: Promise<Out>): void => {
    made.catch(() => {}); // awaited below, in order; a later failure must not be "unhandled" before its turn
    running.push(made);
  };
  try {
    for (;;) {
      while (!ended && running.length < Math.max(1, limit())) {
        try {
          const next = iterator.next();
          if (next.done) ended = true;
          else start(make(next.value));
        } catch (error) {
          ended = true;
          start(Promise.reject(error)); // after all that came before it
        }
      }
      const first = running[0];
      if (!first) return;
      const made = await first;
      void running.shift();
      yield made;
    }
  } finally {
    if (!ended) iterator.return?.();
    leaving();
    for (const made of await Promise.allSettled(running))
      if (made.status === "fulfilled") made.value.release();
  }
}
