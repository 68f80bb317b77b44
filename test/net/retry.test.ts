import { describe, expect, test } from "vitest";
import type { Fault } from "../fixtures/faulty-server.ts";
import { failure, get, network, never, sample, serve, testClock } from "./harness.ts";

const content = sample(10_000);

describe("the budget", () => {
  test("back-off doubles from half a second to a minute, with full jitter, and starts again after a new byte", async () => {
    const server = await serve(content);
    const clock = testClock(0.5);
    const net = network({ clock, budget: 1e9, tries: 12 });
    server.faults.push(...Array<Fault>(9).fill({ status: 500 }), { cut: 100 }, { cut: 0 });
    expect((await get(net, server.url)).equals(content)).toBe(true);
    const doubling = [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000];
    expect(clock.slept).toEqual([...doubling, 250, 500]);
    const unlucky = testClock(0);
    server.faults.push({ status: 500 });
    await get(network({ clock: unlucky }), server.url);
    expect(unlucky.slept).toEqual([0]);
  });

  test("used up, the error names host, file, tries and the last reason", async () => {
    const server = await serve(content);
    const net = network();
    server.faults.push(
      ...Array<Fault>(100).fill({ status: 502, headers: { "x-error-message": "no\tday" } }),
    );
    const error = await failure(get(net, `${server.url}/a/b.tar?Signature=geheim`));
    const { host } = new URL(server.url);
    expect(error).toMatchObject({
      code: "NETWORK",
      message: `${host}/a/b.tar: given up after 26 tries without a byte: ${host} answered 502 (no day)`,
      context: { host, file: "/a/b.tar", tries: 26 },
    });
    expect(net.counts).toMatchObject({ requests: 26, retries: 25 });
    expect(net.retries[3]).toEqual({
      host,
      file: "/a/b.tar",
      tries: 4,
      wait: 2000,
      reason: `${host} answered 502 (no day)`,
    });
  });

  test("so many tries in a row", async () => {
    const server = await serve(content);
    const net = network({ tries: 3 });
    const cuts = [500, 0, 0, 500, 0, 0, 500].map((cut) => ({ cut }));
    server.faults.push(...cuts);
    expect((await get(net, server.url)).equals(content)).toBe(true);
    server.faults.push({ cut: 0 }, { cut: 0 }, { cut: -1 });
    expect(await failure(get(net, server.url))).toMatchObject({
      code: "NETWORK",
      message: expect.stringMatching(/after 3 tries without a byte: the connection was cut/),
    });
  });

  test("nobody at home", async () => {
    const server = await serve(content);
    await server.close();
    expect(await failure(get(network(), server.url))).toMatchObject({
      code: "NETWORK",
      message: expect.stringMatching(/ECONNREFUSED/),
    });
    expect(await failure(network({ tries: 2 }).head(server.url, never))).toMatchObject({
      code: "NETWORK",
    });
    expect(await failure(network({ tries: 2 }).fetch(server.url))).toMatchObject({
      code: "NETWORK",
    });
  });

  test("a reader that takes its time does not use it up", async () => {
    const server = await serve(content);
    const clock = testClock();
    const net = network({ clock, budget: 1000 });
    server.faults.push(...Array<Fault>(5).fill({ cut: 1000 }));
    let length = 0;
    for await (const chunk of net.download(server.url, {}, { signal: never })) {
      length += chunk.length;
      await clock.sleep(5000, never);
    }
    expect(length).toBe(content.length);
  });
});

