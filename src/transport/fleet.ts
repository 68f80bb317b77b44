import { setImmediate } from "node:timers/promises";
import { StreamError } from "../errors.ts";
import type { Batch, StreamInfo } from "../model.ts";
import { systemClock, type Clock } from "../net/clock.ts";
import { assign } from "./assign.ts";
import { gather, hopeless, reasonOf, unreachable, type Gatherers } from "./gather.ts";
import { createLane, type Lane, type LaneState } from "./lane.ts";
import { openLink, type LinkOptions } from "./link.ts";
import { ASK_EVERY, type Loaders } from "./loaders.ts";

/** What happened to a loader. */
export interface LoaderEvent {
  /**
   * joined: welcomed for the first time; left: asked for nothing more for now; back: welcomed again; gone: no longer listed;
   * moved: asked for slots that another one did not give; hedged: asked for slots that another one has not given yet.
   */
  readonly event: "joined" | "left" | "back" | "gone" | "moved" | "hedged";
  readonly loader: string;
  /** Of moved and hedged: whom it was asked from before. */
  readonly from?: string;
  readonly reason?: string;
  readonly step?: number;
  /** How many. */
  readonly slots?: number;
}

/** One loader as a client sees it. */
export interface LoaderStatus {
  readonly address: string;
  readonly state: LaneState;
  /** Partitions that it prefers, as far as it told. */
  readonly near: readonly number[] | undefined;
  /** Partitions that are asked from it now. */
  readonly partitions: readonly number[];
  /** Why it is not in use. */
  readonly reason: string | undefined;
}

export interface FleetOptions {
  readonly link: Omit<LinkOptions, "address" | "fingerprint" | "signal">;
  readonly fingerprint: string | undefined;
  /** Milliseconds. */
  readonly stall: number;
  readonly hedge: number | undefined;
  readonly patience: number;
  readonly onEvent: (event: LoaderEvent) => void;
  readonly clock?: Clock;
}

/** All loaders of a stream as one. */
export interface Fleet {
  readonly info: StreamInfo;
  readonly loaders: readonly LoaderStatus[];
  /** The batch of a step, or some of its slots. */
  get(step: number, slots?: readonly number[], signal?: AbortSignal): Promise<Batch>;
  /** What any one loader answers; another is asked where its connection is lost. */
  call: Lane["call"];
  /** Fresh facts. */
  refresh(): Promise<StreamInfo>;
  close(): void;
}

/** Milliseconds to wait for the others once one loader has welcomed the client. */
const GRACE = 1_000;
/** Milliseconds between two rounds when no loader is in use. */
const FIRST_ROUND = 50;
const LONGEST_ROUND = 2_000;

