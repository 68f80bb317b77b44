import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/net/clock.ts";
import type { Fault } from "../fixtures/faulty-server.ts";
import { bytesOf, failure, get, network, never, sample, serve, soon } from "./harness.ts";

const content = sample(4_000_000);

describe("so many requests at once", () => {
  test("and no more, whatever asks", async () => {
    const server = await serve(sample(5000));
    const net = network({ requests: 3 });
    server.faults.push(...Array<Fault>(40).fill({ drip: true }));
    await Promise.all([
      ...Array.from({ length: 20 }, () => get(net, server.url)),
      ...Array.from({ length: 20 }, () => net.fetch(server.url)),
    ]);
    expect(server.seen).toHaveLength(40);
    expect(server.most).toBe(3);
  });

  test("a reader that rests gives way to those that wait, and goes on later where it was", async () => {
    const server = await serve(content);
    const net = network({ requests: 2, patience: 10 });
    const resting = [1, 2].map(() =>
      net.download(server.url, {}, { signal: never })[Symbol.asyncIterator](),
    );
    const first = await Promise.all(
      resting.map(async (one) => (await one.next()).value as Uint8Array),
    );
    const others = await Promise.all([1, 2, 3].map(() => get(net, server.url)));
    for (const one of others) expect(one.equals(content)).toBe(true);
    for (const [at, one] of resting.entries()) {
      const rest = await bytesOf({ [Symbol.asyncIterator]: () => one });
      expect(Buffer.concat([first[at]!, rest]).equals(content)).toBe(true);
    }
    expect(net.counts.retries).toBe(0);
    // three were waited for, two were taken
    expect(server.seen.length).toBeLessThanOrEqual(7);
  });

  test("a reader that rests keeps its request while nobody waits", async () => {
    const server = await serve(content);
    const net = network({ requests: 2, patience: 1 });
    const one = net.download(server.url, {}, { signal: never })[Symbol.asyncIterator]();
    const first = (await one.next()).value as Uint8Array;
    for (let round = 0; round < 20; round++)
      await get(net, server.url, {}, { from: content.length - 9 });
    const rest = await bytesOf({ [Symbol.asyncIterator]: () => one });
    expect(Buffer.concat([first, rest]).equals(content)).toBe(true);
    expect(server.seen).toHaveLength(21);
  });
});

test("the reader's pace is the pace of reading", async () => {
  const large = sample(40_000_000);
  const server = await serve(large);
  const net = network({ stall: 1000 });
  const reader = net.download(server.url, {}, { signal: never })[Symbol.asyncIterator]();
  await reader.next();
  // longer than the stall: a reader that is away is no stall of the network
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect(net.counts.bytes).toBeLessThan(1_000_000);
  let length = 0;
  for await (const chunk of { [Symbol.asyncIterator]: () => reader }) length += chunk.length;
  expect(length).toBeGreaterThan(39_000_000);
  expect(net.counts).toMatchObject({ requests: 1, retries: 0, bytes: large.length });
});

