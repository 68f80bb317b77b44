import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { startHub } from "../fixtures/hub.ts";
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

test("a listing of 100,000 files takes less than 170 MB", async () => {
  const hub = await startHub();
  onTestFinished(() => hub.close());
  const file = (i: number): [string, { size: number; sha256: string }] => [
    `shards/${Math.floor(i / 1000)}/photos-of-all-kinds-${String(i).padStart(6, "0")}.tar`,
    { size: 1_000_000 + i, sha256: i.toString(16).padStart(64, "0") },
  ];
  hub.create("o/n").commit(Object.fromEntries(Array.from({ length: FILES }, (_, i) => file(i))));
  const [line = ""] = await lines(process.execPath, ["--input-type=module", "-e", script, hub.url]);
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

function src(path: string): string {
  return fileURLToPath(new URL(`../../src/${path}`, import.meta.url));
}
