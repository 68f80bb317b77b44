import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { asStreamError, StreamError } from "../../src/errors.ts";
import { fromBytes } from "../../src/shards/bytes.ts";
import type { Row, RowOptions } from "../../src/shards/feed.ts";
import { createNotebook, type Notes } from "../../src/shards/notes.ts";
import { tarFeed } from "../../src/shards/tar-feed.ts";
import { openTar } from "../../src/sources/tar-shard.ts";
import { inChunks, split, watched } from "../fixtures/chunks.ts";
import { collect, noise } from "../fixtures/files.ts";
import { endOfArchive, entry, join, paxRecord, rawMember, tarOf } from "../fixtures/tar.ts";

interface Outcome {
  readonly rows?: readonly PlainRow[];
  readonly notes?: Notes;
  readonly error?: { readonly code: string; readonly message: string; readonly context: object };
}

const signal = new AbortController().signal;
const options: RowOptions = { group: "group" };

function failed(thrown: unknown): Outcome {
  if (!(thrown instanceof StreamError)) throw thrown;
  const { code, message, context } = asStreamError(thrown);
  return { error: { code, message, context } };
}

const zstd = (bytes: Uint8Array): Uint8Array =>
  zstdCompressSync(bytes, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });

/** Bytes as text: quicker to compare, a hundred thousand times. */
type PlainRow = Omit<Row, "bytes"> & { readonly bytes: string };

const plain = ({ key, group, name, bytes }: Row): PlainRow => ({
  key,
  group,
  name,
  bytes: Buffer.from(bytes).toString("latin1"),
});

async function byRandomAccess(bytes: Uint8Array, given: RowOptions = options): Promise<Outcome> {
  try {
    const shard = await openTar(fromBytes(bytes, "x.tar"), "x.tar", given);
    const rows: PlainRow[] = [];
    for (let row = 0; row < shard.rows; row++) rows.push(plain(await shard.read(row)));
    const { problems, skipped } = shard.notes!;
    return { rows, notes: { problems, skipped } };
  } catch (error) {
    return failed(error);
  }
}

async function byFeed(
  bytes: AsyncIterable<Uint8Array>,
  given: RowOptions = options,
): Promise<Outcome> {
  const notes = createNotebook();
  const rows: PlainRow[] = [];
  try {
    for await (const row of tarFeed("x.tar", () => bytes, given).rows(notes, signal))
      rows.push(plain(row));
    return { rows, notes: { problems: notes.problems, skipped: notes.skipped } };
  } catch (error) {
    return failed(error);
  }
}

const sample = join([
  rawMember({ type: "g" }, paxRecord("comment", "x")),
  rawMember({ name: "d/", type: "5" }),
  rawMember({ name: "a.json" }, '{"group":"g"}'),
  rawMember({ name: "a.seg.png" }, noise(70, 1)),
  rawMember({ name: "a.jpg" }, noise(700, 2)),
  rawMember({ name: "b.jpg", type: "2", link: "a.jpg" }),
  rawMember({ type: "x" }, paxRecord("path", "c/ü.webp")),
  rawMember({ name: "cut" }, noise(512, 3)),
  rawMember({ name: "c/ü.json" }, '{"group":4}'),
  rawMember({ type: "L" }, `${"long".repeat(40)}.PNG\0`),
  rawMember({ name: "cut" }, "x"),
  rawMember({ name: "none.txt" }, "y"),
  endOfArchive,
]);

