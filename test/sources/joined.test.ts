import { expect, test } from "vitest";
import { createCatalog } from "../../src/sources/catalog.ts";
import { joinSources } from "../../src/sources/joined.ts";
import { openSource } from "../../src/sources/open.ts";
import { sourceContract } from "../contracts/source.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { entry, tarOf } from "../fixtures/tar.ts";

const tarNamed = (...names: string[]): Uint8Array => tarOf(names.map((name) => entry(name)));
const bytes = new Uint8Array(await new Response("contents").arrayBuffer());

sourceContract("two folders of tars as one", async () => {
  const one = temporaryFolder({
    "x.tar": tarOf(["a", "b", "c"].map((key) => entry(`${key}.jpg`, "contents"))),
  });
  const other = temporaryFolder({ "x.tar": tarOf([entry("d.jpg", "contents")]) });
  const row = (key: string): { key: string; group: string; name: string; bytes: Uint8Array } => ({
    key,
    group: key,
    name: `${key}.jpg`,
    bytes,
  });
  return {
    source: joinSources([await openSource(one), await openSource(other)]),
    shards: [["a", "b", "c"].map(row), [row("d")]],
  };
});

test("one source alone keeps its names; several have numbers, and know their lengths", async () => {
  const one = temporaryFolder({ "x.tar": tarNamed("a.jpg"), "y.tar": tarNamed("b.jpg") });
  const other = temporaryFolder({ "x.tar": tarNamed("c.jpg") });
  const alone = joinSources([await openSource(one)]);
  expect(Array.from(await alone.list(), ({ name }) => name)).toEqual(["x.tar", "y.tar"]);
  expect(await alone.lengths()).toEqual([2]);
  const both = joinSources([await openSource(one), await openSource(other)]);
  expect(Array.from(await both.list(), ({ name }) => name)).toEqual([
    "1:x.tar",
    "1:y.tar",
    "2:x.tar",
  ]);
  expect(await both.lengths()).toEqual([2, 1]);
  const catalog = await createCatalog(both);
  expect((await catalog.read(2, 0)).key).toBe("c");
  expect(await catalog.count(1)).toBe(1);
  await catalog.close();
});

test("each source is told how soon its own shards are needed", async () => {
  const told: number[][] = [];
  const source = (shards: number) => ({
    address: "x",
    cheap: false,
    countable: false,
    inPlace: false,
    list: async () => Array.from({ length: shards }, (_, at) => ({ name: `${at}`, size: 0 })),
    open: () => Promise.reject(new Error("not asked for")),
    needs: (rank: (shard: number) => number) =>
      void told.push(Array.from({ length: shards }, (_, at) => rank(at))),
  });
  const joined = joinSources([source(2), source(3)]);
  await joined.list();
  joined.needs?.((shard) => shard * 10);
  expect(told).toEqual([
    [0, 10],
    [20, 30, 40],
  ]);
});
