import { StreamError, type ErrorCode } from "../errors.ts";
import type { FailedSlot, Puzzle, StreamInfo } from "../model.ts";
import type { Clock } from "../net/clock.ts";
import type { Answer, Link } from "./link.ts";
import type { Place } from "./messages.ts";

/** One loader of several: its connection, what it owes, when it is left and when tried again (docs/cluster.md). */
export interface Lane {
  readonly address: string;
  readonly state: LaneState;
  /** As it last told. Undefined until it was welcomed once. */
  readonly told: Told | undefined;
  /** Why it was left; undefined while it is in use. */
  readonly reason: StreamError | undefined;
  /** Connects now, unless it is in use; settles when that has come to an end, well or not. */
  try(): Promise<void>;
  /** Asks for these slots of a step. Only for one in use. */
  get(step: number, slots: readonly number[], sink: AskSink): Ask;
  /**
   * For what is no request for slots: the answer that `ask` gets on the connection with this id is owed as they are. Throws its reason where it is not in
   * use, and what the connection was lost with.
   */
  call<T>(ask: (link: Link, id: number) => Promise<T>): Promise<T>;
  /** Fresh facts, as by call. */
  poll(): Promise<Told>;
  /** For what others know of it: another fingerprint, say. */
  leave(error: StreamError): void;
  /** Asked for nothing more; closed when it owes nothing. */
  retire(): void;
  close(): void;
}

/** trying: the connection is being made. left: it will be tried again after a pause. */
export type LaneState = "trying" | "in use" | "left";

export interface Told extends Place {
  readonly info: StreamInfo;
}

/** A request for slots of one step. */
export interface Ask {
  /** Nothing more comes of it. */
  cancel(): void;
}

export interface AskSink {
  /** Slots that were asked for and had not come yet. */
  cell(puzzles: readonly Puzzle[], failed: readonly FailedSlot[]): void;
  /** The last word. */
  ended(how: AskEnd): void;
}

export type AskEnd =
  /** Whatever did not come does not exist. */
  | { readonly kind: "complete" }
  /** This loader does not answer this request: asking again would not help. */
  | { readonly kind: "refused"; readonly error: StreamError }
  /** The loader is gone. */
  | { readonly kind: "lost"; readonly error: StreamError };

export interface LaneOptions {
  readonly address: string;
  readonly clock: Clock;
  /** Milliseconds without a byte after which it is left while it owes something. */
  readonly stall: number;
  open(signal: AbortSignal): Promise<Link>;
  /** Whether no other loader is in use. */
  alone(): boolean;
  onEvent(event: "joined" | "back" | "left", lane: Lane): void;
}

/** Requests under way on one connection, unless its server allows fewer; 16 by default. */
const MOST = 12;
/** A stall is so many looks in a row that find nothing new: a client that was stopped itself counts as one. */
const LOOKS = 4;
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 60_000;
/** Milliseconds in use after which the pauses begin anew. */
const STEADY = 60_000;

/** The loader can't serve at present; another one can. */
const leaving: ReadonlySet<ErrorCode> = new Set([
  "CACHE",
  "NETWORK",
  "INTERNAL",
  "WORKER_DIED",
  "SKIP_BUDGET",
  "SHARD_CORRUPT",
  "SOURCE_NOT_FOUND",
]);
/** Not about the request: the loader itself goes, or has enough. */
const away: ReadonlySet<ErrorCode> = new Set(["LIMIT", "CLOSED"]);

interface Open {
  id: number;
  readonly step: number;
  readonly slots: readonly number[];
  /** Those that have not come. */
  readonly wanted: Set<number>;
  /** Undefined once it was cancelled: what still comes is dropped. */
  sink: AskSink | undefined;
}

