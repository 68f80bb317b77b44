/**
 * Sources at scale: `node bench/sources.ts CORPUS [part...]` on the corpus of make-corpus.py (docs/benchmarks.md); parts are start, network, memory, list,
 * stall, cache; all of them without.
 *
 * Rules: the package as it is installed, compiled; B = 40, five tasks in equal shares, two workers, window 4,096 if nothing else is said. Each figure is of a process of its own that does nothing but
 * make batches and drop them (sources-stream.ts), started as the command line starts itself; times count from before the process is there. The server is a
 * third process on loopback (sources-server.ts), held to a rate, and costs CPU of the same machine. Files that are read lie in the page cache. Caches are
 * new folders, removed in the end. Seconds are wall time and need a quiet machine; bytes, counts and memory do not.
 */
import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { python } from "../python/setup.ts";
import type { ServerOptions } from "./sources-server.ts";
import type { Walk, Walked } from "./sources-stream.ts";

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const [corpus, ...wanted] = process.argv.slice(2);
if (corpus === undefined) throw new Error("usage: node bench/sources.ts CORPUS [part...]");
const photos = join(corpus, "folder");
const tars = join(corpus, "tars");
const scratch = mkdtempSync(join(tmpdir(), "ssl-r1-sources-"));
let folders = 0;
const newFolder = (): string => {
  const path = join(scratch, String(folders++));
  mkdirSync(path);
  return path;
};

/** As installed: code that Node need not strip of its types takes less time and memory. */
function build(): string {
  const path = newFolder();
  const compiler = here("../node_modules/.bin/tsc");
  execFileSync(compiler, ["-p", here("../src"), "--outDir", join(path, "dist")]);
  copyFileSync(here("../src/images/kernels.wasm"), join(path, "dist", "images", "kernels.wasm"));
  copyFileSync(here("../package.json"), join(path, "package.json"));
  symlinkSync(here("../node_modules"), join(path, "node_modules"));
  return join(path, "dist");
}

const built = build();

async function walk(what: Omit<Walk, "asked">, env: NodeJS.ProcessEnv = {}): Promise<Walked> {
  const options = { cache: newFolder(), ...what.options, workers: 2 };
  const given: Walk = { ...what, options, asked: Date.now() };
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [
      "--max-semi-space-size=2",
      "--heap-growing-percent=30",
      here("sources-stream.ts"),
      built,
      JSON.stringify(given),
    ],
    { env: { ...process.env, ...env }, maxBuffer: 1 << 26 },
  );
  return JSON.parse(stdout) as Walked;
}

interface Server {
  readonly url: string;
  readonly sent: () => Promise<number>;
  /** Has shards made before the clock runs. */
  readonly make: (form: Form, count: number) => Promise<void>;
}

type Form = "tar" | "gz" | "parquet";

function nameOf(form: Form, number: number): string {
  const extension = { tar: "tar", gz: "tar.gz", parquet: "parquet" }[form];
  return `${form}/${String(number).padStart(6, "0")}.${extension}`;
}

