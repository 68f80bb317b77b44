import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { etagOf, type Fault } from "../fixtures/faulty-server.ts";
import { failure, get, network, sample, serve } from "./harness.ts";

const content = sample(300_000);
const size = content.length;
const sha256 = createHash("sha256").update(content).digest("hex");
const known = { size, etag: etagOf(content), sha256 };
const other = sample(300_001).subarray(1);

test("a file comes in one request, which asks for it as it is", async () => {
  const server = await serve(content);
  const net = network();
  expect((await get(net, `${server.url}/a.tar?secret=1`, known)).equals(content)).toBe(true);
  expect(server.seen).toHaveLength(1);
  expect(server.seen[0]!.headers["accept-encoding"]).toBe("identity");
  expect(server.seen[0]!.headers.range).toBeUndefined();
  expect(net.counts).toEqual({ requests: 1, retries: 0, bytes: size });
});

test("after a cut the rest is asked for, if it is still the same file", async () => {
  const server = await serve(content);
  server.faults.push({ cut: 100_000 });
  const net = network();
  expect((await get(net, server.url, known)).equals(content)).toBe(true);
  expect(server.seen.map(({ headers }) => [headers.range, headers["if-range"]])).toEqual([
    [undefined, undefined],
    ["bytes=100000-", etagOf(content)],
  ]);
  expect(net.counts).toEqual({ requests: 2, retries: 1, bytes: size });
});

test("a part comes in one request, also after a cut", async () => {
  const server = await serve(content);
  const net = network();
  const part = content.subarray(1000, 5000);
  expect((await get(net, server.url, known, { from: 1000, to: 5000 })).equals(part)).toBe(true);
  server.faults.push({ cut: 10 });
  expect((await get(net, server.url, known, { from: 1000, to: 5000 })).equals(part)).toBe(true);
  expect(server.seen.map(({ headers }) => headers.range)).toEqual([
    "bytes=1000-4999",
    "bytes=1000-4999",
    "bytes=1010-4999",
  ]);
  server.faults.push({ ignoreRange: true });
  expect((await get(net, server.url, {}, { from: 1000, to: 5000 })).equals(part)).toBe(true);
  expect((await get(net, server.url, {}, { from: size - 7 })).equals(content.subarray(-7))).toBe(
    true,
  );
});

test("a server that gives less than it was asked for is asked for the rest", async () => {
  const server = await serve(content);
  server.always = { longest: 50_000 };
  const net = network();
  const part = content.subarray(1000, 200_000);
  expect((await get(net, server.url, known, { from: 1000, to: 200_000 })).equals(part)).toBe(true);
  expect(net.counts).toEqual({ requests: 4, retries: 0, bytes: part.length });
});

test("what is known to be empty is not asked for", async () => {
  const server = await serve(new Uint8Array());
  const net = network();
  const sha256 = createHash("sha256").digest("hex");
  expect(await get(net, server.url, { size: 0, sha256 })).toHaveLength(0);
  expect(server.seen).toHaveLength(0);
  expect(await get(net, server.url)).toHaveLength(0);
  expect(await get(network(), server.url, {}, { from: 0 })).toHaveLength(0);
});

describe("faults that pass", () => {
  const cases: Readonly<Record<string, readonly Fault[]>> = {
    "a cut in the head": [{ cut: -1 }],
    "a cut before the first byte": [{ cut: 0 }],
    "a cut, and a server that ignores the range": [{ cut: 70_000 }, { ignoreRange: true }],
    "the same cut once more": [
      { cut: 70_000 },
      { ignoreRange: true, cut: 90_000 },
      { ignoreRange: true },
    ],
    "a Content-Length too long": [{ length: size + 5 }],
    "a Content-Length too short": [{ length: size - 5 }],
    "bytes after the end": [{ surplus: true }],
    "a wrong ETag": [{ etag: '"other"' }],
    "a wrong ETag after a cut": [{ cut: 9000 }, { etag: '"other"' }],
    "a wrong Content-Range": [{ cut: 9000 }, { contentRange: `bytes 8999-${size - 1}/${size}` }],
    "a Content-Range of another size": [
      { cut: 9000 },
      { contentRange: `bytes 9000-${size - 1}/${size + 1}` },
    ],
    "a Content-Range that is none": [{ cut: 9000 }, { contentRange: "items 1-2/3" }],
    "a range that is refused": [{ cut: 9000 }, { status: 416 }],
    chunks: [{ chunked: true }],
    "chunks that are cut": [{ chunked: true, cut: 1000 }],
    "no length": [{ unframed: true }],
    "no length, and a cut": [{ unframed: true, cut: 1000 }],
    "a range without a length, and a cut": [{ cut: 9000 }, { unframed: true, cut: 0 }],
    "no length, and the same cut again and again": Array<Fault>(3).fill({ unframed: true, cut: 0 }),
    "a slow drip": [{ drip: true, cut: 20_000 }],
    "gzip that nobody asked for": [{ gzip: true }],
    "gzip after a cut": [{ cut: 9000 }, { gzip: true }],
    "gzip that is cut": [{ gzip: true, cut: 9000 }, { gzip: true }],
    "a server in trouble": [500, 502, 503, 504, 408, 425, 429].map((status) => ({ status })),
  };
  for (const [name, faults] of Object.entries(cases))
    test(name, async () => {
      const server = await serve(content);
      server.faults.push(...faults);
      const net = network();
      expect((await get(net, server.url, known)).equals(content)).toBe(true);
      expect(server.seen.length).toBeLessThanOrEqual(1 + faults.length);
    });

  test("without anything known before", async () => {
    for (const faults of Object.values(cases)) {
      if (faults.some(({ length, etag }) => length !== undefined || etag !== undefined)) continue;
      const server = await serve(content);
      server.faults.push(...faults);
      expect((await get(network(), server.url)).equals(content)).toBe(true);
      await server.close();
    }
  });

  test("without ETags", async () => {
    for (const modified of [true, false])
      for (const faults of Object.values(cases)) {
        if (faults.some(({ etag }) => etag !== undefined)) continue;
        const server = await serve(content);
        server.validators = { etag: false, modified };
        server.faults.push(...faults);
        expect((await get(network(), server.url, { size })).equals(content)).toBe(true);
        await server.close();
      }
  });

  test("a connection that is closed without a length is asked once more whether that was the end", async () => {
    const server = await serve(content);
    server.faults.push({ unframed: true });
    const net = network();
    expect((await get(net, server.url)).equals(content)).toBe(true);
    expect(server.seen.map(({ headers }) => headers.range)).toEqual([undefined, `bytes=${size}-`]);
    server.faults.push(
      { unframed: true, ignoreRange: true },
      { unframed: true, ignoreRange: true },
    );
    expect((await get(net, server.url)).equals(content)).toBe(true);
  });

  test("a connection that hangs", async () => {
    for (const hang of [-1, 0, 1000]) {
      const server = await serve(content);
      server.faults.push({ hang });
      const net = network({ stall: 50 });
      expect((await get(net, server.url, known)).equals(content)).toBe(true);
      // once, or more often on a busy machine
      const reasons = new Set(net.retries.map(({ reason }) => reason));
      expect([...reasons]).toEqual(["no byte for 0.05 s"]);
    }
  });
});

