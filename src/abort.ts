import { StreamError } from "./errors.ts";

/** Throws the signal's reason where that is one of our errors (CLOSED), else ABORTED. */
export function checkAborted(signal: AbortSignal): void {
  if (signal.aborted) throw reasonOf(signal);
}

function reasonOf(signal: AbortSignal): StreamError {
  const reason: unknown = signal.reason;
  if (reason instanceof StreamError) return reason;
  return new StreamError("ABORTED", "the caller gave up", { cause: reason });
}

/**
 * The result of work that can't be stopped, or the abort, whichever is first. A result that comes after the abort is given to `drop`. The listener is gone
 * afterwards: a signal outlives a great many calls.
 */
export function unlessAborted<T>(
  work: Promise<T>,
  signal: AbortSignal,
  drop: (late: T) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let over = false;
    const abort = (): void => {
      over = true;
      reject(reasonOf(signal));
    };
    signal.addEventListener("abort", abort, { once: true });
    work.then(
      (result) => {
        signal.removeEventListener("abort", abort);
        if (over) drop(result);
        else resolve(result);
      },
      (error: unknown) => {
        signal.removeEventListener("abort", abort);
        reject(error);
      },
    );
    if (signal.aborted) abort();
  });
}
