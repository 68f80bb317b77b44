import { asStreamError, StreamError } from "../errors.ts";
import type { Room } from "../shards/bytes.ts";
import type { Feed, Row, Shard } from "../shards/feed.ts";
import { createGrowth, type Growth } from "./growth.ts";
import { openHandle } from "./handle.ts";

/** The rows of one identity, while somebody has them open, they are being fetched, or the store keeps them for the next. */
export interface Entry<State> {
  readonly id: string;
  /** For messages. */
  readonly name: string;
  readonly growth: Growth;
  /** Of the kind of store. */
  readonly state: State;
  /** As the last who opened gave it. */
  readonly feed: () => Promise<Feed>;
  /** Shards that are open. */
  readonly users: number;
  /** Fetching, or waiting for another process that does, until it ends; never rejects. */
  readonly job: Promise<void> | undefined;
  /** Gives up fetching. */
  readonly signal: AbortSignal;
  /** open() need not wait any longer. */
  readonly started: () => void;
}

/** There was no room for what nobody waits for. Where somebody does by now, it is tried again, with more right to the room. */
export class GaveWay extends Error {
  override readonly name = "GaveWay";
  readonly reason: StreamError;

  constructor(reason: StreamError) {
    super(reason.message);
    this.reason = reason;
  }
}

/** How one kind of store keeps rows. */
export interface Keeping<State> {
  create(id: string): State;
  /** Brings the rows, all of them from the first, and tells `growth`. What it rejects with is what those who wait get. */
  fetch(entry: Entry<State>): Promise<void>;
  /** A row that exists; waits until it is stored. */
  read(entry: Entry<State>, row: number, room: Room | undefined): Promise<Row>;
  /** Whether complete rows stay when nobody has them open. */
  readonly keeps: boolean;
  /** Frees what the entry holds. */
  drop(entry: Entry<State>): Promise<void>;
}

/** What all stores share: who has what open, one fetch for all of them, a new one after a failure. */
export interface Shelf<State> {
  /** In the order of last use. */
  entries(): Iterable<Entry<State>>;
  open(
    id: string,
    name: string,
    feed: () => Promise<Feed>,
    signal: AbortSignal | undefined,
  ): Promise<Shard>;
  /** Fetches once more what can't be read. */
  fetch(entry: Entry<State>): void;
  /** Takes away what nobody has open, gives up fetching it and waits for the end of that. */
  remove(entry: Entry<State>): Promise<void>;
  /** Gives up whatever is under way, waits for its end and drops all. Idempotent. */
  close(): Promise<void>;
  /** How often open() found complete rows. */
  readonly hits: number;
  /** Throws CLOSED after close(). */
  check(): void;
}

interface Held<State> extends Entry<State> {
  feed: () => Promise<Feed>;
  users: number;
  job: Promise<void> | undefined;
  dropped: Promise<void> | undefined;
  readonly control: AbortController;
  readonly opened: Promise<void>;
  readonly failed: (error: StreamError) => void;
}