describe("a file that has changed is never mixed with what it was", () => {
  const change = { content: other };
  const cases: Readonly<
    Record<string, readonly [readonly Fault[], Partial<typeof known>, RegExp]>
  > = {
    "another ETag than known": [
      [change],
      { etag: known.etag },
      new RegExp(`ETag was ${known.etag}.*${etagOf(other)}`),
    ],
    "another size than known": [
      [{ content: content.subarray(1) }],
      { size },
      /size was 300000 and is 299999/,
    ],
    "another ETag after a cut": [[{ cut: 100 }, change], {}, /ETag was/],
    "another ETag after a cut, and no range": [
      [{ cut: 100 }, { ...change, ignoreRange: true }],
      {},
      /ETag was/,
    ],
    "other bytes than the sum that is known": [
      [{ ...change, etag: null }],
      { sha256 },
      /sha256 is [0-9a-f]{64}, [0-9a-f]{64} was/,
    ],
    "shorter in chunks": [
      [{ content: content.subarray(0, 9), chunked: true }, { chunked: true }],
      { size },
      /size/,
    ],
    "longer in chunks": [
      [{ content: sample(size + 1), chunked: true }, { chunked: true }],
      { size },
      /size was 300000 and is more/,
    ],
  };
  for (const [name, [faults, known, message]] of Object.entries(cases))
    test(name, async () => {
      const server = await serve(content);
      server.faults.push(...faults);
      const error = await failure(get(network(), `${server.url}/x.tar?key=secret`, known));
      expect(error).toMatchObject({
        code: "SHARD_CORRUPT",
        message: expect.stringMatching(message),
      });
      expect(error.message).toContain("/x.tar: ");
      expect(error.message).not.toContain("secret");
    });

  test("without ETags, by the bytes that come again", async () => {
    const server = await serve(content);
    server.validators = { etag: false, modified: false };
    server.faults.push({ cut: 100 }, { content: other, ignoreRange: true }, { ignoreRange: true });
    expect(await failure(get(network(), server.url))).toMatchObject({
      code: "SHARD_CORRUPT",
      message: expect.stringMatching(/its bytes from 0 to 100 are others now/),
    });
  });

  test("without ETags, by its date", async () => {
    const server = await serve(content);
    server.validators = { etag: false, modified: true };
    const date = { headers: { "last-modified": "Mon, 02 Jan 2006 15:04:06 GMT" } };
    server.faults.push({ cut: 100 }, date, date);
    expect(await failure(get(network(), server.url))).toMatchObject({
      code: "SHARD_CORRUPT",
      message: expect.stringMatching(/date was/),
    });
  });

  test("a part beyond the end", async () => {
    const server = await serve(content);
    for (const known of [{}, { size }])
      for (const range of [
        { from: size - 5, to: size + 5 },
        { from: size + 1 },
        { from: size + 5, to: size + 9 },
      ])
        expect(await failure(get(network(), server.url, known, range))).toMatchObject({
          code: "SHARD_CORRUPT",
        });
    expect(await get(network(), server.url, {}, { from: size })).toHaveLength(0);
  });
});

test("a tar.gz that its server calls gzip-encoded stays what it is", async () => {
  const server = await serve(content);
  server.headers = { "content-encoding": "gzip" };
  server.faults.push({ cut: 1000 });
  expect((await get(network(), server.url, known)).equals(content)).toBe(true);
});
