/** The main job: serves the sample shards and lets a Python trainer stand-in take ten batches. `npm start [source]`. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { python, setUpPython } from "../python/setup.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const [source = "shards"] = process.argv.slice(2);

setUpPython("run");
const loader = spawn(
  process.execPath,
  [
    "src/cli/main.ts",
    "serve",
    source,
    "--seed",
    "7",
    "--listen",
    "tcp://127.0.0.1:0",
    "--json",
    "--log-level",
    "warn",
  ],
  { cwd: root, stdio: ["ignore", "pipe", "inherit"] },
);
const ended = once(loader, "exit");
let status = 1;
const [line] = await Promise.race([
  once(createInterface({ input: loader.stdout }), "line") as Promise<[string]>,
  ended.then(() => [undefined]),
]);
if (line !== undefined) {
  const { listening } = JSON.parse(line) as { listening: string };
  process.stdout.write(`loader ready on ${listening}\n`);
  const trainer = spawn(python, ["examples/trainer.py", listening, "10"], {
    cwd: root,
    stdio: "inherit",
  });
  [status] = (await once(trainer, "exit")) as [number];
  loader.kill("SIGTERM");
  await ended;
}
process.exitCode = status;