export function createShelf<State>(keeping: Keeping<State>): Shelf<State> {
  /** Those that the next open() finds. */
  const known = new Map<string, Held<State>>();
  /** And those that failed or were replaced, and are still open. */
  const all = new Set<Held<State>>();
  const work = new Set<Promise<void>>();
  let hits = 0;
  let closing: Promise<void> | undefined;

  function create(id: string, name: string, feed: () => Promise<Feed>): Held<State> {
    const { promise: opened, resolve: started, reject: failed } = Promise.withResolvers<void>();
    opened.catch(() => undefined); // also where nobody waits
    const control = new AbortController();
    const entry: Held<State> = {
      id,
      name,
      growth: createGrowth(name),
      state: keeping.create(id),
      feed,
      users: 0,
      job: undefined,
      dropped: undefined,
      control,
      signal: control.signal,
      opened,
      started,
      failed,
    };
    all.add(entry);
    fetch(entry);
    return entry;
  }

  function fetch(entry: Held<State>): void {
    if (entry.job || entry.dropped) return;
    const job = bring(entry);
    entry.job = job;
    work.add(job);
    void job.then(() => work.delete(job));
  }

  async function bring(entry: Held<State>): Promise<void> {
    try {
      await fetchWatched(entry);
      entry.started();
    } catch (cause) {
      const error = closing ? storeClosed() : asStreamError(cause);
      if (known.get(entry.id) === entry) known.delete(entry.id);
      entry.growth.fail(error);
      entry.failed(error);
    }
    entry.job = undefined;
    await settle(entry);
  }

  async function fetchWatched(entry: Held<State>): Promise<void> {
    for (;;) {
      try {
        return await keeping.fetch(entry);
      } catch (error) {
        if (!(error instanceof GaveWay)) throw error;
        if (entry.users === 0 || entry.signal.aborted) throw error.reason;
      }
    }
  }

  /** Drops what nobody needs any more. */
  async function settle(entry: Held<State>): Promise<void> {
    if (entry.users > 0 || entry.job) return;
    const stays = keeping.keeps && entry.growth.complete && known.get(entry.id) === entry;
    if (!stays || closing) await drop(entry);
  }

  function drop(entry: Held<State>): Promise<void> {
    if (known.get(entry.id) === entry) known.delete(entry.id);
    return (entry.dropped ??= keeping.drop(entry).then(() => void all.delete(entry)));
  }

  async function remove(entry: Held<State>): Promise<void> {
    if (known.get(entry.id) === entry) known.delete(entry.id);
    entry.control.abort(givenUp(entry.name));
    await (entry.job ?? drop(entry));
  }

  function check(): void {
    if (closing) throw storeClosed();
  }

  async function closeAll(): Promise<void> {
    for (const entry of all) entry.control.abort(storeClosed());
    await Promise.all(work);
    await Promise.all([...all].map(drop));
  }

  return {
    entries: () => known.values(),
    async open(id, name, feed, signal) {
      check();
      if (signal?.aborted) throw givenUp(name, signal.reason);
      const there = known.get(id);
      if (there?.growth.complete) hits++;
      const entry = there ?? create(id, name, feed);
      known.delete(id);
      known.set(id, entry);
      entry.feed = feed;
      entry.users++;
      const released = (): Promise<void> => {
        entry.users--;
        const { stored, rows, complete, error } = entry.growth;
        // a fetch that is all but over: who closes finds everything closed
        const ending = error !== undefined || (complete && stored === rows);
        return entry.job && ending ? entry.job : settle(entry);
      };
      try {
        await unlessGivenUp(entry.opened, name, signal);
        check();
      } catch (error) {
        await released();
        throw error;
      }
      const read = (row: number, room?: Room): Promise<Row> => {
        check();
        return keeping.read(entry, row, room);
      };
      return openHandle({ name, growth: entry.growth, read }, released);
    },
    fetch: (entry) => fetch(entry as Held<State>),
    remove: (entry) => remove(entry as Held<State>),
    close: () => (closing ??= closeAll()),
    get hits() {
      return hits;
    },
    check,
  };
}

function storeClosed(): StreamError {
  return new StreamError("CLOSED", "the cache is closed");
}

function givenUp(name: string, cause?: unknown): StreamError {
  return new StreamError("ABORTED", `${name}: given up`, { cause, context: { shard: name } });
}

/** The result of work, or ABORTED where the signal comes first. */
export function unlessGivenUp<T>(
  work: Promise<T>,
  name: string,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      const reason: unknown = signal.reason;
      reject(reason instanceof StreamError ? reason : givenUp(name, reason));
    };
    signal.addEventListener("abort", abort, { once: true });
    work
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", abort))
      .catch(() => undefined);
    if (signal.aborted) abort();
  });
}
