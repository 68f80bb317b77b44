/**
 * Leave to have one request under way. It is held while the body is read. A reader that rests (asks for no bytes) while others wait loses it after one to
 * two times the patience: its connection is closed, and it asks for the rest with a new request when it goes on. So nobody starves, and no reader that
 * needs a second file before it goes on with the first blocks itself.
 */
export interface Permit {
  /** The reader has its bytes and is away; `yielded` is called when the permit is taken from it. */
  rest(yielded: () => void): void;
  /** The reader is back. */
  busy(): void;
  /** Idempotent. */
  release(): void;
}

export interface Permits {
  /** In the order of the calls. Rejects with the signal's reason. */
  take(signal: AbortSignal): Promise<Permit>;
}

interface Held {
  /** Set while the reader rests. */
  yielded: (() => void) | undefined;
  /** Rested already when it was last looked at. */
  seen: boolean;
}

/** At most `most` at once; `patience` in milliseconds. */
export function createPermits(most: number, patience: number): Permits {
  const held = new Set<Held>();
  const line = new Set<() => void>();
  let timer: NodeJS.Timeout | undefined;

  function next(): void {
    const [first] = line;
    if (first && held.size < most) {
      line.delete(first);
      first();
    }
    if (line.size > 0) timer ??= setInterval(look, patience);
    else {
      clearInterval(timer);
      timer = undefined;
    }
  }

  /** Takes the permits of readers that rested here and at the look before, as many as are waited for. */
  function look(): void {
    const taken: (() => void)[] = [];
    for (const one of held) {
      if (!one.yielded) continue;
      if (one.seen && taken.length < line.size) taken.push(one.yielded);
      one.seen = true;
    }
    for (const give of taken) give();
  }

  function grant(): Permit {
    const one: Held = { yielded: undefined, seen: false };
    held.add(one);
    return {
      rest(yielded) {
        one.yielded = yielded;
        one.seen = false;
      },
      busy() {
        one.yielded = undefined;
      },
      release() {
        if (held.delete(one)) next();
      },
    };
  }

  return {
    take: (signal) =>
      new Promise((resolve, reject) => {
        const enter = (): void => {
          signal.removeEventListener("abort", abort);
          resolve(grant());
        };
        const abort = (): void => {
          line.delete(enter);
          next();
          reject(signal.reason as Error);
        };
        if (signal.aborted) {
          reject(signal.reason as Error);
          return;
        }
        signal.addEventListener("abort", abort, { once: true });
        line.add(enter);
        next();
      }),
  };
}
