import { StreamError } from "../errors.ts";
import { createNotebook, type Notes } from "../shards/notes.ts";

/** How far the rows of one shard have come, and who waits for more. */
export interface Growth {
  /** Rows that can be read now: 0 .. stored - 1. */
  readonly stored: number;
  /** As of Shard: never falls, also where the rows are fetched once more. */
  readonly rows: number;
  readonly complete: boolean;
  readonly notes: Notes;
  readonly error: StreamError | undefined;
  /** As Shard.counted. */
  counted(rows: number): Promise<void>;
  /** Resolves when the row can be read. */
  reached(row: number): Promise<void>;
  add(rows: number): void;
  /** The number of rows is known before they are. */
  expect(count: number): void;
  /** Rows can't be read for a while; they come again from the first. */
  restart(): void;
  /** All rows are stored. Throws SHARD_CORRUPT where there are fewer, or others, than was said before. */
  finish(notes: Notes): void;
  fail(error: StreamError): void;
}

interface Waiter {
  readonly ready: () => boolean;
  readonly resolve: () => void;
  readonly reject: (error: StreamError) => void;
}

export function createGrowth(shard: string): Growth {
  let stored = 0;
  /** The most rows that were ever seen or promised. */
  let rows = 0;
  let count: number | undefined;
  let complete = false;
  let notes: Notes = createNotebook();
  let error: StreamError | undefined;
  let waiters: Waiter[] = [];

  function wait(ready: () => boolean): Promise<void> {
    if (ready()) return Promise.resolve();
    if (error) return Promise.reject(error);
    return new Promise((resolve, reject) => waiters.push({ ready, resolve, reject }));
  }

  function wake(): void {
    if (waiters.length === 0) return;
    const all = waiters;
    waiters = [];
    for (const waiter of all) {
      if (waiter.ready()) waiter.resolve();
      else if (error) waiter.reject(error);
      else waiters.push(waiter);
    }
  }

  return {
    get stored() {
      return stored;
    },
    get rows() {
      return rows;
    },
    get complete() {
      return complete;
    },
    get notes() {
      return notes;
    },
    get error() {
      return error;
    },
    counted: (wanted) => wait(() => rows >= wanted || complete),
    reached: (row) => wait(() => row < stored),
    add(more) {
      stored += more;
      if (count === undefined) rows = Math.max(rows, stored);
      wake();
    },
    expect(known) {
      if (rows > known || (count ?? known) !== known) throw other(shard, count ?? rows, known);
      count = rows = known;
      wake();
    },
    restart() {
      stored = 0;
    },
    finish(found) {
      if (stored < rows || (count ?? stored) !== stored) throw other(shard, count ?? rows, stored);
      count = rows = stored;
      complete = true;
      notes = found;
      wake();
    },
    fail(reason) {
      error = reason;
      wake();
    },
  };
}

function other(shard: string, before: number, now: number): StreamError {
  return new StreamError("SHARD_CORRUPT", `${shard}: had ${before} rows, has ${now} now`, {
    context: { shard },
  });
}
