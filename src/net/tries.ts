import { StreamError } from "../errors.ts";
import { contextOf, nameOf } from "./address.ts";
import type { Clock } from "./clock.ts";
import type { Setback } from "./setback.ts";

/** Milliseconds. */
const FIRST_WAIT = 500;
const LONGEST_WAIT = 60_000;

/** A try that failed and will be repeated. */
export interface Retry {
  readonly host: string;
  /** Path, without the query. */
  readonly file: string;
  /** Tries in a row that brought nothing; 0 where this one brought something before it failed. */
  readonly tries: number;
  /** Milliseconds until the next. */
  readonly wait: number;
  readonly reason: string;
}

export interface Budget {
  /** Milliseconds that a request may go on failing; waiting for its turn does not count. */
  readonly time: number;
  /** Tries in a row without a new byte. */
  readonly tries: number;
}

/** The patience for one request. */
export interface Tries {
  /** From now on it is the network that is waited for. */
  readonly started: () => void;
  /** New bytes have come: nothing has failed yet. */
  progress(): void;
  /** Resolves when it is time for the next try. Rejects NETWORK where the budget is used up, and with the signal's reason. */
  failed(setback: Setback, signal: AbortSignal): Promise<void>;
}

/** Exponential back-off with full jitter, 0.5 s doubling to 60 s, unless the server says how long to wait. */
export function createTries(
  url: URL,
  budget: Budget,
  clock: Clock,
  onRetry: (retry: Retry) => void,
): Tries {
  let tries = 0;
  let pauses = 0;
  let progress = false;
  let spent = 0;
  let since = clock.now();
  return {
    started() {
      since = clock.now();
    },
    progress() {
      progress = true;
    },
    async failed(setback, signal) {
      if (progress) tries = pauses = spent = 0;
      else {
        tries++;
        spent += clock.now() - since;
      }
      progress = false;
      const room = Math.min(LONGEST_WAIT, FIRST_WAIT * (1 << Math.min(pauses++, 20)));
      // a server that says 0 gets the same pauses as one that says nothing
      const wait = setback.wait || room * clock.random();
      spent += wait;
      const reason = setback.message;
      if (tries >= budget.tries || spent > budget.time) {
        const asked =
          setback.wait !== undefined && setback.wait > budget.time
            ? `, and wants to be left alone for ${Math.ceil(setback.wait / 1000)} s`
            : "";
        throw new StreamError(
          "NETWORK",
          `${nameOf(url)}: given up after ${tries} ${tries === 1 ? "try" : "tries"} without a byte: ${reason}${asked}`,
          { cause: setback, context: { ...contextOf(url), tries } },
        );
      }
      onRetry({ ...contextOf(url), tries, wait, reason });
      await clock.sleep(wait, signal);
      since = clock.now();
    },
  };
}
