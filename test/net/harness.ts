import { setImmediate as turn } from "node:timers/promises";
import { afterEach } from "vitest";
import type { StreamError } from "../../src/errors.ts";
import { createNet, type Clock, type NetOptions, type Retry } from "../../src/net/create.ts";
import type { Known, Net } from "../../src/net/net.ts";
import { createFaultyServer, type FaultyServer } from "../fixtures/faulty-server.ts";

const cleanups: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

export function cleanup(work: () => Promise<void> | void): void {
  cleanups.push(work);
}

export async function serve(content: Uint8Array): Promise<FaultyServer> {
  const server = await createFaultyServer(content);
  cleanup(() => server.close());
  return server;
}

export interface TestClock extends Clock {
  /** Milliseconds that were slept, in order. */
  readonly slept: number[];
}

/** Time passes only while somebody sleeps, and then at once. */
export function testClock(random = 0.5): TestClock {
  let now = 0;
  const slept: number[] = [];
  return {
    slept,
    now: () => now,
    wall: () => 1_136_214_245_000 + now, // Mon, 02 Jan 2006 15:04:05 GMT
    random: () => random,
    async sleep(milliseconds, signal) {
      slept.push(milliseconds);
      now += milliseconds;
      await turn();
      signal.throwIfAborted();
    },
  };
}

export interface TestNet extends Net {
  readonly clock: TestClock;
  readonly retries: Retry[];
}

/** Direct, with a clock that needs no waiting. */
export function network(options: NetOptions = {}): TestNet {
  const clock = testClock();
  const retries: Retry[] = [];
  const net = createNet({
    clock,
    proxies: {},
    onRetry: (retry) => void retries.push(retry),
    ...options,
  });
  cleanup(() => net.close());
  return Object.assign(net, { clock, retries });
}

/** How long a busy machine may take to see what happens at once. */
export const soon = { timeout: 20_000 } as const;

export const never: AbortSignal = new AbortController().signal;

export async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

export function get(
  net: Net,
  url: string,
  known: Known = {},
  range: { from?: number; to?: number } = {},
): Promise<Buffer> {
  return bytesOf(net.download(url, known, { ...range, signal: never }));
}

export function failure(work: Promise<unknown>): Promise<StreamError> {
  return work.then(
    () => {
      throw new Error("it did not fail");
    },
    (error: StreamError) => error,
  );
}

/** Bytes that differ everywhere. */
export function sample(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = 1;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[at] = state >>> 16;
  }
  return bytes;
}