describe("rows and notes of a feed are those of random access", () => {
  test("whatever the two chunks", async () => {
    const expected = await byRandomAccess(sample);
    expect(expected.rows?.map(({ key, group }) => [key, group])).toEqual([
      ["a", "g"],
      ["c/ü", "4"],
      ["long".repeat(40), "long".repeat(40)],
    ]);
    expect(expected.notes?.skipped).toEqual({
      directory: 1,
      link: 1,
      "further image": 1,
      "no image": 1,
    });
    for (let at = 0; at <= sample.length; at += at < 4_000 ? 1 : 7)
      expect(await byFeed(split(sample, at))).toEqual(expected);
    for (const length of [1, 2, 3, 511, 512, 513])
      expect(await byFeed(inChunks(sample, [length]))).toEqual(expected);
  });

  test.each([
    ["gzip", gzipSync(sample)],
    ["zstd", zstd(sample)],
  ])("whatever the two chunks of %s", async (_how, packed) => {
    const expected = await byRandomAccess(sample);
    for (let at = 0; at <= packed.length; at++)
      expect(await byFeed(split(packed, at))).toEqual(expected);
    expect(await byFeed(inChunks(packed, [1]))).toEqual(expected);
  });

  const names = [
    ["a.jpg", "a.JSON", "a.json", "a.png", "a.seg.png", "b.json", "b.v2.jpg", "b.txt", "c/d.gif"],
    ["c/._d.jpg", "plain", "e.webp", "f.jpg", "f.jpeg", "g/", "h."],
  ].flat();
  const types = Array.from("0000000000\u00007512gxLKVD");
  const tails = [
    Array.from({ length: 6 }, () => endOfArchive),
    [new Uint8Array(0), new Uint8Array(512), new Uint8Array(9_000), noise(700, 1)],
    [join([endOfArchive, Uint8Array.of(7)])],
  ].flat();
  const header = fc.record({
    name: fc.constantFrom(...names),
    type: fc.constantFrom(...types),
    magic: fc.constantFrom("ustar\x0000", "ustar  \0", ""),
    prefix: fc.constantFrom("", "", "p"),
  });
  const body = fc.oneof(
    fc.uint8Array({ maxLength: 1_100 }),
    fc.constantFrom('{"group":"one"}', '{"group":2}', '{"group":null}', "{", "[]"),
    fc.constantFrom(paxRecord("path", "e.webp"), paxRecord("path", ""), paxRecord("size", "3")),
    fc.constant("long.name.jpg\0"),
  );
  const archives = fc
    .record({
      members: fc.array(fc.tuple(header, body), { maxLength: 9 }),
      tail: fc.constantFrom(...tails),
      cut: fc.option(fc.nat(6_000), { freq: 4 }),
      flips: fc.array(fc.tuple(fc.nat(20_000), fc.integer({ min: 1, max: 255 })), {
        maxLength: 2,
      }),
      damaged: fc.boolean(),
    })
    .map(({ members, tail, cut, flips, damaged }) => {
      const bytes = join([...members.map(([one, data]) => rawMember(one, data)), tail]);
      if (!damaged) return bytes;
      for (const [at, mask] of flips)
        if (bytes.length > 0) bytes[at % bytes.length] = bytes[at % bytes.length]! ^ mask;
      return cut === null ? bytes : bytes.subarray(0, cut);
    });

  test("for archives of all kinds, whole and damaged: the same rows, or the same error", async () => {
    let whole = 0;
    await fc.assert(
      fc.asyncProperty(
        archives,
        fc.array(fc.integer({ min: 1, max: 1_500 }), { minLength: 1, maxLength: 4 }),
        fc.constantFrom(options, {}, { image: "png" }, { image: "SEG.png", group: "group" }),
        async (bytes, lengths, given) => {
          const expected = await byRandomAccess(bytes, given);
          if (expected.rows) whole++;
          expect(await byFeed(inChunks(bytes, lengths), given)).toEqual(expected);
        },
      ),
      { numRuns: 1_500, seed: 3 },
    );
    // the property says little where hardly any archive is whole
    expect(whole).toBeGreaterThan(200);
  });
});

describe("damage", () => {
  test("cut at any byte it is the same error as in random access, never fewer rows", async () => {
    const end = sample.length - 512;
    for (let at = 0; at < sample.length; at += 37) {
      const cut = sample.subarray(0, at);
      const outcome = await byFeed(inChunks(cut, [1_000]));
      expect(outcome).toEqual(await byRandomAccess(cut));
      if (at < end) expect(outcome.error).toMatchObject({ code: "SHARD_CORRUPT" });
    }
  });

  test("cut between two members, as Python's reader takes for a short shard", async () => {
    const cut = tarOf([entry("a.jpg"), entry("b.jpg")]).subarray(0, 1_024);
    expect((await byFeed(inChunks(cut))).error).toMatchObject({
      code: "SHARD_CORRUPT",
      context: { shard: "x.tar", offset: 1_024 },
    });
  });

  test("any flipped byte of packed data: the same rows or SHARD_CORRUPT, and soon", async () => {
    const expected = await byRandomAccess(sample);
    for (const packed of [gzipSync(sample), zstd(sample)])
      for (let at = 0; at < packed.length; at++) {
        const bytes = new Uint8Array(packed);
        bytes[at] = bytes[at]! ^ (1 << (at % 8));
        const outcome = await byFeed(inChunks(bytes, [at % 3 === 0 ? 100 : 4_000]));
        if (outcome.error) expect(outcome.error.code).toBe("SHARD_CORRUPT");
        else expect(outcome.rows).toHaveLength(expected.rows!.length);
      }
  });
});

