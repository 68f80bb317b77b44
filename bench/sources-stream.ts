/** A stream that is walked through and measured, for bench/sources.ts: `node bench/sources-stream.ts BUILT JSON`, where BUILT holds the compiled package; prints a line of JSON. */
import { join } from "node:path";
import type * as loader from "../src/loader.ts";
import type * as sources from "../src/sources/counts.ts";
import type { StreamOptions } from "../src/options.ts";

export interface Walk {
  readonly options: StreamOptions;
  /** Date.now() when this process was asked for. */
  readonly asked: number;
  /** Batches after the first; none where the stream is only opened. */
  readonly batches?: number;
  /** Ends sooner after so long. */
  readonly seconds?: number;
  /** Batches before CPU and wall time are counted. */
  readonly warmup?: number;
  /** Batches a second that the consumer takes, if they are there. */
  readonly pace?: number;
  /** Keeps the counts that were given in the cache, as if they had been learnt. */
  readonly keep?: boolean;
}

export interface Walked {
  /** Since the process was asked for. */
  readonly openSeconds: number;
  readonly firstSeconds: number;
  readonly puzzles: number;
  /** Of the batches counted. */
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** For which the consumer had nothing: in all, and the longest. */
  readonly waitedSeconds: number;
  readonly longestWait: number;
  /** Wall milliseconds of the main thread in reading, a puzzle. */
  readonly readMilliseconds: number;
  /** MiB: every second, and at most. */
  readonly rss: readonly number[];
  readonly peakRss: number;
  readonly shards: number;
  readonly counted: boolean;
}

const [built = "", given = ""] = process.argv.slice(2);
const walk = JSON.parse(given) as Walk;
const { options, asked, batches, seconds = Infinity, warmup = 0, pace, keep } = walk;
const rss: number[] = [];
const mebibytes = (bytes: number): number => Math.round(bytes / 2 ** 20);
const sampling = setInterval(() => rss.push(mebibytes(process.memoryUsage.rss())), 1000);
const since = (from: number): number => (performance.now() - from) / 1000;
const origin = performance.now() - (Date.now() - asked);

const { createStream } = (await import(join(built, "loader.js"))) as typeof loader;
const stream = await createStream(options);
const openSeconds = since(origin);
let firstSeconds = 0;
let puzzles = 0;
let waited = 0;
let longest = 0;
let began = performance.now();
let cpu = process.cpuUsage();
let read = 0;
const readSoFar = (): number => stream.statistics.milliseconds()["read"] ?? 0;

function* steps(): Generator<{ step: number }> {
  for (let step = 0; step <= (batches ?? -1) && since(began) < seconds; step++) yield { step };
}

let asking = performance.now();
for await (const cell of stream.cells(steps())) {
  const made = cell.puzzles.length;
  cell.release();
  if (firstSeconds > 0 && cell.step > warmup) {
    waited += since(asking);
    longest = Math.max(longest, since(asking));
    puzzles += made;
  }
  if (cell.last && cell.step === 0) firstSeconds = since(origin);
  if (cell.last && cell.step === warmup) {
    began = performance.now();
    cpu = process.cpuUsage();
    read = readSoFar();
  }
  if (cell.last && pace !== undefined && cell.step > warmup) {
    const left = (cell.step - warmup) / pace - since(began);
    if (left > 0) await new Promise((resolve) => void setTimeout(resolve, left * 1000));
  }
  asking = performance.now();
}
const used = process.cpuUsage(cpu);
if (keep) {
  const { shards } = stream.counts();
  const counts = await import(join(built, "sources", "counts.js"));
  const keeper = (counts as typeof sources).createCountsKeeper(options.cache ?? "", undefined);
  await keeper.keep(shards, (shard) => shards[shard]?.rows);
}
clearInterval(sampling);
const { shards, counted } = stream.info();
const walked: Walked = {
  openSeconds,
  firstSeconds,
  puzzles,
  seconds: since(began),
  cpuSeconds: (used.user + used.system) / 1e6,
  waitedSeconds: waited,
  longestWait: longest,
  readMilliseconds: (readSoFar() - read) / Math.max(1, puzzles),
  rss,
  peakRss: Math.round(process.resourceUsage().maxRSS / 1024),
  shards,
  counted,
};
await stream.close();
process.stdout.write(`${JSON.stringify(walked)}\n`);