export function createLane(options: LaneOptions): Lane {
  const { address, clock, stall } = options;
  const asks = new Map<number, Open>();
  let waiting: Open[] = [];
  let state: LaneState = "left";
  let current: Link | undefined;
  let told: Told | undefined;
  let reason: StreamError | undefined;
  let attempt: Promise<void> | undefined;
  let lastId = 0;
  let most = MOST;
  let failures = 0;
  let usedSince = 0;
  let retired = false;
  let watching = false;
  /** Calls without their answer. */
  let calls = 0;
  /** Bytes of answers to poll, which are no sign of work. */
  let aside = 0;
  const closing = new AbortController();
  let pausing = new AbortController();

  const owes = (): boolean => asks.size + calls > 0;
  const closed = (): StreamError =>
    new StreamError("CLOSED", `the connection to ${address} has been closed`);
  const wrong = (message: string): StreamError =>
    new StreamError("PROTOCOL", `${address}: ${message}`);

  const begin = async (): Promise<void> => {
    pausing.abort();
    state = "trying";
    const known = told !== undefined;
    try {
      const link = await options.open(closing.signal);
      if (link.lost.aborted) throw link.lost.reason as StreamError;
      link.lost.addEventListener("abort", () => {
        if (current === link) leave(link.lost.reason as StreamError);
      });
      current = link;
      most = MOST;
      aside = 0;
      told = { info: link.info, ...link.place };
    } catch (error) {
      return leave(error as StreamError);
    }
    state = "in use";
    reason = undefined;
    usedSince = clock.now();
    options.onEvent(known ? "back" : "joined", lane);
  };

  const leave = (error: StreamError): void => {
    const news = state === "in use" || reason === undefined;
    if (state === "in use" && clock.now() - usedSince >= STEADY) failures = 0;
    state = "left";
    reason = error;
    const link = current;
    current = undefined;
    link?.close();
    const owed = [...asks.values(), ...waiting];
    asks.clear();
    waiting = [];
    if (!closing.signal.aborted) {
      if (retired) closing.abort();
      else {
        if (news) options.onEvent("left", lane);
        void pause(Math.min(FIRST_PAUSE * 2 ** Math.min(failures++, 10), LONGEST_PAUSE));
      }
    }
    for (const { sink } of owed) sink?.ended({ kind: "lost", error });
  };

  const pause = async (milliseconds: number): Promise<void> => {
    const own = (pausing = new AbortController());
    try {
      await clock.sleep(milliseconds, own.signal);
    } catch {
      return; // tried already, or closed
    }
    void lane.try();
  };

  /** Leaves it when nothing comes although something is owed. */
  const watch = async (link: Link): Promise<void> => {
    watching = true;
    let seen = link.received - aside;
    let idle = 0;
    try {
      while (owes()) {
        await clock.sleep(stall / LOOKS, link.lost);
        const now = link.received - aside;
        if (now > seen) {
          seen = now;
          idle = 0;
        } else if (++idle === LOOKS) {
          leave(
            new StreamError("CONNECTION_LOST", `${address}: sent nothing for ${stall / 1000} s`),
          );
        } else if (idle >= LOOKS / 2 && options.alone()) {
          // Nobody else could be asked, so that slow is good enough, as long as it lives.
          lane.poll().then(
            () => (idle = 0),
            () => {},
          );
        }
      }
    } catch {
      // lost
    } finally {
      watching = false;
      if (current !== undefined && owes()) void watch(current);
    }
  };

  const send = (ask: Open): void => {
    const link = current!;
    asks.set(ask.id, ask);
    link.attach(ask.id, { message: (message) => receive(ask, message), lost: () => {} });
    const { id, step, slots } = ask;
    const all = slots.length === link.info.batch;
    link.send({ kind: "get", id, step, ...(all ? {} : { slots }) });
    if (!watching) void watch(link);
  };

  const finish = (ask: Open, how: AskEnd): void => {
    asks.delete(ask.id);
    current?.detach(ask.id);
    ask.sink?.ended(how);
    const next = current && asks.size < most ? waiting.shift() : undefined;
    if (next !== undefined) send(next);
    if (retired && asks.size === 0) lane.close();
  };

  /** One too many: it waits until another one has been answered. */
  const later = (ask: Open): void => {
    asks.delete(ask.id);
    current?.detach(ask.id);
    most = Math.max(1, asks.size);
    ask.id = ++lastId;
    if (ask.sink !== undefined) waiting.unshift(ask);
  };

  const receive = (ask: Open, message: Answer): void => {
    const part = (kind: "refused" | "lost", error: StreamError): void => {
      asks.delete(ask.id);
      ask.sink?.ended({ kind, error });
      leave(error);
    };
    const blame = (text: string): void => part("refused", wrong(text));
    switch (message.kind) {
      case "cell":
      case "end": {
        if (message.step !== ask.step)
          return blame(`sent step ${message.step} instead of step ${ask.step}`);
        if (message.kind === "cell") {
          const { batch } = current!.info;
          for (const { slot, index } of [...message.puzzles, ...message.failed]) {
            if (!ask.wanted.delete(slot))
              return blame(`sent slot ${slot} of step ${ask.step}, which it was not to send`);
            if (index !== ask.step * batch + slot)
              return blame(`sent puzzle ${index} as slot ${slot} of step ${ask.step}`);
          }
          return ask.sink?.cell(message.puzzles, message.failed);
        }
        // Only a stream that ends may have slots that do not exist.
        if (ask.wanted.size > 0 && current!.info.steps === null)
          return blame(`ended step ${ask.step} without ${ask.wanted.size} of its slots`);
        return finish(ask, { kind: "complete" });
      }
      case "done":
        if (ask.sink !== undefined) return blame(`ended the request for step ${ask.step} unasked`);
        return finish(ask, { kind: "complete" });
      case "error": {
        const error = new StreamError(message.code, `${address}: ${message.message}`);
        if (error.code === "LIMIT" && asks.size > 1) return later(ask);
        if (away.has(error.code)) return part("lost", error);
        if (leaving.has(error.code)) return part("refused", error);
        return finish(ask, { kind: "refused", error });
      }
      default:
        return blame(`${message.kind} is no answer to a request for slots`);
    }
  };

  const connection = (): Link => {
    if (current === undefined) throw reason ?? closed();
    return current;
  };

  const lane: Lane = {
    address,
    get state() {
      return state;
    },
    get told() {
      return told;
    },
    get reason() {
      return reason;
    },
    async try() {
      if (state === "in use" || closing.signal.aborted) return;
      attempt ??= begin().finally(() => (attempt = undefined));
      await attempt;
    },
    get(step, slots, sink) {
      connection();
      const ask: Open = { id: ++lastId, step, slots, wanted: new Set(slots), sink };
      if (asks.size < most) send(ask);
      else waiting.push(ask);
      return {
        cancel() {
          if (ask.sink === undefined) return;
          ask.sink = undefined;
          waiting = waiting.filter((each) => each !== ask);
          // It is owed until its last word, so that a loader that hangs is seen to hang; all but its end may be there.
          if (asks.get(ask.id) === ask && ask.wanted.size > 0)
            current?.send({ kind: "cancel", id: ask.id });
        },
      };
    },
    async call(ask) {
      const link = connection();
      calls++;
      if (!watching) void watch(link);
      try {
        return await ask(link, ++lastId);
      } finally {
        calls--;
      }
    },
    poll: () =>
      lane.call(async (link, id) => {
        const { promise, resolve, reject } = Promise.withResolvers<Told>();
        link.attach(id, {
          message(message, bytes) {
            aside += bytes;
            if (message.kind !== "info")
              return reject(wrong(`${message.kind} is no answer to poll`));
            const { info, near, loaders } = message;
            resolve({ info, ...(near && { near }), ...(loaders && { loaders }) });
          },
          lost: reject,
        });
        link.send({ kind: "poll", id });
        try {
          return (told = await promise);
        } finally {
          link.detach(id);
        }
      }),
    leave,
    retire() {
      retired = true;
      if (asks.size === 0) lane.close();
    },
    close() {
      if (closing.signal.aborted) return;
      closing.abort();
      pausing.abort();
      current?.send({ kind: "bye" });
      leave(closed());
    },
  };
  return lane;
}