describe("the end", () => {
  /** What can be under way when somebody gives up: a server's faults that make it wait there. */
  const stages: Readonly<Record<string, Fault>> = {
    "before the head": { hang: -1 },
    "before the body": { hang: 0 },
    "in the body": { hang: 100_000 },
    "before the next try": { status: 503, headers: { "retry-after": "100" } },
  };
  for (const [name, fault] of Object.entries(stages))
    for (const how of ["abort", "close"] as const)
      test(`${how} ${name}`, async () => {
        const server = await serve(content);
        const given = new AbortController();
        const net = network({ clock: systemClock, requests: 3 });
        server.faults.push(fault, fault, fault);
        const { signal } = given;
        const work = [
          bytesOf(net.download(server.url, {}, { signal })),
          fault.hang === undefined || fault.hang < 0
            ? net.head(`${server.url}/head`, signal)
            : bytesOf(net.download(server.url, {}, { signal })),
          net.fetch(server.url, { signal }).then((response) => response.text()),
          bytesOf(net.download(server.url, {}, { signal })), // waits for its turn
        ];
        const failures = Promise.all(work.map(failure));
        await expect.poll(() => server.seen.length, soon).toBe(3);
        if (how === "abort") given.abort();
        else await net.close();
        const codes = (await failures).map(({ code }) => code);
        const expected = how === "abort" ? "ABORTED" : "CLOSED";
        expect(codes.filter((code) => code !== expected)).toEqual([]);
        if (how === "abort" && fault.status === undefined)
          expect((await get(net, server.url)).equals(content)).toBe(true);
        await net.close();
        await expect.poll(() => server.open(), soon).toBe(0);
      });

  test("a download that is broken off closes its connection", async () => {
    const server = await serve(content);
    const net = network();
    for await (const _ of net.download(server.url, {}, { signal: never })) break;
    await expect.poll(() => server.open(), soon).toBe(0);
    // a part of what a server gives whole
    server.faults.push({ ignoreRange: true });
    await get(net, server.url, {}, { from: 5, to: 10 });
    await expect.poll(() => server.open(), soon).toBe(0);
  });

  test("an abort closes the connection also while the reader is away", async () => {
    const server = await serve(content);
    const net = network();
    const given = new AbortController();
    const reader = net.download(server.url, {}, { signal: given.signal })[Symbol.asyncIterator]();
    await reader.next();
    given.abort();
    await expect.poll(() => server.open(), soon).toBe(0);
    expect(await failure(reader.next())).toMatchObject({ code: "ABORTED" });
    expect(
      await failure(get(network(), server.url).then(() => given.signal.throwIfAborted())),
    ).toBeTruthy();
    expect(await failure(net.head(server.url, given.signal))).toMatchObject({ code: "ABORTED" });
  });

  test("a process that has closed its network ends by itself", async () => {
    const server = await serve(content);
    server.faults.push({}, { hang: 100 }, { status: 503, headers: { "retry-after": "100" } });
    const create = new URL("../../src/net/create.ts", import.meta.url);
    const script = `
      import { createNet } from ${JSON.stringify(create.href)};
      const net = createNet({ proxies: {} });
      const signal = new AbortController().signal;
      const start = () => net.download(${JSON.stringify(server.url)}, {}, { signal })[Symbol.asyncIterator]();
      const readers = [start(), start(), start()];
      await readers[0].next();
      await readers[1].next();
      const last = readers[2].next().catch((error) => error.code);
      while (net.counts.retries < 1) await new Promise((resolve) => setTimeout(resolve, 5));
      await net.close();
      console.log(await last);
    `;
    const run = promisify(execFile);
    const { stdout } = await run(process.execPath, ["--input-type=module", "-e", script], {
      timeout: 30_000,
    });
    expect(stdout).toBe("CLOSED\n");
    await expect.poll(() => server.open(), soon).toBe(0);
  });

  test("nothing works after close, and nothing is left of a thousand requests", async () => {
    const server = await serve(sample(100));
    const net = network();
    const given = new AbortController();
    let listeners = 0;
    const { signal } = given;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...all: Parameters<typeof add>) => (listeners++, add(...all));
    signal.removeEventListener = (...all: Parameters<typeof remove>) => (
      listeners--,
      remove(...all)
    );
    for (let round = 0; round < 20; round++)
      await Promise.all(
        Array.from({ length: 50 }, async (_, at) => {
          if (at % 3 === 0) await net.head(server.url, signal);
          else if (at % 3 === 1) await (await net.fetch(server.url, { signal })).text();
          else await bytesOf(net.download(server.url, {}, { signal }));
        }),
      );
    expect(listeners).toBe(0);
    expect(server.seen).toHaveLength(1000);
    // connections are used again
    expect(server.connections).toBeLessThan(100);
    await Promise.all([net.close(), net.close()]);
    await expect.poll(() => server.open(), soon).toBe(0);
    for (const work of [get(net, server.url), net.head(server.url, never), net.fetch(server.url)])
      expect(await failure(work)).toMatchObject({ code: "CLOSED" });
    expect(server.seen).toHaveLength(1000);
  });
});
