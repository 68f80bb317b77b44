import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { readFileSync, writeFileSync } from "node:fs";
import { join as joinPath } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StreamError } from "../../src/errors.ts";
import { compress } from "../../src/shards/compress.ts";
import { decompress } from "../../src/shards/decompress.ts";
import { inChunks, split, watched } from "../fixtures/chunks.ts";
import { collect, noise, output, temporaryFolder } from "../fixtures/files.ts";
import { join } from "../fixtures/tar.ts";

async function unpacked(bytes: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of decompress(bytes, "x.tar")) parts.push(new Uint8Array(part));
  return join(parts);
}

async function failure(bytes: AsyncIterable<Uint8Array>): Promise<StreamError> {
  const error: unknown = await unpacked(bytes).catch((reason: unknown) => reason);
  if (!(error instanceof StreamError)) throw new Error("expected an error");
  expect(error).toMatchObject({ code: "SHARD_CORRUPT", context: { shard: "x.tar" } });
  expect(error.message).toContain(`after ${Number(error.context["offset"])} unpacked bytes`);
  return error;
}

const same = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0;

const zstd = (bytes: Uint8Array): Uint8Array =>
  zstdCompressSync(bytes, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
const skippable = Uint8Array.of(0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3);

const first = join([noise(400, 1), new Uint8Array(70_000)]);
const second = noise(700, 2);
const both = join([first, second]);

describe.each([
  ["gzip", gzipSync, new Uint8Array(0)],
  ["zstd", zstd, skippable],
])("%s", (how, pack, between) => {
  const packed = join([pack(first), between, pack(second)]);
  const ends = [0, pack(first).length, pack(first).length + between.length, packed.length];
  /** Every place about an end, every fifth elsewhere. */
  const places = Array.from({ length: packed.length + 1 }, (_, at) => at).filter(
    (at) => at % 5 === 0 || ends.some((end) => Math.abs(end - at) <= 24),
  );

  test("one after the other, in any two chunks and one by one", async () => {
    for (const at of places) expect(same(await unpacked(split(packed, at)), both)).toBe(true);
    expect(same(await unpacked(inChunks(packed, [1])), both)).toBe(true);
    expect(await unpacked(inChunks(join([between, pack(new Uint8Array(0))])))).toHaveLength(0);
  });

  test("a thousand small ones in one chunk", async () => {
    const parts = Array.from({ length: 1_000 }, (_, i) => noise(i % 7, i));
    const all = join(parts.map((part) => pack(part)));
    expect(await unpacked(inChunks(all, [all.length]))).toEqual(join(parts));
  });

  test("cut anywhere but between two it is an error, never less", async () => {
    for (const at of places) {
      const cut = packed.subarray(0, at);
      // fewer bytes than tell the format are not packed at all: the reader of tars refuses them
      if (at < 4 || ends.includes(at)) continue;
      await failure(inChunks(cut, [at % 3 === 0 ? 100 : cut.length]));
    }
  });

  test("a wrong checksum or length is an error", async () => {
    const one = pack(second);
    for (const back of how === "gzip" ? [1, 4, 5, 8] : [1, 4]) {
      const bad = new Uint8Array(one);
      const at = bad.length - back;
      bad[at] = bad[at]! ^ 1;
      const { message } = await failure(inChunks(bad, [300]));
      expect(message).toMatch(/checksum|data check|length check/);
    }
  });

  test.each([
    [[5]],
    [[0, 1]],
    [[0x1f]],
    [[0x28, 0xb5]],
    [[0x1f, 0x8b]],
    [Array.from("garbage of some length", (c) => c.charCodeAt(0))],
  ])("garbage %j after the end is an error", async (garbage) => {
    const bytes = join([packed, Uint8Array.from(garbage)]);
    for (let at = packed.length - 3; at <= bytes.length; at++) {
      // the last piece may be lost with the error
      expect((await failure(split(bytes, at))).context["offset"]).toBeGreaterThan(
        both.length - (1 << 16),
      );
    }
    await failure(inChunks(bytes, [1]));
  });

  test("no flipped bit hangs it, or gives more than there was with the same checksum", async () => {
    const bits = fc.array(fc.tuple(fc.nat(packed.length - 1), fc.nat(7)), {
      minLength: 1,
      maxLength: 3,
    });
    await fc.assert(
      fc.asyncProperty(bits, fc.integer({ min: 1, max: 400 }), async (flips, chunk) => {
        const bad = new Uint8Array(packed);
        for (const [at, bit] of flips) bad[at] = bad[at]! ^ (1 << bit);
        const found = await unpacked(inChunks(bad, [chunk])).catch((error: unknown) => error);
        if (found instanceof StreamError) expect(found.code).toBe("SHARD_CORRUPT");
        else if (
          bad[0] === packed[0] &&
          bad[1] === packed[1] &&
          bad[2] === packed[2] &&
          bad[3] === packed[3]
        )
          expect([first.length, both.length]).toContain((found as Uint8Array).length);
      }),
      { numRuns: 200, seed: 4 },
    );
  });

  test("a hundred megabytes of zeros come piece by piece, and only when asked for", async () => {
    const { bytes, closed } = watched(inChunks(pack(new Uint8Array(100 << 20)), [64]));
    const before = process.memoryUsage().arrayBuffers;
    let length = 0;
    for await (const piece of decompress(bytes, "x.tar")) {
      expect(piece.length).toBeLessThanOrEqual(1 << 16);
      length += piece.length;
      if (length % (1 << 23) === 0)
        expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(200 << 20);
      if (length > 90 << 20) break;
    }
    expect(closed()).toBe(true);
  });

  test("the source's error comes as it is; leaving closes the source, also before the first byte", async () => {
    const reason = new Error("cable");
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield packed.subarray(0, 500);
      throw reason;
    }
    await expect(unpacked(failing())).rejects.toBe(reason);
    for (const taken of [0, 1, 2]) {
      const { bytes, closed } = watched(inChunks(packed, [50]));
      const iterator = decompress(bytes, "x.tar");
      for (let i = 0; i < taken; i++) await iterator.next();
      await iterator.return();
      // a generator that never began has nothing to close
      expect(closed()).toBe(taken > 0);
    }
  });
});

