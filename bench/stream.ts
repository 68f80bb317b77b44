/**
 * Throughput of the whole stream: `node bench/stream.ts SOURCE [--short]`, on the corpus of make-corpus.py (docs/benchmarks.md).
 *
 * Rules: the unit is puzzles per CPU-second of all processes together. B = 40, five tasks in equal shares, raw pixels, 2,000 puzzles to warm up (the engine
 * compiles beside the work for that long), then 8,000 (200 and 400 with --short). "alone": batches are made and dropped. "python": through a Unix socket into Python, every image in hand as an array (raw)
 * or as bytes (jpeg). Each line is a process of its own; nothing else should run. Linux.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { python } from "../python/setup.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const cli = join(root, "src", "cli", "main.ts");
/** As the command line starts itself: #!/usr/bin/env -S node FLAGS */
const flags = readFileSync(cli, "utf8").split("\n", 1)[0]!.split(" ").slice(3);
const [source, mode] = process.argv.slice(2);
if (source === undefined) throw new Error("usage: node bench/stream.ts SOURCE [--short]");
const [warmup, batches] = mode === "--short" ? [5, 10] : [50, 200];
const tasks = ["rotation", "similarity", "inpainting", "ordering", "correspondence"];

interface Alone {
  puzzles_per_second: number;
  puzzles_per_cpu_second: number;
  cpu_seconds_per_1000: number;
  mebibytes_per_puzzle: number;
  milliseconds_per_puzzle: { [stage: string]: number };
  peak_rss_mebibytes: number;
}

interface Python {
  puzzles_per_second: number;
  puzzles_per_cpu_second: number;
  cpu_seconds_per_1000: { all: number; loader: number; client: number };
  first_batch_seconds: number;
  peak_rss_mebibytes: { loader: number; client: number };
}

const common = ["--seed", "1", "--batch", "40"];

function alone(...options: string[]): Alone {
  const { stdout, status, stderr } = spawnSync(
    process.execPath,
    [
      ...flags,
      cli,
      "bench",
      source!,
      ...common,
      "--warmup",
      String(warmup),
      "--batches",
      String(batches),
      "--json",
      ...options,
    ],
    { encoding: "utf8" },
  );
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Alone;
}

async function throughSocket(format: string, ...options: string[]): Promise<Python> {
  const folder = mkdtempSync(join(tmpdir(), "ssl-r1-bench-"));
  const listen = `unix://${join(folder, "socket")}`;
  const loader = spawn(
    process.execPath,
    [...flags, cli, "serve", source!, ...common, "--listen", listen, "--json", ...options],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  try {
    await once(createInterface({ input: loader.stdout }), "line");
    const { stdout, status, stderr } = spawnSync(
      python,
      [
        join(root, "bench", "client.py"),
        listen,
        String(loader.pid),
        format,
        String(warmup),
        String(batches),
      ],
      { encoding: "utf8", env: { ...process.env, PYTHONPATH: join(root, "python") } },
    );
    if (status !== 0) throw new Error(stderr);
    return JSON.parse(stdout) as Python;
  } finally {
    loader.kill("SIGTERM");
    await once(loader, "exit");
    rmSync(folder, { recursive: true });
  }
}

const results: { [name: string]: unknown } = {};
const line = (name: string, ...cells: (string | number)[]): void =>
  void process.stdout.write(
    `${name.padEnd(34)}${cells.map((cell) => String(cell).padStart(11)).join("")}\n`,
  );

line("loader alone", "/CPU-s", "/s", "CPU s/1000", "MiB/puzzle", "RSS MiB");
function reportAlone(name: string, ...options: string[]): Alone {
  const got = alone(...options);
  results[`alone, ${name}`] = got;
  line(
    `  ${name}`,
    Math.round(got.puzzles_per_cpu_second),
    Math.round(got.puzzles_per_second),
    got.cpu_seconds_per_1000,
    got.mebibytes_per_puzzle.toFixed(2),
    Math.round(got.peak_rss_mebibytes),
  );
  return got;
}
const one = reportAlone("mix, 1 worker", "--workers", "1");
const two = reportAlone("mix, 2 workers", "--workers", "2");
reportAlone("mix, shared, 2 workers", "--workers", "2", "--order", "shared");
reportAlone("mix, shared, 1 partition", "--workers", "2", "--order", "shared", "--partitions", "1");
reportAlone("mix, jpeg, 2 workers", "--workers", "2", "--format", "jpeg");
for (const task of tasks) reportAlone(task, "--workers", "2", "--entries", task);
line("  two workers / one", (two.puzzles_per_second / one.puzzles_per_second).toFixed(2));

const stages = Object.entries(one.milliseconds_per_puzzle);
// Reading waits beside the work of the cells before; the rest is work of the worker.
const bare = stages.reduce((sum, [stage, spent]) => sum + (stage === "read" ? 0 : spent), 0);
process.stdout.write(
  `\nmilliseconds a puzzle, one worker: ${stages.map(([stage, spent]) => `${stage} ${spent.toFixed(3)}`).join(", ")}\n` +
    `all of these but read ${bare.toFixed(3)}; CPU in all ${one.cpu_seconds_per_1000.toFixed(3)}: plan, reading, threads and messages cost ${(one.cpu_seconds_per_1000 - bare).toFixed(3)}\n\n`,
);

line("through a Unix socket to Python", "/CPU-s", "/s", "loader", "client", "first s");
async function reportPython(name: string, format: string, ...options: string[]): Promise<Python> {
  const got = await throughSocket(format, ...options);
  results[`python, ${name}`] = got;
  line(
    `  ${name}`,
    Math.round(got.puzzles_per_cpu_second),
    Math.round(got.puzzles_per_second),
    got.cpu_seconds_per_1000.loader,
    got.cpu_seconds_per_1000.client,
    got.first_batch_seconds,
  );
  return got;
}
const sent = await reportPython("independent", "raw", "--workers", "2");
await reportPython("shared", "raw", "--workers", "2", "--order", "shared");
await reportPython(
  "shared, 1 partition",
  "raw",
  "--workers",
  "2",
  "--order",
  "shared",
  "--partitions",
  "1",
);
await reportPython("jpeg, bytes in hand", "jpeg", "--workers", "2");
process.stdout.write(
  `send: ${(sent.cpu_seconds_per_1000.loader - two.cpu_seconds_per_1000).toFixed(3)} ms of the loader's CPU a puzzle\n${JSON.stringify(results)}\n`,
);
