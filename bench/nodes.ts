/**
 * Several loaders as one stream: `node bench/nodes.ts SOURCE`, on the corpus of make-corpus.py (docs/benchmarks.md).
 *
 * Rules: B = 40, 4 partitions, five tasks in equal shares, raw pixels, one worker a loader, Unix sockets, one Python trainer with every image in hand as an
 * array; 50 batches a loader to warm up, then 150. The cores of one machine are shared by all, so throughput is told by CPU time: what one loader could give if it had
 * a core is one over its CPU seconds a puzzle of the stream, and what two give together is one over those of the busier of them; the trainer takes a batch
 * every 0.1 s, so that more processes than cores do not cost each other their caches. Then a trainer that takes a
 * batch every 0.3 s, or as fast as they come, whose second loader is killed: how long it waits. Linux.
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
const flags = readFileSync(cli, "utf8").split("\n", 1)[0]!.split(" ").slice(3);
const [source] = process.argv.slice(2);
if (source === undefined) throw new Error("usage: node bench/nodes.ts SOURCE");

interface Report {
  puzzles_per_second: number;
  median_wait_seconds: number;
  longest_wait_seconds: number;
  resume_seconds: number;
  cpu_milliseconds_per_puzzle?: { loaders: number[]; client: number };
}

async function run(nodes: number, ...given: (number | string)[]): Promise<Report> {
  const folder = mkdtempSync(join(tmpdir(), "ssl-r1-bench-"));
  const urls = Array.from({ length: nodes }, (_, node) => `unix://${join(folder, String(node))}`);
  const loaders = urls.map((url, node) =>
    spawn(
      process.execPath,
      `${flags.join(" ")} ${cli} serve ${source} --seed 1 --batch 40 --partitions 4 --workers 1 --json --log-level error --node ${node}/${nodes} --listen ${url}`.split(
        " ",
      ),
      { stdio: ["ignore", "pipe", "inherit"] },
    ),
  );
  try {
    await Promise.all(
      loaders.map(({ stdout }) => once(createInterface({ input: stdout }), "line")),
    );
    const pids = loaders.map(({ pid }) => pid);
    const { stdout, status, stderr } = spawnSync(
      python,
      [join(root, "bench", "nodes.py"), urls.join(","), pids.join(","), ...given.map(String)],
      { encoding: "utf8", env: { ...process.env, PYTHONPATH: join(root, "python") } },
    );
    if (status !== 0) throw new Error(stderr);
    return JSON.parse(stdout) as Report;
  } finally {
    for (const loader of loaders) if (loader.exitCode === null) loader.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  }
}

const results: { [name: string]: Report } = {};
const busiest = (report: Report): number =>
  Math.max(...report.cpu_milliseconds_per_puzzle!.loaders);
for (const nodes of [1, 2, 4]) {
  const got = (results[`${nodes} nodes`] = await run(nodes, 50 * nodes, 150, -1, 0.1));
  const { loaders, client } = got.cpu_milliseconds_per_puzzle!;
  process.stdout.write(
    `${nodes} nodes: CPU ms a puzzle: loaders ${loaders.join(", ")}, client ${client}; by CPU time ${(busiest(results["1 nodes"]!) / busiest(got)).toFixed(2)} times one node; resume ${got.resume_seconds} s\n`,
  );
}
for (const [name, killAt, pace] of [
  ["a batch every 0.3 s", -1, 0.3],
  ["a batch every 0.3 s, the second killed", 40, 0.3],
  ["as fast as they come", -1, 0],
  ["as fast as they come, the second killed", 40, 0],
] as const) {
  const got = (results[name] = await run(2, 20, 60, killAt, pace));
  process.stdout.write(
    `2 nodes, ${name}: waits ${got.median_wait_seconds} s in the middle, ${got.longest_wait_seconds} s at most\n`,
  );
}
process.stdout.write(`${JSON.stringify(results)}\n`);
