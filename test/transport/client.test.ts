import { deepEqual } from "node:assert/strict";
import {
  connect as connectSocket,
  createServer as createSocketServer,
  type Socket,
} from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { batchDigest } from "../../src/digest.ts";
import type { StreamError } from "../../src/errors.ts";
import type { Batch } from "../../src/model.ts";
import { parseAddress } from "../../src/transport/address.ts";
import { connect, type Client } from "../../src/transport/client.ts";
import { packFrame } from "../../src/transport/codec.ts";
import { kinds } from "../../src/transport/messages.ts";
import { createServer, type Server, type ServerOptions } from "../../src/transport/server.ts";
import { createFake, pixel, type FakeMaker, type FakeOptions } from "./fake.ts";

const makers: FakeMaker[] = [];
const cleanups: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
  for (const { tally } of makers.splice(0)) {
    deepEqual({ ...tally, made: tally.released, twice: 0, opened: tally.closed }, tally);
  }
});

async function serve(
  fake: FakeOptions = {},
  options: Partial<ServerOptions> = {},
): Promise<Server> {
  const maker = createFake(fake);
  makers.push(maker);
  const server = await createServer(maker, { listen: "tcp://127.0.0.1:0", ...options });
  cleanups.push(() => server.close());
  return server;
}

async function dial(url: string, options: Parameters<typeof connect>[1] = {}): Promise<Client> {
  const client = await connect(url, options);
  cleanups.push(() => client.close());
  return client;
}

