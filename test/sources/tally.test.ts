import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Net } from "../../src/net/net.ts";
import { openOrigin, type Origin } from "../../src/origin.ts";
import { resolveSourceOptions } from "../../src/options.ts";
import { fromBytes } from "../../src/shards/bytes.ts";
import { scanTar } from "../../src/shards/scan.ts";
import { createCatalog, type Catalog } from "../../src/sources/catalog.ts";
import { sparseBytes } from "../../src/sources/sparse.ts";
import { createFaultyServer, type FaultyServer } from "../fixtures/faulty-server.ts";
import { noise, temporaryFolder } from "../fixtures/files.ts";
import { entry, tarOf } from "../fixtures/tar.ts";

const signal = new AbortController().signal;

async function serverOf(content: Uint8Array): Promise<FaultyServer> {
  const server = await createFaultyServer(content);
  onTestFinished(() => server.close());
  return server;
}

/** Every path of the server is the same file. */
async function opened(
  address: string,
  given: { readonly requests?: number } = {},
): Promise<{ origin: Origin; catalog: Catalog; cache: string }> {
  const cache = temporaryFolder();
  const options = resolveSourceOptions({ source: address, cache, ...given });
  const origin = await openOrigin(options);
  onTestFinished(() => origin.close());
  const catalog = await createCatalog(origin.source);
  onTestFinished(() => catalog.close());
  return { origin, catalog, cache };
}

async function tally(catalog: Catalog): Promise<number[]> {
  return Promise.all(Array.from(catalog.list, (_, shard) => catalog.tally(shard)));
}

const small = tarOf(
  Array.from({ length: 120 }, (_, at) => [
    entry(`${at}.jpg`, noise(3_000, at)),
    entry(`${at}.json`, `{"a":${at}}`),
  ]).flat(),
);
const LARGE = 20 << 20;
const large = tarOf(
  Array.from({ length: 4 }, (_, at) => [
    entry(`${at}.jpg`, new Uint8Array(LARGE)),
    entry(`${at}.json`, `{"a":${at}}`),
    entry(`${at}.txt`, "small"),
  ]).flat(),
);

describe("what counting costs", () => {
  test("24 tars of small members: one request each, and one to learn its size", async () => {
    const server = await serverOf(small);
    const { catalog } = await opened(`${server.url}/p-{00..23}.tar`);
    expect(await tally(catalog)).toEqual(Array(24).fill(120));
    const methods = server.seen.map(({ method }) => method);
    expect(methods.filter((method) => method === "HEAD")).toHaveLength(24);
    expect(methods.filter((method) => method === "GET")).toHaveLength(24);
  });

  test("members of 20 MB are left out", async () => {
    const server = await serverOf(large);
    const { origin, catalog } = await opened(`${server.url}/p.tar`);
    expect(await tally(catalog)).toEqual([4]);
    expect(origin.network()!.bytes).toBeLessThan(large.length / 10);
    const gets = server.seen.filter(({ method }) => method === "GET");
    expect(gets.length).toBeLessThanOrEqual(6);
  });

  test.each(["p.tar.gz", "p.tar"])(
    "packed data is read through once, and nothing is kept: %s",
    async (name) => {
      const server = await serverOf(gzipSync(small));
      const { catalog, cache } = await opened(`${server.url}/${name}`);
      expect(await tally(catalog)).toEqual([120]);
      expect(bytesIn(cache)).toBeLessThan(10_000);
      const gets = server.seen.filter(({ method }) => method === "GET");
      expect(gets.length).toBeLessThanOrEqual(name === "p.tar" ? 2 : 1);
    },
  );

  test("what was counted once is not counted again", async () => {
    const server = await serverOf(small);
    const { catalog } = await opened(`${server.url}/p.tar`);
    await tally(catalog);
    const before = server.seen.length;
    expect([await catalog.tally(0), await catalog.count(0), catalog.rows(0)]).toEqual([
      120, 120, 120,
    ]);
    expect(server.seen.length).toBe(before);
  });
});

