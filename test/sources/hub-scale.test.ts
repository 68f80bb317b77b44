import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { startHub, type Hub } from "../fixtures/hub.ts";
import { lines } from "../fixtures/serve.ts";

const FILES = 100_000;

/** In a process of its own, which has nothing else in its memory. */
const script = `
  const { createNet } = await import(${JSON.stringify(src("net/create.ts"))});
  const { openHub } = await import(${JSON.stringify(src("sources/hub.ts"))});
  await import("@huggingface/hub");
  const net = createNet();
  const before = process.memoryUsage.rss() / 1024;
  const env = { HF_ENDPOINT: process.argv[1], HOME: "/nowhere" };
  const listing = await openHub("hf://datasets/o/n", { net, env, signal: new AbortController().signal });
  const { files } = listing;
  const { requests } = net.counts;
  await net.close();
  const { maxRSS } = process.resourceUsage();
  console.log(JSON.stringify({ count: files.length, first: files[0].name, last: files.at(-1).name, requests, growth: maxRSS - before }));
`;

/** What stays of it in a stream: the catalog, its counts, the source, and how files of the cache are found in it. */
const kept = `
  const { createNet } = await import(${JSON.stringify(src("net/create.ts"))});
  const { createHubSource } = await import(${JSON.stringify(src("sources/hub-source.ts"))});
  const { createCatalog } = await import(${JSON.stringify(src("sources/catalog.ts"))});
  const { setTimeout } = await import("node:timers/promises");
  await import("@huggingface/hub");
  const used = async () => {
    for (let times = 0; times < 4; times++) {
      gc();
      await setTimeout(10);
    }
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const net = createNet();
  const orders = [];
  const supplies = { net: async () => net, note() {}, needs: (order) => orders.push(order) };
  const before = await used();
  const env = { HF_ENDPOINT: process.argv[1], HOME: "/nowhere" };
  const source = await createHubSource("hf://datasets/o/n", { supplies, env });
  const catalog = await createCatalog(source);
  catalog.needs((shard) => shard);
  const bytes = ((await used()) - before) / catalog.shards;
  await net.close();
  const found = orders[0]('[null,null] tar sha256:' + (77).toString(16).padStart(64, "0") + " 1000077");
  console.log(JSON.stringify({ bytes, found, last: catalog.list.at(99999) }));
`;

test("a catalog of 100,000 files takes less than 200 bytes a file", async () => {
  const hub = await startHub();
  onTestFinished(() => hub.close());
  const args = ["--expose-gc", "--input-type=module", "-e", kept, hubOf(hub).url];
  const [line = ""] = await lines(process.execPath, args);
  const said = JSON.parse(line) as { bytes: number };
  expect(said).toMatchObject({
    found: 77,
    last: {
      name: "shards/99/photos-of-all-kinds-099999.tar",
      size: 1_099_999,
      hash: `sha256:${(99_999).toString(16).padStart(64, "0")}`,
    },
  });
  expect(said.bytes).toBeLessThan(200);
});

test("a listing of 100,000 files takes less than 170 MB", async () => {
  const hub = await startHub();
  onTestFinished(() => hub.close());
  const args = ["--input-type=module", "-e", script, hubOf(hub).url];
  const [line = ""] = await lines(process.execPath, args);
  const said = JSON.parse(line) as { growth: number };
  expect(said).toMatchObject({
    count: FILES,
    first: "shards/0/photos-of-all-kinds-000000.tar",
    last: "shards/99/photos-of-all-kinds-099999.tar",
    // the commit, and a page for each thousand files and folders
    requests: 1 + Math.ceil((FILES + 100 + 1) / 1000),
  });
  // kilobytes beside those of Node and the code, which differ by how the sources are run
  expect(said.growth).toBeLessThan(170_000);
});

function hubOf(hub: Hub): Hub {
  const file = (i: number): [string, { size: number; sha256: string }] => [
    `shards/${Math.floor(i / 1000)}/photos-of-all-kinds-${String(i).padStart(6, "0")}.tar`,
    { size: 1_000_000 + i, sha256: i.toString(16).padStart(64, "0") },
  ];
  hub.create("o/n").commit(Object.fromEntries(Array.from({ length: FILES }, (_, i) => file(i))));
  return hub;
}

function src(path: string): string {
  return fileURLToPath(new URL(`../../src/${path}`, import.meta.url));
}
