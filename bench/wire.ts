/**
 * What the wire costs: `node bench/wire.ts [batches]`. Rules: the server of test/transport/fake-server.ts sends the same pixels over and over (nothing is made),
 * 5 raw images of 330 x 330 a puzzle (1.63 MB), cells of 8, batches of 40; a process a side; three batches first, then the counted ones; every image of the
 * Python client as a numpy array. CPU is user and system time of the process, the server's with its start. Best of three runs by the client's CPU.
 * The Node client uses no memory twice, so it pays for fresh pages; the Python client reuses its buffers.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { connect } from "../src/transport/client.ts";

interface Run {
  readonly puzzles: number;
  readonly bytes: number;
  readonly seconds: number;
  /** Seconds. */
  readonly cpu: number;
}

const root = fileURLToPath(new URL("..", import.meta.url));
const WARM = 3;

/** Starts a process and reads its lines of JSON. */
function start(
  command: string,
  args: readonly string[],
): { line(): Promise<unknown>; end(): void } {
  const child = spawn(command, args, { cwd: root, stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async line() {
      const next = await lines.next();
      if (next.done === true)
        throw new Error(`${command} ${args.join(" ")} ended without a result`);
      return JSON.parse(next.value);
    },
    end: () => child.stdin.end(),
  };
}

/** This file in a process of its own: the Node client. */
async function readAsClient(url: string, batches: number): Promise<Run> {
  const client = await connect(url);
  let [puzzles, bytes, cpu, begun] = [0, 0, process.cpuUsage(), performance.now()];
  for await (const batch of client.stream({ steps: WARM + batches })) {
    if (batch.step < WARM) {
      [cpu, begun] = [process.cpuUsage(), performance.now()];
      continue;
    }
    puzzles += batch.puzzles.length;
    for (const { images } of batch.puzzles) for (const { data } of images) bytes += data.length;
  }
  const seconds = (performance.now() - begun) / 1000;
  const used = process.cpuUsage(cpu);
  await client.close();
  return { puzzles, bytes, seconds, cpu: (used.user + used.system) / 1e6 };
}

async function measure(
  listen: string,
  command: string,
  args: readonly string[],
): Promise<Run & { server: number }> {
  const load = "--batch=40 --cell=8 --side=330 --images=5 --reuse".split(" ");
  const server = start(process.execPath, [
    "test/transport/fake-server.ts",
    `--listen=${listen}`,
    ...load,
  ]);
  const { address } = (await server.line()) as { address: string };
  const run = (await start(
    command,
    args.map((arg) => (arg === "URL" ? address : arg)),
  ).line()) as Run;
  server.end();
  const { made, cpu } = (await server.line()) as { made: number; cpu: number };
  return { ...run, server: cpu / (made * 8) };
}

const [mode, count = "20"] =
  process.argv[2] === "client" ? ["client", process.argv[4]] : ["main", process.argv[2]];
if (mode === "client") {
  console.log(JSON.stringify(await readAsClient(process.argv[3] ?? "", Number(count))));
} else {
  const folder = mkdtempSync(join(tmpdir(), "wire-"));
  const python = process.env["PYTHON"] ?? "python3";
  const clients = {
    "Python, no thread": [python, ["bench/wire.py", "URL", count, "0"]],
    "Python, prefetch 1": [python, ["bench/wire.py", "URL", count, "1"]],
    Node: [process.execPath, ["bench/wire.ts", "client", "URL", count]],
  } as const;
  console.log("| socket | client | MB/s | client, CPU ms a puzzle | server, CPU ms a puzzle |");
  console.log("|---|---|---|---|---|");
  for (const [socket, listen] of Object.entries({
    tcp: "tcp://127.0.0.1:0",
    unix: `unix://${join(folder, "s")}`,
  })) {
    for (const [name, [command, args]] of Object.entries(clients)) {
      const runs = [];
      for (let round = 0; round < 3; round++) runs.push(await measure(listen, command, args));
      const best = runs.reduce((a, b) => (a.cpu <= b.cpu ? a : b));
      const figures = [
        best.bytes / best.seconds / 1e6,
        (best.cpu / best.puzzles) * 1e3,
        best.server * 1e3,
      ];
      console.log(
        `| ${[socket, name, ...figures.map((figure, i) => figure.toFixed(i === 0 ? 0 : 2))].join(" | ")} |`,
      );
    }
  }
  rmSync(folder, { recursive: true });
}