describe("what goes wrong", () => {
  test("connections that are cut are resumed, and the count is the same", async () => {
    const server = await serverOf(large);
    const { catalog } = await opened(`${server.url}/p.tar`);
    server.faults.push({ cut: 10_000 }, {}, { cut: 100 }, {}, { cut: 0 });
    expect(await tally(catalog)).toEqual([4]);
  });

  test("a tar that is cut, and one that goes on after its end, are SHARD_CORRUPT", async () => {
    for (const bad of [
      large.subarray(0, -600),
      small.subarray(0, 50_000),
      Buffer.concat([small, small]),
    ]) {
      const { catalog } = await opened(`${(await serverOf(bad)).url}/p.tar`);
      await expect(catalog.tally(0)).rejects.toMatchObject({ code: "SHARD_CORRUPT" });
    }
  });
});

interface Fake {
  readonly net: Net;
  /** From and to of each request. */
  readonly asked: (readonly [from: number, to: number])[];
  open: number;
}

/** A network of one file, in chunks of a few sizes. */
function fakeNet(content: Uint8Array, sizes: readonly number[]): Fake {
  const fake: Fake = {
    asked: [],
    open: 0,
    net: {
      async *download(_url: string, _known: object, { from = 0, to = content.length }) {
        fake.asked.push([from, to]);
        fake.open++;
        try {
          for (let at = from, i = 0; at < to; i++) {
            const next = Math.min(to, at + sizes[i % sizes.length]!);
            yield content.subarray(at, next);
            at = next;
          }
        } finally {
          fake.open--;
        }
      },
    } as unknown as Net,
  };
  return fake;
}

const chunkSizes = fc.array(fc.integer({ min: 20_000, max: 200_000 }), {
  minLength: 1,
  maxLength: 5,
});

describe("bytes with parts left out", () => {
  const content = noise(1 << 16, 3);
  const huge = new Uint8Array(24 << 20).map((_, at) => content[at & 0xffff]! ^ (at >>> 16));

  test("are those of the file, however far apart the reads are", async () => {
    const steps = fc.array(
      fc.tuple(
        fc.oneof(fc.integer({ min: -20_000, max: 40_000 }), fc.integer({ min: 0, max: 9 << 20 })),
        fc.integer({ min: 0, max: 60_000 }),
      ),
      { minLength: 1, maxLength: 12 },
    );
    await fc.assert(
      fc.asyncProperty(steps, chunkSizes, fc.boolean(), async (moves, sizes, ranges) => {
        const fake = fakeNet(huge, sizes);
        const options = { url: "http://x/a", known: {}, size: huge.length, ranges, signal };
        const bytes = sparseBytes(fake.net, "a", options);
        let before = 0;
        let at = 0;
        for (const [move, length] of moves) {
          // not before the beginning of the last read
          at = Math.min(Math.max(at + move, before), huge.length - length);
          const found = await bytes.read(at, length);
          expect(Buffer.compare(found, huge.subarray(at, at + length))).toBe(0);
          before = at;
          at += length;
        }
        await bytes.finish();
        await bytes.close();
        expect(fake.open).toBe(0);
      }),
      { numRuns: 25 },
    );
  });

  test("make the same index of a tar as the whole file does", async () => {
    const body = fc.constantFrom(0, 1, 511, 512, 3_000, 60_000, (4 << 20) - 512, 5 << 20);
    await fc.assert(
      fc.asyncProperty(
        fc.array(body, { maxLength: 6 }),
        chunkSizes,
        fc.boolean(),
        async (members, sizes, ranges) => {
          const tar = tarOf(members.map((size, at) => entry(`${at}.jpg`, new Uint8Array(size))));
          const options = { url: "http://x/a", known: {}, size: tar.length, ranges, signal };
          const fake = fakeNet(tar, sizes);
          const bytes = sparseBytes(fake.net, "a", options);
          const found = await scanTar(bytes, "a");
          await bytes.finish();
          await bytes.close();
          expect(found).toEqual(await scanTar(fromBytes(tar, "a"), "a"));
          if (!ranges) expect(fake.asked).toEqual([[0, tar.length]]);
        },
      ),
      { numRuns: 25 },
    );
  });
});

function bytesIn(folder: string): number {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => statSync(join(folder, name)))
    .reduce((sum, stats) => sum + (stats.isFile() ? stats.size : 0), 0);
}
