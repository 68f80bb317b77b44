import { brotliCompressSync, crc32, gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { StreamError } from "../../src/errors.ts";
import type { Row } from "../../src/shards/feed.ts";
import { createNotebook } from "../../src/shards/notes.ts";
import { openParquet, type RandomBytes } from "../../src/shards/parquet.ts";
import { collect, noise } from "../fixtures/files.ts";
import { ending, page, parquet, plain, varint } from "./parquet-craft.ts";

const never = new AbortController().signal;

/** Bytes in memory as a file that is never whole in one request. */
function fileOf(bytes: Uint8Array, size: number = bytes.length): RandomBytes {
  return {
    size,
    read: (from, to) => Promise.resolve(bytes.slice(from, to)),
    async *stream(from, to) {
      for (let at = from; at < to; at += 1000) yield bytes.slice(at, Math.min(to, at + 1000));
    },
  };
}

async function rowsOf(bytes: Uint8Array): Promise<Row[]> {
  const feed = await openParquet("x.parquet", fileOf(bytes), {}, never);
  const rows: Row[] = [];
  for await (const row of feed.rows(createNotebook(), never)) rows.push(row);
  return rows;
}

async function reasonOf(bytes: Uint8Array): Promise<string> {
  const error: unknown = await rowsOf(bytes).then(
    (rows) => new Error(`${rows.length} rows`),
    (reason: unknown) => reason,
  );
  if (!(error instanceof StreamError)) throw error;
  expect(error.code).toBe("SHARD_CORRUPT");
  expect(error.context["shard"]).toBe("x.parquet");
  expect(error.context["offset"]).toBeTypeOf("number");
  expect(error.message).toMatch(/^x\.parquet: .* at byte \d+$/);
  return error.message;
}

const GIB = 2 ** 30;
const zeros = new Uint8Array(200e6);

describe("a crafted file", () => {
  test("is read where it does not lie", async () => {
    const [row] = await rowsOf(parquet([page(plain("abc"))]));
    expect(row).toEqual({
      key: "row 0",
      group: "row 0",
      name: "image",
      bytes: Uint8Array.from([97, 98, 99]),
    });
    const body = plain("abc", "d");
    const checked = parquet([page(body, { values: 2, crc: crc32(body) | 0 })], { rows: 2 });
    expect((await rowsOf(checked)).length).toBe(2);
    const dictionary = [
      page(plain("a", "bc"), { kind: 2, values: 2 }),
      page([1, 6, 1, 2, 0], { values: 4, encoding: 8 }),
    ];
    const rows = await rowsOf(parquet(dictionary, { rows: 4 }));
    expect(rows.map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(["bc", "bc", "bc", "a"]);
    const none = page([2, 0, 0, 0, 6, 0], { values: 3 });
    expect(
      (await rowsOf(parquet([none], { rows: 3, repetition: 1 }))).map(({ bytes }) => bytes.length),
    ).toEqual([0, 0, 0]);
  });

  test.each([
    [
      "a page that claims 2 GiB",
      page(plain("a"), { uncompressed: 2 * GIB - 1 }),
      1,
      /limit is 1073741824/,
    ],
    ["a page that claims less than nothing", page(plain("a"), { uncompressed: -5 }), 1, /-5 bytes/],
    [
      "a page beyond its column",
      page(plain("a"), { compressed: 6 }),
      0,
      /a page of 6 bytes, its column has 5 left/,
    ],
    ["a page of negative size", page(plain("a"), { compressed: -1 }), 0, /page of -1 bytes/],
    [
      "an uncompressed page of another size",
      page(plain("a"), { uncompressed: 6 }),
      0,
      /5 bytes where 6 are said/,
    ],
    [
      "more values than there can be",
      page(plain("a"), { values: 2 ** 31 - 1 }),
      0,
      /2147483647 values/,
    ],
    ["fewer than no values", page(plain("a"), { values: -1 }), 0, /page of -1 values/],
    ["a wrong checksum", page(plain("a"), { crc: 1 }), 0, /checksum of the page is wrong/],
    [
      "a value longer than its page",
      page([255, 0, 0, 0, 1]),
      0,
      /a value of 255 bytes, 1 are left/,
    ],
    ["bytes after the last value", page([...plain("a"), 0]), 0, /1 bytes after the last value/],
    [
      "numbers of a dictionary that is not there",
      page([1, 2, 0], { encoding: 8 }),
      0,
      /dictionary is missing/,
    ],
    ["an unknown encoding", page(plain("a"), { encoding: 77 }), 0, /encoding 77/],
    ["an unknown page", page(plain("a"), { kind: 9 }), 0, /page type 9/],
    ["LZO", page(plain("a")), 3, /compression LZO/],
    ["an unknown codec", page(plain("a")), 99, /compression 99/],
    [
      "snappy of another length",
      page([...varint(2 ** 31), 0, 0], { uncompressed: 5 }),
      1,
      /snappy says 2147483648 bytes, the page's header 5/,
    ],
    ["snappy that is none", page([5, 255, 255, 255], { uncompressed: 5 }), 1, /damaged page/],
    [
      "a bomb by its header",
      page(noise(1000, 1), { uncompressed: GIB }),
      6,
      /1000 bytes that would become 1073741824/,
    ],
    ["a zstd bomb", page(zstdCompressSync(zeros), { uncompressed: 5000 }), 6, /damaged page/],
    [
      "a gzip bomb",
      page(gzipSync(zeros.subarray(0, 20e6)), { uncompressed: 5000 }),
      2,
      /damaged page/,
    ],
    [
      "a brotli bomb",
      page(brotliCompressSync(zeros.subarray(0, 20e6)), { uncompressed: 5000 }),
      4,
      /damaged page/,
    ],
    [
      "zstd that gives less",
      page(zstdCompressSync(plain("a")), { uncompressed: 50 }),
      6,
      /5 bytes after decompression, the header says 50/,
    ],
    [
      "zstd that is cut",
      page(zstdCompressSync(noise(500, 1)).subarray(0, 300), { uncompressed: 500 }),
      6,
      /damaged page/,
    ],
    [
      "LZ4 that writes too much",
      page([0xf0, 255, 255, 255, 10, ...noise(800, 1)], { uncompressed: 5 }),
      7,
      /damaged page/,
    ],
  ])("%s is refused", async (_, bytes, codec, reason) => {
    const before = process.memoryUsage().rss;
    expect(await reasonOf(parquet([bytes], { codec }))).toMatch(reason);
    expect(process.memoryUsage().rss - before).toBeLessThan(100e6);
  });

  test.each([
    ["a level that does not exist", [2, 0, 0, 0, 6, 3], 1, /3 does not fit 1 bits/],
    ["levels beyond the page", [200, 0, 0, 0, 6, 1], 1, /levels end early/],
    ["levels that end early", [1, 0, 0, 0, 6], 1, /runs end early/],
  ])("%s is refused", async (_, body, repetition, reason) => {
    const bytes = parquet([page(body, { values: 3 })], { rows: 3, repetition });
    expect(await reasonOf(bytes)).toMatch(reason);
  });

  test("a dictionary that has no such value, or is damaged, is refused", async () => {
    const words = page(plain("a", "b"), { kind: 2, values: 2 });
    const numbers = page([2, 6, 2], { values: 3, encoding: 8 });
    expect(await reasonOf(parquet([words, numbers], { rows: 3 }))).toMatch(
      /value 2 of a dictionary of 2/,
    );
    const many = page(plain("a"), { kind: 2, values: 4_000_000 });
    expect(await reasonOf(parquet([many, numbers], { rows: 3 }))).toMatch(
      /4000000 values in 5 bytes/,
    );
  });

  test("runs that go on beyond the values cost nothing", async () => {
    const before = process.memoryUsage().rss;
    const levels = [6, 0, 0, 0, ...varint(2 ** 31), 0];
    const nulls = parquet([page(levels, { values: 3 })], { rows: 3, repetition: 1 });
    expect((await rowsOf(nulls)).map(({ bytes }) => bytes.length)).toEqual([0, 0, 0]);
    const words = page(plain("a", "b"), { kind: 2, values: 2 });
    const numbers = page([1, ...varint(2 ** 31), 1], { values: 3, encoding: 8 });
    const rows = await rowsOf(parquet([words, numbers], { rows: 3 }));
    expect(rows.map(({ bytes }) => bytes)).toEqual([98, 98, 98].map((byte) => Uint8Array.of(byte)));
    expect(process.memoryUsage().rss - before).toBeLessThan(100e6);
  });

  test("differences that are damaged are refused, as are values that share too much", async () => {
    const delta = (...body: readonly number[]): Uint8Array =>
      parquet([page(body, { values: 3, encoding: 6 })], { rows: 3 });
    expect(await reasonOf(delta(0, 0, 3, 0))).toMatch(/blocks of 0 values/);
    expect(await reasonOf(delta(128, 1, ...varint(2 ** 31), 3, 0))).toMatch(/blocks of/);
    expect(await reasonOf(delta(128, 1, 4, 99, 0))).toMatch(/99 values where 3/);
    expect(await reasonOf(delta(128, 1, 4, 3, 0, 0, 65, 0, 0, 0))).toMatch(
      /differences of 65 bits/,
    );
    expect(await reasonOf(delta(128, 1, 4, 3, 0, 0, 64, 0, 0, 0))).toMatch(/values end early/);
    expect(await reasonOf(delta(128, 1, 4, 3, 198, 1))).toMatch(/values end early/);
  });

  test.each([
    [
      "more rows than the row groups have",
      parquet([page(plain("a"))], { rows: 9, groupRows: 1 }),
      /9 rows, but 1/,
    ],
    [
      "more rows than the column",
      parquet([page(plain("a"))], { rows: 9 }),
      /row group 0 has 9 rows, its column image has not/,
    ],
    [
      "fewer rows than the column",
      parquet([page(plain("a", "b"), { values: 2 })]),
      /row group 0 has 1 rows/,
    ],
    [
      "more rows than anything could hold",
      parquet([page(plain("a"))], { rows: 1e12 }),
      /1000000000000 rows in \d+ bytes/,
    ],
    ["fewer than no rows", parquet([page(plain("a"))], { rows: -1 }), /-1 rows/],
    [
      "one chunk for two row groups",
      parquet([page(plain("a"))], { rows: 2, groupRows: 1, groups: 2 }),
      /lie before those of another/,
    ],
    [
      "a chunk beyond the footer",
      parquet([page(plain("a"))], { length: 9999 }),
      /beyond the footer/,
    ],
    ["a chunk before the file", parquet([page(plain("a"))], { at: -7 }), /bytes -7/],
    [
      "a chunk of negative length",
      parquet([page(plain("a"))], { length: -7 }),
      /row group 0 has bytes 4 to -3/,
    ],
    [
      "a chunk that ends within its page",
      parquet([page(plain("a"))], { length: 19 }),
      /its column has \d left/,
    ],
    [
      "a schema of too many columns",
      parquet([page(plain("a"))], { children: 2 ** 31 - 1 }),
      /names more columns/,
    ],
    [
      "a schema of too few columns",
      parquet([page(plain("a"))], { children: 0 }),
      /holds more columns/,
    ],
    [
      "a list without an end",
      parquet([page(plain("a"))], { footer: { 2: { list: [], claimed: 2 ** 32 } } }),
      /damaged footer/,
    ],
    ["no schema", parquet([page(plain("a"))], { footer: { 2: { list: [] } } }), /damaged footer/],
    [
      "a footer of other types",
      parquet([page(plain("a"))], { footer: { 3: { text: "many" } } }),
      /a value has type 8, not 5/,
    ],
  ])("%s is refused", async (_, bytes, reason) => {
    expect(await reasonOf(bytes)).toMatch(reason);
  });

  test("schemas and footers as deep as wells are refused", async () => {
    const levels = Array.from({ length: 5000 }, () => ({
      struct: { 4: { text: "x" }, 5: { i32: 1 } },
    }));
    const deep = parquet([page(plain("a"))], { footer: { 2: { list: levels } } });
    expect(await reasonOf(deep)).toMatch(/nested too deeply/);
    // a list of one list of one list, under a field that nobody knows
    const well = Buffer.concat([
      Buffer.from("PAR1"),
      Buffer.alloc(20_000, 0x19),
      Buffer.from([0x20, 0x4e, 0, 0]),
      Buffer.from("PAR1"),
    ]);
    expect(await reasonOf(well)).toMatch(/nested too deeply/);
  });

  test("row groups without end are refused", async () => {
    const many = parquet([page(plain("a"))], {
      rows: 2 ** 17 + 1,
      groupRows: 1,
      groups: 2 ** 17 + 1,
    });
    expect(await reasonOf(many)).toMatch(/more than 131072 row groups/);
  });

  test("a footer that claims too much is not asked for", async () => {
    const bytes = parquet([page(plain("a"))]);
    const view = Buffer.from(bytes);
    view.writeUInt32LE(bytes.length - 11, bytes.length - 8);
    expect(await reasonOf(view)).toMatch(/the footer would have/);
    // most of a large file that is not there
    const asked: number[] = [];
    const size = 10 * GIB;
    const tail = Buffer.alloc(2 ** 18);
    tail.writeUInt32LE(2 ** 31, tail.length - 8);
    tail.write("PAR1", tail.length - 4);
    const file: RandomBytes = {
      size,
      read: (from, to) => (asked.push(to - from), Promise.resolve(tail)),
      stream: () => collected([]),
    };
    await expect(openParquet("x.parquet", file, {}, never)).rejects.toMatchObject({
      code: "SHARD_CORRUPT",
      message: expect.stringMatching(/footer of 2147483648 bytes, the limit is 67108864/) as string,
    });
    expect(asked).toEqual([2 ** 18]);
  });
});

describe("a file that is cut", () => {
  const bytes = parquet([page(plain(noise(3000, 1), noise(2500, 2)), { values: 2 })], { rows: 2 });

  test("is never a shorter one", async () => {
    for (let size = 0; size < bytes.length; size += 7) await reasonOf(bytes.subarray(0, size));
  });

  test("neither is a stream that ends early", async () => {
    const filler = Buffer.alloc(300_000);
    const large = parquet([page(plain(filler, noise(2500, 2)), { values: 2 })], { rows: 2 });
    const whole = fileOf(large);
    for (const length of [0, 1, 5000, 299_999, 302_000]) {
      const file = { ...whole, stream: (from: number) => whole.stream(from, from + length, never) };
      const feed = await openParquet("x.parquet", file, {}, never);
      const rows = feed.rows(createNotebook(), never)[Symbol.asyncIterator]();
      await expect(rows.next()).rejects.toMatchObject({
        code: "SHARD_CORRUPT",
        message: `x.parquet: the bytes end early at byte ${4 + length}`,
      });
    }
  });
});

describe("row groups larger than memory should hold", () => {
  const image = page(plain(Buffer.alloc(2 ** 20, 7)));
  const count = 300;
  const keys = page(plain(...Array.from({ length: count }, (_, i) => `k${i}`)), { values: count });
  const behind = 4 + image.length * count;

  /** The same image over and over, then the keys. */
  function large(requests: string[]): RandomBytes {
    const columns = [
      { name: "image", at: 4, length: image.length * count },
      { name: "key", at: behind, length: keys.length },
    ];
    const end = Buffer.concat([keys, ending(columns, { rows: count })]);
    async function* stream(from: number, to: number): AsyncGenerator<Uint8Array> {
      for (let at = from; at < to;) {
        const piece =
          at < behind ? image.subarray((at - 4) % image.length) : end.subarray(at - behind);
        const taken = piece.subarray(0, to - at);
        yield taken;
        at += taken.length;
      }
    }
    return {
      size: behind + end.length,
      async read(from, to) {
        requests.push("read");
        return Buffer.concat(await collect(stream(from, to)));
      },
      stream(from, to) {
        requests.push("stream");
        return stream(from, to);
      },
    };
  }

  test("cost a request for the columns behind the image, and no memory", async () => {
    const requests: string[] = [];
    const feed = await openParquet("x.parquet", large(requests), {}, never);
    const before = process.memoryUsage().rss;
    let most = 0;
    let number = 0;
    for await (const row of feed.rows(createNotebook(), never)) {
      expect(row.key).toBe(`k${number++}`);
      expect(row.bytes.length).toBe(2 ** 20);
      most = Math.max(most, process.memoryUsage().rss);
    }
    expect(number).toBe(count);
    expect(requests).toEqual(["read", "stream", "read"]);
    expect(most - before).toBeLessThan(200e6);
  });

  test("are refused where two columns are that large, with what to do", async () => {
    const length = 2 ** 27 + 1;
    const columns = [
      { name: "image", at: 4, length },
      { name: "key", at: 4 + length, length },
    ];
    const end = ending(columns);
    const size = 4 + 2 * length + end.length;
    const file: RandomBytes = {
      size,
      read: (from, to) =>
        Promise.resolve(Buffer.concat([Buffer.alloc(to - from - end.length), end])),
      stream: () => collected([]),
    };
    const feed = await openParquet("x.parquet", file, {}, never);
    const rows = feed.rows(createNotebook(), never)[Symbol.asyncIterator]();
    await expect(rows.next()).rejects.toMatchObject({
      code: "SHARD_CORRUPT",
      message: expect.stringMatching(
        /row group 0 keeps 134217729 bytes .* image, key, the limit is 134217728: write the file with smaller row groups/,
      ) as string,
    });
  });
});

async function* collected<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}