describe("what other programs make", () => {
  test.each([
    ["gzip", ["-k"], "gz"],
    ["gzip", ["-k", "-1", "-N"], "gz"],
    ["zstd", ["-q", "-k"], "zst"],
    ["zstd", ["-q", "-k", "-19", "--no-check"], "zst"],
    ["zstd", ["-q", "-k", "--long=27", "-T2"], "zst"],
  ])("%s %j", async (program, args, ending) => {
    const folder = temporaryFolder({ data: both });
    output(program, [...args, "data"], folder);
    const packed = readFileSync(joinPath(folder, `data.${ending}`));
    expect(same(await unpacked(inChunks(packed, [333])), both)).toBe(true);
  });

  test("zeros after gzip, as a tape's blocks leave them, are no garbage", async () => {
    const bytes = join([gzipSync(both), new Uint8Array(3_000)]);
    expect(same(await unpacked(inChunks(bytes, [100])), both)).toBe(true);
    expect((await failure(inChunks(join([bytes, Uint8Array.of(1)]), [100]))).message).toContain(
      "data after the end",
    );
  });

  test("a window of two gibibytes is refused before memory is taken", async () => {
    const folder = temporaryFolder({ data: both });
    output("sh", ["-c", "zstd -q --ultra --long=31 < data > data.zst"], folder);
    const packed = readFileSync(joinPath(folder, "data.zst"));
    const before = process.memoryUsage().rss;
    expect((await failure(inChunks(packed, [100]))).message).toContain("too much memory");
    expect(process.memoryUsage().rss - before).toBeLessThan(1 << 28);
  });

  test.each(["bzip2", "xz"])("%s is named in the refusal", async (program) => {
    const folder = temporaryFolder({ data: both });
    const script = `import sys, bz2, lzma
pack = {"bzip2": bz2, "xz": lzma}[sys.argv[1]].compress
open("packed", "wb").write(pack(open("data", "rb").read()))`;
    output("python3", ["-c", script, program], folder);
    const packed = readFileSync(joinPath(folder, "packed"));
    expect((await failure(inChunks(packed, [3]))).message).toContain(program);
  });

  test("what is not packed comes as it is, in the memory of its chunks", async () => {
    for (const length of [0, 1, 3, 4, 9, 10, 11, 5_000])
      expect(await unpacked(inChunks(second.subarray(0, length), [2]))).toEqual(
        second.subarray(0, length),
      );
  });
});

describe("packing", () => {
  test.each(["gz", "zst"] as const)(
    "%s: others read it, whatever the pieces; the same bytes each time",
    async (how) => {
      const folder = temporaryFolder();
      const path = joinPath(folder, `x.${how}`);
      for (const data of [both, new Uint8Array(0), second]) {
        const packed = join(await collect(compress(inChunks(data, [512, 70_000, 1]), how)));
        writeFileSync(path, packed);
        output(how === "gz" ? "gzip" : "zstd", how === "gz" ? ["-t", path] : ["-q", "-t", path]);
        expect(same(await unpacked(inChunks(packed)), data)).toBe(true);
        expect(join(await collect(compress(inChunks(data, [512, 70_000, 1]), how)))).toEqual(
          packed,
        );
        // the checksum flag of the frame's header, without which damage would go unnoticed
        if (how === "zst") expect(packed[4]! & 4).toBe(4);
      }
    },
  );
});