describe("the consumer", () => {
  const archive = tarOf(Array.from({ length: 50 }, (_, i) => entry(`${i}.jpg`, noise(10_000, i))));

  test.each([
    ["tar", archive],
    ["gzip", gzipSync(archive)],
    ["zstd", zstdCompressSync(archive)],
  ])(
    "that leaves closes the source of a %s; one that waits is not hurried",
    async (_how, bytes) => {
      const { bytes: source, closed, asked } = watched(inChunks(bytes, [5_000]));
      const rows = tarFeed("x.tar", () => source, {}).rows(createNotebook(), signal);
      const iterator = rows[Symbol.asyncIterator]();
      await iterator.next();
      // one row of 10,000 bytes and the header of the next, and what the packers hold back
      const now = asked();
      expect(now).toBeLessThan(40);
      await new Promise((resolve) => setImmediate(resolve));
      expect([asked(), closed()]).toEqual([now, false]);
      await iterator.return?.();
      expect(closed()).toBe(true);
      expect(await iterator.next()).toMatchObject({ done: true });
    },
  );

  test("is told what the source says, as it says it", async () => {
    const cut = new StreamError("NETWORK", "away");
    for (const packed of [archive, gzipSync(archive)]) {
      async function* failing(): AsyncGenerator<Uint8Array> {
        yield packed.subarray(0, 20_000);
        throw cut;
      }
      const rows = tarFeed("x.tar", failing, {}).rows(createNotebook(), signal);
      await expect(collect(rows)).rejects.toBe(cut);
    }
  });

  test("that gives up gets ABORTED, whatever the source makes of it", async () => {
    const stop = new AbortController();
    async function* endless(heeded: AbortSignal): AsyncGenerator<Uint8Array> {
      yield archive.subarray(0, 30_000);
      stop.abort();
      heeded.throwIfAborted();
    }
    const { bytes, closed } = watched(endless(stop.signal));
    const rows = tarFeed("x.tar", () => bytes, {}).rows(createNotebook(), stop.signal);
    await expect(collect(rows)).rejects.toMatchObject({ code: "ABORTED" });
    expect(closed()).toBe(true);
    const late = tarFeed("x.tar", () => inChunks(archive), {}).rows(createNotebook(), stop.signal);
    await expect(collect(late)).rejects.toMatchObject({ code: "ABORTED" });
  });

  test("owns the memory of each image", async () => {
    const feed = tarFeed("x.tar", () => inChunks(archive, [100_000]), {});
    for await (const { bytes } of feed.rows(createNotebook(), signal)) {
      expect(bytes.buffer.byteLength).toBe(10_000);
      structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] });
    }
  });
});

test("an image beyond 256 MiB is a row without bytes, noted, and takes no memory", async () => {
  const size = (1 << 28) + 1;
  const octal = `${size.toString(8).padStart(11, "0")} `;
  async function* huge(): AsyncGenerator<Uint8Array> {
    yield rawMember({ name: "a.jpg", size: octal });
    const zeros = new Uint8Array(1 << 20);
    for (let left = Math.ceil(size / 512) * 512; left > 0; left -= zeros.length)
      yield zeros.subarray(0, Math.min(left, zeros.length));
    yield tarOf([entry("b.jpg", "small")]);
  }
  const before = process.memoryUsage().arrayBuffers;
  const notes = createNotebook();
  const seen: unknown[] = [];
  for await (const { key, bytes } of tarFeed("x.tar", huge, {}).rows(notes, signal)) {
    seen.push([key, bytes.length]);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 26);
  }
  expect(seen).toEqual([
    ["a", 0],
    ["b", 5],
  ]);
  expect(notes.problems).toMatchObject([{ key: "a.jpg", offset: 0 }]);
  expect(notes.problems[0]?.reason).toContain("268435457 bytes, the limit is 268435456");
});
