import { setTimeout as sleep } from "node:timers/promises";
import { StreamError } from "../errors.ts";
import type { Batch, CountsFile, ImageFormat, StreamInfo } from "../model.ts";
import { parseAddress } from "./address.ts";
import { receiveCounts } from "./counts.ts";
import { openLink, type Link } from "./link.ts";
import type { Reward } from "./messages.ts";
import { receiveStep, receiveSteps } from "./receive.ts";
import type { ClientTls } from "./tls.ts";

export interface ConnectOptions {
  readonly token?: string;
  /** What a server at a `tls:` address must show, and what is shown to it. */
  readonly tls?: ClientTls;
  /** How images travel. Default raw. */
  readonly imageFormat?: ImageFormat;
  /** For the server's log. */
  readonly name?: string;
  /** The stream that is expected; else that of the first connection. */
  readonly fingerprint?: string;
  /** Milliseconds for a connection to be welcomed. Default 10,000. */
  readonly timeout?: number;
  /** Milliseconds for which a lost connection is tried again; 0: not at all. Default 60,000. */
  readonly reconnect?: number;
}

export interface StreamRange {
  /** First step. Default 0. */
  readonly from?: number;
  /** How many; default: until the stream ends. */
  readonly steps?: number;
  readonly slots?: readonly number[];
  readonly signal?: AbortSignal;
}

export interface Client {
  /** As of the latest connection or refresh. */
  readonly info: StreamInfo;
  /** Images have their own memory, one buffer a cell. Throws what the server refuses with, CONNECTION_LOST, OTHER_STREAM, ABORTED or CLOSED. */
  get(step: number, slots?: readonly number[], signal?: AbortSignal): Promise<Batch>;
  /** Batches in order, received up to two ahead of the consumer; goes on after a lost connection at the next one not delivered. */
  stream(range?: StreamRange): AsyncGenerator<Batch, void, undefined>;
  /** Delivered at most once. */
  feedback(step: number, rewards: readonly Reward[]): Promise<void>;
  refresh(): Promise<StreamInfo>;
  /** Of the shards that the server's loader has counted, for the option `counts` of another. PROTOCOL where the server is too old to tell. */
  counts(): Promise<CountsFile>;
  /** Idempotent. Everything unfinished ends with CLOSED. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const FIRST_PAUSE = 50;
const LONGEST_PAUSE = 2_000;

/** Connects to a server at `tcp://host:port`, `tls://host:port` or `unix:///path`. The first connection is tried once. */
export async function connect(url: string, options: ConnectOptions = {}): Promise<Client> {
  const {
    token,
    tls,
    imageFormat = "raw",
    name = "ssl-r1-stream (Node)",
    timeout = 10_000,
    reconnect = 60_000,
  } = options;
  parseAddress(url);
  const closing = new AbortController();
  let fingerprint = options.fingerprint;
  let lastId = 0;

  const open = async (): Promise<Link> => {
    const opened = await openLink({
      address: url,
      token,
      tls,
      format: imageFormat,
      name,
      fingerprint,
      timeout,
    });
    if (closing.signal.aborted) opened.close();
    fingerprint = opened.info.fingerprint;
    return opened;
  };
  let link = await open();
  let info = link.info;
  let lost = false;
  let opening: Promise<Link> | undefined;

  /** The connection, or another one where it was lost; all requests share it. */
  const linked = async (): Promise<Link> => {
    if (closing.signal.aborted) throw closed(url);
    if (!lost) return link;
    opening ??= open().finally(() => (opening = undefined));
    link = await opening;
    info = link.info;
    lost = false;
    return link;
  };

  /** Repeats what lost its connection, with growing pauses. `progress` since the last loss starts the patience anew. */
  async function* persist<T>(
    attempt: (link: Link) => AsyncGenerator<T, void, undefined>,
    signal?: AbortSignal,
  ): AsyncGenerator<T, void, undefined> {
    const stop = signal === undefined ? closing.signal : AbortSignal.any([signal, closing.signal]);
    let deadline: number | undefined;
    let pause = FIRST_PAUSE;
    for (;;) {
      if (signal?.aborted === true)
        throw new StreamError("ABORTED", "the caller gave up", { cause: signal.reason });
      let used: Link | undefined;
      try {
        used = await linked();
        for await (const item of attempt(used)) {
          deadline = undefined;
          pause = FIRST_PAUSE;
          yield item;
        }
        return;
      } catch (error) {
        if (!(error instanceof StreamError) || error.code !== "CONNECTION_LOST") throw error;
        // Another request may have replaced the connection already.
        if (used === link) lost = true;
        deadline ??= performance.now() + reconnect;
        if (performance.now() + pause > deadline) throw error;
        await sleep(pause, undefined, { signal: stop }).catch(() => {});
        pause = Math.min(2 * pause, LONGEST_PAUSE);
      }
    }
  }

  const one = async <T>(
    attempt: (link: Link) => AsyncGenerator<T, void, undefined>,
    signal?: AbortSignal,
  ): Promise<T> => {
    for await (const item of persist(attempt, signal)) return item;
    throw new StreamError("PROTOCOL", "the server ended a request without an answer");
  };

  const close = async (): Promise<void> => {
    closing.abort();
    link.send({ kind: "bye" });
    link.close();
  };

  return {
    get info() {
      return info;
    },
    get: (step, slots, signal) =>
      one((to) => receiveStep(to, ++lastId, step, slots, signal), signal),
    async *stream({ from = 0, steps = Infinity, slots, signal } = {}) {
      let next = from;
      yield* persist(async function* (to) {
        for await (const batch of receiveSteps(to, ++lastId, {
          from: next,
          steps: from + steps - next,
          slots,
          signal,
        })) {
          next = batch.step + 1;
          yield batch;
        }
      }, signal);
    },
    async feedback(step, rewards) {
      await one(async function* (to) {
        to.send({ kind: "feedback", step, rewards });
        yield true;
      });
    },
    refresh: () => one((to) => poll(to, ++lastId)).then((fresh) => (info = fresh)),
    counts: () => one((to) => receiveCounts(to, ++lastId)),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function* poll(link: Link, id: number): AsyncGenerator<StreamInfo, void, undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<StreamInfo>();
  link.attach(id, {
    message: (message) =>
      message.kind === "info"
        ? resolve(message.info)
        : reject(new StreamError("PROTOCOL", `the server answered poll with ${message.kind}`)),
    lost: reject,
  });
  link.send({ kind: "poll", id });
  try {
    yield await promise;
  } finally {
    link.detach(id);
  }
}

function closed(url: string): StreamError {
  return new StreamError("CLOSED", `the client of ${url} has been closed`);
}