/** Passes everything on, until it is told to cut. */
async function proxy(target: string): Promise<{ url: string; cut(): void; sockets: Set<Socket> }> {
  const { port, host } = parseAddress(target) as { port: number; host: string };
  const sockets = new Set<Socket>();
  const server = createSocketServer((socket) => {
    const onward = connectSocket(port, host);
    for (const each of [socket, onward]) {
      sockets.add(each);
      each.on("error", () => {});
      each.on("close", () => {
        sockets.delete(each);
        socket.destroy();
        onward.destroy();
      });
    }
    socket.pipe(onward).pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  cleanups.push(() => {
    server.close();
    cut();
  });
  return { url: `tcp://127.0.0.1:${(server.address() as { port: number }).port}`, cut, sockets };
}

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "answered",
    (error: StreamError) => error.code,
  );

function expectPixels(batch: Batch): void {
  for (const { index, images } of batch.puzzles) {
    for (const [number, { data }] of images.entries()) {
      expect(data.every((value, at) => value === pixel(index, number, at))).toBe(true);
    }
  }
}

describe("get", () => {
  test("a batch as the maker made it", async () => {
    const { address } = await serve({ failing: [2], side: 100 });
    const client = await dial(address);
    expect(client.info).toEqual(makers[0]?.info());
    const batch = await client.get(3);
    expect(batch.puzzles.map(({ slot }) => slot)).toEqual([0, 1, 3, 4, 5, 6, 7]);
    expect(batch.puzzles.map(({ index }) => index)).toEqual([24, 25, 27, 28, 29, 30, 31]);
    expect(batch.failed).toMatchObject([{ slot: 2, error: { code: "SLOT_FAILED" } }]);
    expect(batch.puzzles[0]?.recipe).toEqual({
      shard: "a.tar",
      row: 24,
      drawn: [1, 2.5, null, true],
      nested: { seed: 2 ** 40 + 24 },
    });
    expectPixels(batch);
  });

  test("slots in the order asked for", async () => {
    const { address } = await serve();
    const client = await dial(address);
    const batch = await client.get(1, [6, 0, 5]);
    expect(batch.puzzles.map(({ slot }) => slot)).toEqual([6, 0, 5]);
    expect(batchDigest(batch)).toBe(batchDigest(await client.get(1, [0, 5, 6])));
  });

  test("many at once on one connection", async () => {
    const server = await serve();
    const client = await dial(server.address);
    const batches = await Promise.all(Array.from({ length: 16 }, (_, step) => client.get(step)));
    expect(batches.map(({ step }) => step)).toEqual(Array.from({ length: 16 }, (_, step) => step));
    expect(server.clients).toHaveLength(1);
  });

  test("refusals are thrown and the connection lives on", async () => {
    const { address } = await serve({ steps: 3 });
    const client = await dial(address);
    expect(await codeOf(client.get(0, [8]))).toBe("BAD_SLOTS");
    expect(await codeOf(client.get(3))).toBe("STEP_OUT_OF_RANGE");
    expect((await client.get(2)).puzzles).toHaveLength(8);
    expect((await client.refresh()).samples).toBe(100);
  });

  test("a caller that gives up before, or while the server works", async () => {
    const started = Promise.withResolvers<void>();
    const stopped = Promise.withResolvers<void>();
    const { address } = await serve({
      before: async (step, _cell, signal) => {
        if (step === 1) return;
        started.resolve();
        signal?.addEventListener("abort", () => stopped.resolve());
        await stopped.promise;
      },
    });
    const client = await dial(address);
    expect(await codeOf(client.get(0, undefined, AbortSignal.abort()))).toBe("ABORTED");
    const late = new AbortController();
    const early = codeOf(client.get(1, undefined, late.signal));
    late.abort();
    expect(await early).toBe("ABORTED");
    const controller = new AbortController();
    const asked = codeOf(client.get(0, undefined, controller.signal));
    await started.promise;
    controller.abort();
    expect(await asked).toBe("ABORTED");
    await stopped.promise;
    expect((await client.get(1)).step).toBe(1);
  });
});

describe("connecting", () => {
  test("what the server refuses is thrown at once", async () => {
    const { address } = await serve({}, { token: "secret" });
    expect(await codeOf(dial(address))).toBe("UNAUTHORIZED");
    expect(await codeOf(dial(address, { token: "Secret" }))).toBe("UNAUTHORIZED");
    const given = { token: "secret" };
    expect(await codeOf(dial(address, { ...given, fingerprint: "sha256:x" }))).toBe("OTHER_STREAM");
  });

  test("nobody there, or nobody who answers", async () => {
    expect(await codeOf(dial("unix:///nowhere/at/all"))).toBe("CONNECTION_LOST");
    const silent = createSocketServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as { port: number };
    expect(await codeOf(dial(`tcp://127.0.0.1:${port}`, { timeout: 20 }))).toBe("CONNECTION_LOST");
    silent.close();
  });

  test.each([
    ["no frames at all", Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"), "BAD_FRAME"],
    ["a cell before the welcome", Buffer.from(packFrame(kinds.done, { id: 1 })), "PROTOCOL"],
    [
      "a frame that is too large",
      Buffer.from("5231530141000000ffffffff00000000", "hex"),
      "FRAME_TOO_LARGE",
    ],
  ])("a server that sends %s", async (_, bytes, code) => {
    const odd = createSocketServer((socket) => void socket.on("error", () => {}).end(bytes));
    await new Promise<void>((resolve) => odd.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => void odd.close());
    const { port } = odd.address() as { port: number };
    expect(await codeOf(dial(`tcp://127.0.0.1:${port}`))).toBe(code);
  });

  test("after close nothing works, and what was waiting ends", async () => {
    const { address } = await serve({
      before: (_step, _cell, signal) =>
        new Promise((_, reject) => signal?.addEventListener("abort", reject)),
    });
    const client = await dial(address);
    const asked = codeOf(client.get(0));
    await client.close();
    expect(await asked).toBe("CLOSED");
    expect(await codeOf(client.get(0))).toBe("CLOSED");
    await client.close();
  });
});

describe("stream", () => {
  const steps = async (batches: AsyncIterable<Batch>): Promise<number[]> => {
    const found: number[] = [];
    for await (const batch of batches) {
      expect(batch.puzzles).toHaveLength(8);
      expectPixels(batch);
      found.push(batch.step);
    }
    return found;
  };

  test("from a step, so many, or to the end", async () => {
    const { address } = await serve({ steps: 9 });
    const client = await dial(address);
    expect(await steps(client.stream({ from: 2, steps: 3 }))).toEqual([2, 3, 4]);
    expect(await steps(client.stream({ from: 6 }))).toEqual([6, 7, 8]);
    expect(await steps(client.stream({ from: 9 }))).toEqual([]);
    expect(await steps(client.stream({ steps: 0 }))).toEqual([]);
    expect(await codeOf(steps(client.stream({ from: 10 })))).toBe("STEP_OUT_OF_RANGE");
  });

  test("several at once, beside gets", async () => {
    const { address } = await serve();
    const client = await dial(address);
    const [one, two, got] = await Promise.all([
      steps(client.stream({ from: 0, steps: 5 })),
      steps(client.stream({ from: 100, steps: 5 })),
      client.get(7),
    ]);
    expect([one, two, got.step]).toEqual([[0, 1, 2, 3, 4], [100, 101, 102, 103, 104], 7]);
  });

  test("a consumer that stops reading holds a bounded number of batches", async () => {
    // 35 MB a batch, so that the credit is spent after two.
    const { address } = await serve({ side: 600, batch: 16 });
    const client = await dial(address);
    const stream = client.stream();
    await stream.next();
    await client.get(50);
    const made = makers[0]?.tally.made ?? 0;
    for (let step = 51; step < 54; step++) await client.get(step);
    const later = (makers[0]?.tally.made ?? 0) - 3 * 4;
    expect(later - made).toBeLessThanOrEqual(24);
    await stream.return();
  });

  test("breaking off cancels it", async () => {
    const { address } = await serve();
    const client = await dial(address);
    for await (const batch of client.stream()) if (batch.step === 3) break;
    await client.get(0);
    const { tally } = makers[0]!;
    while (tally.closed !== tally.opened) await client.refresh();
    // 0 to 3, the two ahead of each, and the last one.
    expect(tally.opened).toBeLessThanOrEqual(7);
  });

  test("goes on over a connection that is cut again and again, without loss or repeat", async () => {
    const { address } = await serve();
    const between = await proxy(address);
    const client = await dial(between.url);
    const found: string[] = [];
    for await (const batch of client.stream({ steps: 12 })) {
      found.push(`${batch.step} ${batchDigest(batch)}`);
      if (batch.step % 4 === 1) between.cut();
    }
    const direct = await dial(address);
    const expected: string[] = [];
    for (let step = 0; step < 12; step++)
      expected.push(`${step} ${batchDigest(await direct.get(step))}`);
    expect(found).toEqual(expected);
  });

  test("goes on after the server was started anew, unless it has another stream", async () => {
    const first = await serve();
    const client = await dial(first.address);
    const stream = client.stream();
    expect((await stream.next()).value?.step).toBe(0);
    await first.close();
    const second = await serve({}, { listen: first.address });
    for (let step = 1; step < 6; step++) expect((await stream.next()).value?.step).toBe(step);
    await second.close();
    await serve({ fingerprint: "sha256:other" }, { listen: first.address });
    const rest = async (): Promise<void> => {
      for await (const batch of stream) expect(batch.step).toBeGreaterThan(5);
    };
    expect(await codeOf(rest())).toBe("OTHER_STREAM");
  });

  test("a lost connection ends in CONNECTION_LOST when patience does", async () => {
    const server = await serve();
    const client = await dial(server.address, { reconnect: 0 });
    await server.close();
    expect(await codeOf(client.get(0))).toBe("CONNECTION_LOST");
  });
});

test("feedback arrives", async () => {
  const given: unknown[] = [];
  const { address } = await serve({}, { onFeedback: (feedback) => given.push(feedback.rewards) });
  const client = await dial(address);
  await client.feedback(4, [{ index: 32, reward: 1 }]);
  await client.refresh();
  expect(given).toEqual([[{ index: 32, reward: 1 }]]);
});