describe("a server that asks for patience gets it", () => {
  const cases: readonly (readonly [name: string, Fault, waits: readonly number[]])[] = [
    ["seconds", { status: 429, headers: { "retry-after": "17" } }, [17_000]],
    ["503", { status: 503, headers: { "retry-after": "17" } }, [17_000]],
    [
      "a date, by the server's own clock",
      {
        status: 429,
        headers: {
          date: "Tue, 03 Mar 2099 10:00:00 GMT",
          "retry-after": "Tue, 03 Mar 2099 10:00:20 GMT",
        },
      },
      [20_000],
    ],
    ["nothing", { status: 429, headers: { "retry-after": "soon" } }, [250]],
    ["zero", { status: 429, headers: { "retry-after": "0" } }, [250]],
    [
      "the Hub's RateLimit",
      { status: 429, headers: { ratelimit: '"resolvers";r=0;t=30' } },
      [30_000],
    ],
    [
      "the earlier RateLimit",
      { status: 429, headers: { ratelimit: "limit=9, remaining=0, reset=30" } },
      [30_000],
    ],
    [
      "RateLimit without a time",
      {
        status: 429,
        headers: { ratelimit: '"api";r=0', "ratelimit-policy": '"fixed window";"api";q=500;w=40' },
      },
      [40_000],
    ],
    [
      "x-ratelimit",
      { status: 429, headers: { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "12" } },
      [12_000],
    ],
    [
      "x-ratelimit with a date",
      { status: 429, headers: { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1136214257" } },
      [12_000],
    ],
  ];
  for (const [name, fault, waits] of cases)
    test(name, async () => {
      const server = await serve(content);
      const clock = testClock();
      server.faults.push(fault);
      expect((await get(network({ clock }), server.url)).equals(content)).toBe(true);
      expect(clock.slept).toEqual(waits);
      expect(server.seen).toHaveLength(2);
    });

  test("ahead of time, and only that server", async () => {
    const [server, other] = [await serve(content), await serve(content)];
    const clock = testClock();
    const net = network({ clock });
    const used = { ratelimit: '"api";r=1;t=50, "pages";r=0;t=30' };
    server.faults.push({ status: 200, headers: used });
    await get(net, server.url);
    await get(net, other.url);
    expect(clock.slept).toEqual([]);
    await get(net, server.url);
    expect(clock.slept).toEqual([30_000]);
    server.faults.push({ status: 200, headers: { ratelimit: '"api";r=1;t=50' } });
    await get(net, server.url);
    await get(net, server.url);
    expect(clock.slept).toEqual([30_000]);
  });

  test("for everybody: one 429 is enough for all", async () => {
    const server = await serve(content);
    const clock = testClock();
    const net = network({ clock, requests: 1 });
    server.faults.push({ status: 429, headers: { "retry-after": "9" } });
    await Promise.all([1, 2, 3, 4].map(() => get(net, server.url)));
    expect(server.seen).toHaveLength(5);
  });

  test("more than the budget is refused at once", async () => {
    const server = await serve(content);
    const clock = testClock();
    server.faults.push({ status: 429, headers: { "retry-after": "3600" } });
    expect(await failure(get(network({ clock }), server.url))).toMatchObject({
      code: "NETWORK",
      message: expect.stringMatching(/answered 429, and wants to be left alone for 3600 s/),
    });
    expect(clock.slept).toEqual([]);
  });
});

test("what no other try mends fails at once, in words", async () => {
  const server = await serve(content);
  const expected: Readonly<Record<number, string>> = {
    401: "UNAUTHORIZED",
    403: "UNAUTHORIZED",
    404: "SOURCE_NOT_FOUND",
    410: "SOURCE_NOT_FOUND",
    400: "SOURCE_NOT_FOUND",
    451: "SOURCE_NOT_FOUND",
    407: "NETWORK",
    501: "NETWORK",
    204: "NETWORK",
    304: "NETWORK",
    300: "NETWORK",
  };
  for (const [status, code] of Object.entries(expected))
    for (const ask of [
      (net: ReturnType<typeof network>) => get(net, `${server.url}/f`),
      (net: ReturnType<typeof network>) => net.head(`${server.url}/f`, never),
    ]) {
      const net = network();
      const twice = status === "501" && ask !== undefined ? 2 : 1; // HEAD is asked as GET
      server.faults.push(...Array<Fault>(twice).fill({ status: Number(status) }));
      expect(await failure(ask(net))).toMatchObject({ code, context: { file: "/f" } });
      expect(net.counts.retries).toBe(0);
      server.faults.length = 0;
    }
  server.faults.push({ status: 401 }, { status: 401 });
  const hint = await failure(get(network(), server.url));
  expect(hint.message).toMatch(/needs a token, and none is known/);
  const token = { value: "x", origins: [server.url] };
  expect((await failure(get(network({ token }), server.url))).message).toMatch(
    /token gives no access/,
  );
  for (const address of ["ftp://x/y", "file:///x", "nonsense", "https://"])
    expect(await failure(get(network(), address))).toMatchObject({ code: "SOURCE_NOT_FOUND" });
});

test("head", async () => {
  const server = await serve(content);
  const net = network();
  const etag = server.validators && (await net.head(server.url, never)).etag;
  expect(await net.head(server.url, never)).toEqual({ size: 10_000, etag, ranges: true });
  server.faults.push({ status: 503 }, { cut: -1 });
  expect(await net.head(server.url, never)).toEqual({ size: 10_000, etag, ranges: true });
  server.faults.push({ status: 405 });
  expect(await net.head(server.url, never)).toEqual({ size: 10_000, etag, ranges: true });
  server.faults.push({ status: 405 }, { ignoreRange: true });
  expect(await net.head(server.url, never)).toEqual({ size: 10_000, etag, ranges: false });
  server.faults.push({ etag: 'W/"weak"' });
  expect(await net.head(server.url, never)).toEqual({ size: 10_000, ranges: true });
  server.content = new Uint8Array();
  server.faults.push({ status: 405 });
  expect(await net.head(server.url, never)).toEqual({ size: 0, ranges: true });
});