async function serving<T>(
  options: Omit<ServerOptions, "photos">,
  work: (server: Server) => Promise<T>,
): Promise<T> {
  const given: ServerOptions = { photos, ...options };
  const server = spawn(process.execPath, [here("sources-server.ts"), JSON.stringify(given)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const [url] = (await once(createInterface({ input: server.stdout }), "line")) as [string];
    return await work({
      url,
      sent: async () => Number(await (await fetch(`${url}/sent`)).text()),
      async make(form, count) {
        for (let number = 0; number < count; number++)
          await fetch(`${url}/${nameOf(form, number)}`, { method: "HEAD" });
      },
    });
  } finally {
    server.kill();
    await once(server, "exit");
  }
}

/** Shards of a form, behind one address. */
function shardsAt(url: string, form: Form, count: number): string {
  const last = String(count - 1).padStart(6, "0");
  return `${url}/${nameOf(form, 0).replace("000000", `{000000..${last}}`)}`;
}

/** Photos in a Parquet file as `datasets` writes it: row groups of 100 MB, not compressed. */
function writeParquet(each: number): string {
  const path = join(newFolder(), "photos.parquet");
  const program = `
import os, sys, pathlib
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = sys.argv[1] + ".home"
import datasets
datasets.disable_progress_bars()
files = sorted(pathlib.Path(sys.argv[2]).iterdir())
each = int(sys.argv[3])
images = [{"bytes": files[i % len(files)].read_bytes(), "path": f"{i:06}.jpg"} for i in range(each)]
data = datasets.Dataset.from_dict({"image": images}, features=datasets.Features({"image": datasets.Image()}))
data.to_parquet(sys.argv[1])
`;
  execFileSync(python, ["-c", program, path, photos, String(each)], { stdio: "inherit" });
  return path;
}

const results: { [name: string]: unknown } = {};
const fixed = (value: number, digits = 1): string => value.toFixed(digits);

function line(name: string, ...cells: readonly (string | number)[]): void {
  const row = cells.map((cell) => String(cell).padStart(12)).join("");
  process.stdout.write(`${name.padEnd(36)}${row}\n`);
}

function report(name: string, value: object, ...cells: readonly (string | number)[]): void {
  results[name] = value;
  line(`  ${name}`, ...cells);
}

/** From nothing to the first batch, for sources of this machine. Best of three. */
async function start(): Promise<void> {
  line("start: local", "open s", "first s", "RSS MiB");
  const names = readdirSync(photos).slice(0, 40);
  const many = newFolder();
  for (let i = 0; i < 100_000; i++) {
    const folder = join(many, String(i % 100).padStart(2, "0"));
    if (i < 100) mkdirSync(folder);
    linkSync(join(photos, names[i % names.length]!), join(folder, `${i}.jpg`));
  }
  for (const [name, source] of [
    ["2,000 files", photos],
    ["100,000 files in 100 folders", many],
    ["8 tars", tars],
  ] as const) {
    let best: Walked | undefined;
    for (let round = 0; round < 3; round++) {
      const got = await walk({ options: { source }, batches: 0 });
      if (!best || got.firstSeconds < best.firstSeconds) best = got;
    }
    report(name, best!, fixed(best!.openSeconds, 2), fixed(best!.firstSeconds, 2), best!.peakRss);
  }
}

/** From nothing to the first batch, from a slow server. What is needed for it are the first windows: bytes over rate, and what comes on top. */
async function network(): Promise<void> {
  line("network: 10 MB/s, 200 MB shards", "first s", "MB needed", "MB sent", "on top s");
  const rate = 10e6;
  const each = 1800;
  const parquet = writeParquet(each);
  const mean = meanSize();
  for (const form of ["tar", "gz", "parquet"] as const)
    for (const count of form === "gz" ? [8] : [8, 200]) {
      await serving({ each, rate, parquet }, async ({ url, sent, make }) => {
        const source = shardsAt(url, form, count);
        await make(form, count);
        const got = await walk({ options: { source }, batches: 0 });
        const needed = firstWindows * mean;
        const above = got.firstSeconds - needed / rate;
        const bytes = await sent();
        report(
          `${form}, ${count} shards`,
          { ...got, needed, bytes },
          fixed(got.firstSeconds, 2),
          fixed(needed / 1e6),
          fixed(bytes / 1e6),
          fixed(above, 2),
        );
      });
    }
}

/** Rows of the first windows: 5 partitions of 16 (docs/determinism.md, windows of epoch 0). */
const firstWindows = 80;

function meanSize(): number {
  const names = readdirSync(photos);
  return (
    names.reduce((sum, name) => sum + readFileSync(join(photos, name)).length, 0) / names.length
  );
}

/** 20 GB of shards, walked through as fast as they come. */
async function memory(): Promise<void> {
  line("memory: 200 shards of 100 MB", "GB through", "images", "RSS early", "RSS late", "peak MiB");
  const each = 900;
  const parquet = writeParquet(each);
  // small pictures: as many photos a second as can be
  const small = { entries: ["rotation"], maxPixels: 28 * 28 * 16, minPixels: 784 };
  for (const [name, form, options] of [
    ["tar, cache of 2 GB", "tar", { cacheSize: "2GB" }],
    ["tar.gz, cache of 2 GB", "gz", { cacheSize: "2GB" }],
    ["Parquet, cache of 2 GB", "parquet", { cacheSize: "2GB" }],
    [
      "tar, no cache, memory of 600 MB",
      "tar",
      { cache: "none", memoryLimit: "600MB", window: 512, deal: "rows" },
    ],
  ] as const) {
    const count = form === "gz" ? 12 : 200;
    await serving({ each, parquet }, async ({ url, sent }) => {
      const got = await walk({
        options: { ...small, source: shardsAt(url, form, count), ...options },
        batches: 1e9,
        seconds: Number(process.env["SECONDS"] ?? 120),
      });
      const bytes = await sent();
      const early = Math.max(...got.rss.slice(5, 20));
      const late = Math.max(...got.rss.slice(-15));
      report(name, { ...got, bytes }, fixed(bytes / 1e9), got.puzzles, early, late, got.peakRss);
    });
  }
}

/** 100,000 shards on the Hub: listed, counts given, counts learnt by an earlier stream. */
async function list(): Promise<void> {
  line("list: 100,000 shards of a Hub", "open s", "RSS MiB");
  const shards = 100_000;
  const rows = Array.from({ length: shards }, (_, i) => ({
    name: `shards/${Math.floor(i / 1000)}/photos-${String(i).padStart(6, "0")}.tar`,
    size: 100_000_000 + i,
    hash: `sha256:${i.toString(16).padStart(64, "0")}`,
    rows: 900,
  }));
  const counts = join(newFolder(), "counts.json");
  writeFileSync(counts, JSON.stringify({ version: 1, image: null, shards: rows }));
  await serving({ each: 0, hub: shards }, async ({ url }) => {
    const cache = newFolder();
    const source = "hf://datasets/bench/many";
    const env = { HF_ENDPOINT: url, HF_HOME: newFolder() };
    for (const [name, what] of [
      ["nothing known", { options: { source, cache } }],
      ["counts given", { options: { source, cache, counts }, keep: true }],
      ["counts kept", { options: { source, cache } }],
    ] as const) {
      const got = await walk(what, env);
      report(name, got, fixed(got.openSeconds), got.peakRss);
    }
  });
}

/** A consumer that takes 3 batches (120 puzzles) a second: how long it has nothing. And one that takes all it can, beside the same from a warm cache. */
async function stall(): Promise<void> {
  line("stall: 100 shards of 28 MB", "puzzles/s", "waited", "longest s", "first s", "MB/s");
  const each = 250;
  const batches = 90;
  for (const rate of [50e6, 100e6])
    for (const prefetch of [2, 0])
      for (const pace of rate === 50e6 ? [3, undefined] : [undefined])
        await serving({ each, rate }, async ({ url, sent }) => {
          const cache = newFolder();
          const source = shardsAt(url, "tar", 100);
          for (const [name, times] of [
            ["cold", 1],
            ["warm", 0],
          ] as const) {
            if (times === 0 && prefetch === 0) continue;
            const before = await sent();
            const got = await walk({
              options: { source, cache, prefetch },
              batches,
              warmup: 5,
              ...(pace !== undefined && { pace }),
            });
            const bytes = (await sent()) - before;
            report(
              `${rate / 1e6} MB/s, prefetch ${prefetch}, ${pace === undefined ? "all" : pace * 40}/s, ${name}`,
              { ...got, bytes },
              Math.round(got.puzzles / got.seconds),
              `${fixed((got.waitedSeconds / got.seconds) * 100)} %`,
              fixed(got.longestWait, 2),
              fixed(got.firstSeconds, 2),
              fixed(bytes / 1e6 / got.seconds),
            );
          }
          rmSync(cache, { recursive: true });
        });
}

/** What the way through the cache costs beside files that are read in place: the same 2,000 photos. */
async function cache(): Promise<void> {
  line("cache: 2,000 photos", "CPU s/1000", "read ms", "puzzles/s");
  const packed = newFolder();
  for (const name of readdirSync(tars))
    writeFileSync(
      join(packed, `${name}.gz`),
      gzipSync(readFileSync(join(tars, name)), { level: 1 }),
    );
  const kept = newFolder();
  await walk({ options: { source: packed, cache: kept }, batches: 60 });
  for (let round = 1; round <= 2; round++)
    for (const [name, source] of [
      ["tars in place", tars],
      ["tar.gz, warm cache", packed],
      ["folder", photos],
    ] as const) {
      const got = await walk({ options: { source, cache: kept }, batches: 80, warmup: 5 });
      report(
        `${name}, round ${round}`,
        got,
        fixed((got.cpuSeconds / got.puzzles) * 1000, 2),
        fixed(got.readMilliseconds, 3),
        Math.round(got.puzzles / got.seconds),
      );
    }
}

const parts: { readonly [name: string]: () => Promise<void> } = {
  start,
  network,
  memory,
  list,
  stall,
  cache,
};
try {
  for (const [name, part] of Object.entries(parts))
    if (wanted.length === 0 || wanted.includes(name)) await part();
  process.stdout.write(`${JSON.stringify(results)}\n`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
