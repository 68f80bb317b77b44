/** The balance of a stream, in bytes of cell frames. One frame may take it below zero, the next waits until it is above again. */
export interface Credit {
  /** May be 0 or less. */
  readonly balance: number;
  give(bytes: number): void;
  take(bytes: number): void;
  /** Settles when the balance is above zero, or after close(). */
  available(): Promise<void>;
  close(): void;
}

export function createCredit(bytes: number): Credit {
  let balance = bytes;
  let closed = false;
  let waiting: (() => void)[] = [];
  const wake = (): void => {
    if (balance <= 0 && !closed) return;
    const woken = waiting;
    waiting = [];
    for (const resolve of woken) resolve();
  };
  return {
    get balance() {
      return balance;
    },
    give(given) {
      balance += given;
      wake();
    },
    take(taken) {
      balance -= taken;
    },
    available() {
      if (balance > 0 || closed) return Promise.resolve();
      return new Promise((resolve) => waiting.push(resolve));
    },
    close() {
      closed = true;
      wake();
    },
  };
}
