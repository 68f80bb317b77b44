import { spawn, spawnSync, type ChildProcessWithoutNullStreams } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

export interface Ended {
  /** Exit status; null when a signal ended it. */
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs a command to its end. */
export function run(args: readonly string[], input = ""): Ended {
  const ended = spawnSync(process.execPath, [main, ...args], {
    encoding: "utf8",
    input,
    timeout: 60_000,
    maxBuffer: 64 << 20,
  });
  return { status: ended.status, out: ended.stdout, err: ended.stderr };
}

/** Starts a command; ended after the test if it has not ended by itself. */
export function start(
  args: readonly string[],
  env: { readonly [name: string]: string } = {},
): ChildProcessWithoutNullStreams {
  const child = spawn(process.execPath, [main, ...args], { env: { ...process.env, ...env } });
  child.stderr.resume();
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

/** The first line that it prints. */
export async function firstLine(child: ChildProcessWithoutNullStreams): Promise<string> {
  for await (const line of createInterface({ input: child.stdout })) return line;
  throw new Error("it printed nothing");
}

/** Exit status, or the signal that ended it. */
export function ended(child: ChildProcessWithoutNullStreams): Promise<number | NodeJS.Signals> {
  return new Promise((resolve) => {
    child.once("exit", (status, signal) => resolve(status ?? signal!));
  });
}
