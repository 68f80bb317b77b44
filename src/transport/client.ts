import { ahead } from "../ahead.ts";
import { StreamError } from "../errors.ts";
import type { Batch, CountsFile, ImageFormat, StreamInfo } from "../model.ts";
import { receiveCounts } from "./counts.ts";
import { openFleet, type LoaderEvent, type LoaderStatus } from "./fleet.ts";
import { openLoaders, type LoadersSeams } from "./loaders.ts";
import type { Clock } from "../net/clock.ts";
import type { Reward } from "./messages.ts";
import { makeState, stepOf, type RunState } from "./state.ts";
import type { ClientTls } from "./tls.ts";

export interface ConnectOptions {
  /** What the server wants to be told. Default: that of `tokenFile`, else SSL_R1_TOKEN of the environment. */
  readonly token?: string;
  /** File whose first line (empty ones and `#` comments aside) is the token; read anew for each connection. */
  readonly tokenFile?: string;
  /** What a server at a `tls:` address must show, and what is shown to it. */
  readonly tls?: ClientTls;
  /** How images travel. Default raw. */
  readonly imageFormat?: ImageFormat;
  /** Whether cells come with a checksum, which costs 0.2 ms a puzzle on either side. Default: over a network without TLS. */
  readonly checksum?: boolean;
  /** For the server's log. */
  readonly name?: string;
  /** The stream that is expected; else that of the first loader. */
  readonly fingerprint?: string;
  /** Milliseconds for a connection to be welcomed. Default 10,000. */
  readonly timeout?: number;
  /** Milliseconds for which all loaders are tried again when none is left; 0: once. Default 60,000. */
  readonly reconnect?: number;
  /** Milliseconds without a byte from a loader that owes something, after which others are asked. Default 30,000. */
  readonly stall?: number;
  /** Milliseconds after which an unanswered request is asked from a second loader, too. Default: never. */
  readonly hedge?: number;
  /** What happens to loaders: joined, left, back, gone, moved, hedged. */
  readonly onEvent?: (event: LoaderEvent) => void;
}

export interface StreamRange {
  /** First step. Default: the position. */
  readonly from?: number;
  /** How many; default: until the stream ends. */
  readonly steps?: number;
  readonly slots?: readonly number[];
  readonly signal?: AbortSignal;
}

export interface Client {
  /** As of the latest connection or refresh. */
  readonly info: StreamInfo;
  /** Each loader that is known, and what it is asked for now. */
  readonly loaders: readonly LoaderStatus[];
  /**
   * Images have their own memory, one buffer a cell. Throws what every loader refuses with, CONNECTION_LOST, OTHER_STREAM, UNAUTHORIZED, ABORTED or
   * CLOSED.
   */
  get(step: number, slots?: readonly number[], signal?: AbortSignal): Promise<Batch>;
  /** Batches in order, the two next ones requested ahead. What happens to loaders is seen as time only. */
  stream(range?: StreamRange): AsyncGenerator<Batch, void, undefined>;
  /** Delivered at most once. */
  feedback(step: number, rewards: readonly Reward[]): Promise<void>;
  refresh(): Promise<StreamInfo>;
  /** Of the shards that a loader has counted, for the option `counts` of another. PROTOCOL where the server is too old to tell. */
  counts(): Promise<CountsFile>;
  /** The position: one more than the last step that stream() gave. Small JSON, for a checkpoint. */
  state(): RunState;
  /** Goes on from there, with whatever loaders. Throws OTHER_STREAM with what differs, BAD_OPTION where it is no state. */
  loadState(state: unknown): void;
  /** Idempotent. Everything unfinished ends with CLOSED. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What tests put in the place of the machine. */
export interface ClientSeams extends LoadersSeams {
  readonly clock?: Clock;
}

/** Steps that are requested while the consumer has the one before. */
const AHEAD = 2;
/** Rewards in one frame. */
const REWARDS = 10_000;

/**
 * A client of one loader (`tcp://host:port`, `tls://host:port` or `unix:///path`) or of several: a list of addresses, `file:///path` with one a line, or
 * `dns+tcp://name:port`; one loader also tells of others. Each is tried once before this settles, and again later.
 */
export async function connect(
  url: string | readonly string[],
  options: ConnectOptions = {},
  seams: ClientSeams = {},
): Promise<Client> {
  const {
    token,
    tokenFile,
    tls,
    imageFormat: format = "raw",
    checksum,
    name = "ssl-r1-stream (Node)",
    fingerprint,
    timeout = 10_000,
    reconnect: patience = 60_000,
    stall = 30_000,
    hedge,
    onEvent = () => {},
  } = options;
  for (const [option, value, least] of [
    ["timeout", timeout, 1],
    ["reconnect", patience, 0],
    ["stall", stall, 1],
    ["hedge", hedge ?? 1, 1],
  ] as const)
    if (!(value >= least))
      throw new StreamError("BAD_OPTION", `${option}: got ${value}; milliseconds from ${least}`);
  const fleet = await openFleet(await openLoaders(url, seams), {
    link: { token, tokenFile, tls, format, checksum, name, timeout },
    fingerprint,
    patience,
    stall,
    hedge,
    onEvent,
    ...(seams.clock && { clock: seams.clock }),
  });
  let position = 0;

  async function* stream(range: StreamRange): AsyncGenerator<Batch, void, undefined> {
    const { from = position, steps = Infinity, slots, signal } = range;
    const last = Math.min(from + steps, fleet.info.steps ?? Infinity);
    if (steps > 0 && from > last) await fleet.get(from, slots, signal); // throws STEP_OUT_OF_RANGE
    const over = new AbortController();
    const stop = signal === undefined ? over.signal : AbortSignal.any([signal, over.signal]);
    const batches = ahead(
      count(from, last),
      () => 1 + AHEAD,
      async (step) => ({ batch: await fleet.get(step, slots, stop), release() {} }),
      () => over.abort(),
    );
    for await (const { batch } of batches) {
      position = batch.step + 1;
      yield batch;
    }
  }

  const close = async (): Promise<void> => fleet.close();
  return {
    get info() {
      return fleet.info;
    },
    get loaders() {
      return fleet.loaders;
    },
    get: (step, slots, signal) => fleet.get(step, slots, signal),
    stream: (range = {}) => stream(range),
    async feedback(step, rewards) {
      await fleet.call(async (link) => {
        for (let at = 0; at < rewards.length; at += REWARDS)
          link.send({ kind: "feedback", step, rewards: rewards.slice(at, at + REWARDS) });
      });
    },
    refresh: () => fleet.refresh(),
    counts: () =>
      fleet.call(async (link, id) => {
        for await (const counts of receiveCounts(link, id)) return counts;
        throw new StreamError("PROTOCOL", "the server ended counts without an answer");
      }),
    state: () => makeState(position, fleet.info),
    loadState(state) {
      position = stepOf(state, fleet.info);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function* count(from: number, to: number): Generator<number, void, undefined> {
  for (let step = from; step < to; step++) yield step;
}
