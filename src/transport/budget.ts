/** The memory that all connections share: cells from when they are asked of the maker until the kernel has them. */
export interface Budget {
  open(): Account;
  /** Somebody waits while others hold most of it. */
  readonly tight: boolean;
}

export interface BudgetLimits {
  readonly cells: number;
  /** Bytes. */
  readonly inAll: number;
  /** Bytes of one connection. */
  readonly each: number;
}

/** One connection's part. */
export interface Account {
  /** Settles when there is room for one more cell, which then is counted until leave(); false where it was aborted before. */
  enter(signal: AbortSignal): Promise<boolean>;
  leave(): void;
  /** Bytes wait for the kernel, or no longer do. */
  add(bytes: number): void;
}

const MOST = 0.75;

/**
 * Nobody gets more than what is left after him: with n connections that take all they can get, each has a (n + 1)th of it and as much stays free,
 * so that a newcomer always finds room before the whole is used up. The first that waits and may go is the first to go.
 */
export function createBudget(limits: BudgetLimits): Budget {
  let cells = 0;
  let bytes = 0;
  const line = new Set<() => boolean>();

  const move = (): void => {
    for (const go of line) {
      if (cells >= limits.cells || bytes >= limits.inAll) return;
      if (go()) line.delete(go);
    }
  };

  return {
    get tight() {
      return line.size > 0 && (cells >= MOST * limits.cells || bytes >= MOST * limits.inAll);
    },
    open() {
      const own = { cells: 0, bytes: 0 };
      const fits = (): boolean =>
        own.bytes < limits.each &&
        own.cells <= Math.max(0, limits.cells - cells - 1) &&
        own.bytes <= Math.max(0, limits.inAll - bytes - 1) &&
        cells < limits.cells &&
        bytes < limits.inAll;
      const take = (): void => {
        own.cells++;
        cells++;
      };
      return {
        enter(signal) {
          if (signal.aborted) return Promise.resolve(false);
          if (line.size === 0 && fits()) {
            take();
            return Promise.resolve(true);
          }
          return new Promise((resolve) => {
            const go = (): boolean => {
              if (!fits()) return false;
              take();
              signal.removeEventListener("abort", end);
              resolve(true);
              return true;
            };
            const end = (): void => {
              line.delete(go);
              resolve(false);
            };
            signal.addEventListener("abort", end, { once: true });
            line.add(go);
            move();
          });
        },
        leave() {
          own.cells--;
          cells--;
          move();
        },
        add(more) {
          own.bytes += more;
          bytes += more;
          if (more < 0) move();
        },
      };
    },
  };
}