/** Every loader is tried once. Throws what the only one refused, or CONNECTION_LOST where none answers. */
export async function openFleet(loaders: Loaders, options: FleetOptions): Promise<Fleet> {
  const { clock = systemClock } = options;
  const lanes = new Map<string, Lane>();
  /** No longer listed, but they may still owe something. */
  const retired = new Set<Lane>();
  const closing = new AbortController();
  /** Ends each batch that is being gathered. */
  const running = new Set<(error: StreamError) => void>();
  const rescuers = new Set<(round: boolean) => void>();
  let rescuing = false;
  let round = 0;
  let fingerprint = options.fingerprint;
  let info: StreamInfo | undefined;
  let owners: readonly Lane[] | undefined;

  /** Later, so that nothing that is done about it meets a fleet that is half changed. */
  const onEvent = (event: LoaderEvent): void => queueMicrotask(() => options.onEvent(event));
  const used = (): Lane[] => [...lanes.values()].filter(({ state }) => state === "in use");

  /** A name's addresses have its certificate. */
  const tlsOf = (address: string): LinkOptions["tls"] => {
    const serverName = loaders.nameOf(address);
    return { ...(serverName !== undefined && { serverName }), ...options.link.tls };
  };

  const add = (address: string): Lane => {
    const lane = createLane({
      address,
      clock,
      stall: options.stall,
      alone: () => used().every((each) => each === lane),
      open: (signal) =>
        openLink({ ...options.link, tls: tlsOf(address), address, fingerprint, signal }).then(
          (link) => {
            if (fingerprint === undefined || link.info.fingerprint === fingerprint) return link;
            link.close();
            throw otherStream(address, link.info.fingerprint, fingerprint);
          },
        ),
      onEvent(event, { reason, told }) {
        owners = undefined;
        const why = event === "left" && reason !== undefined;
        onEvent({ event, loader: address, ...(why && { reason: reasonOf(reason) }) });
        if (event === "left") return;
        if (fingerprint !== undefined) info = told!.info;
        for (const callback of rescuers) callback(false);
      },
    });
    lanes.set(address, lane);
    return lane;
  };

  /** Until all have been tried, but not long for those who hang where others answer. */
  const settled = async (tried: readonly Promise<void>[]): Promise<unknown> => {
    const over = new AbortController();
    const all = Promise.all(tried);
    const enough = tried.map(async (each) => {
      await each;
      await (used().length > 0 ? clock.sleep(GRACE, over.signal) : all);
    });
    return await Promise.race([all, ...enough]).finally(() => over.abort());
  };

  const update = async (list: readonly string[]): Promise<void> => {
    for (const [address, lane] of lanes) {
      if (list.includes(address)) continue;
      lanes.delete(address);
      owners = undefined;
      for (const each of retired) if (each.state === "left") retired.delete(each);
      retired.add(lane);
      lane.retire();
      onEvent({ event: "gone", loader: address });
    }
    const added = list.filter((address) => !lanes.has(address)).map(add);
    await settled(added.map((lane) => lane.try()));
  };

  /** One that hangs does not hold up the next round, unless there is to be none. */
  const tried = async (all: Promise<unknown>): Promise<void> => {
    const over = new AbortController();
    const enough = options.patience === 0 ? all : clock.sleep(LONGEST_ROUND, over.signal);
    await Promise.race([all, enough]).finally(() => over.abort());
  };

  const rescue = async (): Promise<void> => {
    if (rescuing) return;
    rescuing = true;
    try {
      while (rescuers.size > 0 && !closing.signal.aborted) {
        if (round > 0) await clock.sleep(round, closing.signal);
        round = Math.min(Math.max(2 * round, FIRST_ROUND), LONGEST_ROUND);
        if (rescuers.size === 0) break;
        await tried(Promise.all([...lanes.values()].map((lane) => lane.try())));
        for (const callback of rescuers) callback(true);
        // Who was woken has its turn before it is asked whether it still waits.
        await setImmediate();
      }
    } catch {
      // closed
    } finally {
      rescuing = false;
    }
  };

  const from = (): Gatherers => ({
    clock,
    batch: info!.batch,
    partitions: info!.partitions,
    hedge: options.hedge,
    patience: options.patience,
    lanes: () => [...lanes.values()],
    owners(without) {
      const left = used().filter((lane) => !without(lane));
      if (left.length === 0) return undefined;
      return left.length === used().length ? allOwners() : ownersOf(left);
    },
    rescue(callback) {
      rescuers.add(callback);
      void rescue();
      return () => void rescuers.delete(callback);
    },
    progress: () => void (round = 0),
    tell: (event, lane, step, slots, why) =>
      onEvent({ event, loader: lane.address, ...why, step, slots }),
  });
  const ownersOf = (some: readonly Lane[]): readonly Lane[] =>
    assign(
      some.map((lane) => ({ address: lane.address, near: lane.told?.near, lane })),
      info!.partitions,
    ).map(({ lane }) => lane);
  const allOwners = (): readonly Lane[] => (owners ??= ownersOf(used()));

  /** Asks a loader for the others, again and again. */
  const followTold = async (): Promise<void> => {
    for (;;) {
      await clock.sleep(ASK_EVERY, closing.signal);
      const told = await used()[0]
        ?.poll()
        .catch(() => undefined);
      owners = undefined;
      if (told?.loaders !== undefined) loaders.tell(told.loaders);
    }
  };

  const any = async <T>(ask: (lane: Lane) => Promise<T>): Promise<T> => {
    let deadline: number | undefined;
    for (;;) {
      if (closing.signal.aborted) throw closed();
      const lane = used()[0];
      if (lane !== undefined) {
        try {
          return await ask(lane);
        } catch (error) {
          if (lane.state === "in use") throw error;
          deadline ??= clock.now() + options.patience;
          if (used().length === 0 && clock.now() >= deadline) throw error;
          continue;
        }
      }
      deadline ??= clock.now() + options.patience;
      if ((await rescued()) && used().length === 0) {
        const all = [...lanes.values()];
        const lost = hopeless(all) ?? (clock.now() >= deadline ? unreachable(all) : undefined);
        if (lost !== undefined) throw lost;
      }
    }
  };

  /** Whether a round is over; else a loader came, or the client was closed. */
  const rescued = async (): Promise<boolean> => {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const ended = (): void => resolve(false);
    const leave = from().rescue(resolve);
    running.add(ended);
    try {
      return await promise;
    } finally {
      leave();
      running.delete(ended);
    }
  };

  const close = (): void => {
    closing.abort();
    loaders.close();
    for (const lane of [...lanes.values(), ...retired]) lane.close();
    for (const fail of running) fail(closed());
    rescuers.clear();
  };

  await update(loaders.list);
  const [first] = used();
  if (first === undefined) {
    const all = [...lanes.values()];
    const { reason } = all[0]!;
    const alike = reason !== undefined && all.every((lane) => lane.reason?.code === reason.code);
    const error = alike ? reason : unreachable(all);
    close();
    throw error;
  }
  // The first of the list that answers decides which stream it is.
  info = first.told!.info;
  fingerprint = info.fingerprint;
  for (const lane of used())
    if (lane.told!.info.fingerprint !== fingerprint)
      lane.leave(otherStream(lane.address, lane.told!.info.fingerprint, fingerprint));
  let joining = Promise.resolve();
  loaders.onChange((list) => {
    joining = update(list);
  });
  if (loaders.alone) {
    loaders.tell(first.told!.loaders ?? []);
    await joining;
    followTold().catch(() => {}); // rejects when it is closed
  }

  return {
    get info() {
      return info!;
    },
    get loaders() {
      const now = used().length > 0 ? allOwners() : [];
      return [...lanes.values()].map((lane) => ({
        address: lane.address,
        state: lane.state,
        near: lane.told?.near,
        partitions: [...now.keys()].filter((partition) => now[partition] === lane),
        reason: lane.reason && reasonOf(lane.reason),
      }));
    },
    async get(step, slots, signal) {
      if (closing.signal.aborted) throw closed();
      const gaveUp = (): StreamError =>
        new StreamError("ABORTED", "the caller gave up", { cause: signal?.reason });
      if (signal?.aborted === true) throw gaveUp();
      let fail: ((error: StreamError) => void) | undefined;
      const abort = (): void => fail?.(gaveUp());
      signal?.addEventListener("abort", abort, { once: true });
      try {
        return await gather(from(), step, slots, (given) => running.add((fail = given)));
      } finally {
        signal?.removeEventListener("abort", abort);
        if (fail !== undefined) running.delete(fail);
      }
    },
    call: (ask) => any((lane) => lane.call(ask)),
    refresh: () => any((lane) => lane.poll()).then((told) => (info = told.info)),
    close,
  };
}

function otherStream(address: string, found: string, expected: string): StreamError {
  return new StreamError("OTHER_STREAM", `${address}: its stream is ${found}, not ${expected}`);
}

function closed(): StreamError {
  return new StreamError("CLOSED", "the client has been closed");
}
