/** The clients of both languages as processes, each batch checked as it comes. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { root, testPython } from "../fixtures/serve.ts";
import type { Undisturbed } from "./undisturbed.ts";

export type Language = "TypeScript" | "Python";

export interface Trainer {
  readonly pid: number;
  /** Batches that came, in the order of their steps. */
  readonly batches: number;
  /** Longest wait for a batch after the first, in milliseconds. */
  readonly stall: number;
  /** What was not as it should be: a batch that differs, is missing or comes twice, an error, a handle that stays open. */
  readonly problems: readonly string[];
  /** Settles when so many batches have come in all, or none will come any more. */
  reached(batches: number): Promise<void>;
  /** Leaves in order; settles when the process has ended. */
  leave(): Promise<void>;
  /** Settles when it has ended by itself. */
  readonly ended: Promise<unknown>;
  kill(): void;
}

interface Line {
  readonly step?: number;
  readonly digest?: string;
  readonly error?: string;
  readonly message?: string;
  readonly end?: true;
  readonly before?: { readonly descriptors: number; readonly handles: number };
  readonly after?: { readonly descriptors: number; readonly handles: number };
}

const typescript = fileURLToPath(new URL("client.ts", import.meta.url));
const python = fileURLToPath(new URL("client.py", import.meta.url));

export interface TrainerOptions {
  /** Batches after which it ends by itself. */
  readonly steps?: number;
  /** Of its connect(), both in milliseconds. */
  readonly stall?: number;
  readonly reconnect?: number;
  /** For a connection to be welcomed; TypeScript. */
  readonly timeout?: number;
  /** Module that is loaded before it; TypeScript. */
  readonly preload?: URL;
}

export function startTrainer(
  language: Language,
  address: string,
  undisturbed: Undisturbed,
  { steps, stall: patience, reconnect = 60_000, timeout, preload }: TrainerOptions = {},
): Trainer {
  const unit = language === "Python" ? 1_000 : 1;
  const options = {
    reconnect: reconnect / unit,
    ...(patience !== undefined && { stall: patience / unit }),
    ...(timeout !== undefined && language !== "Python" && { timeout }),
  };
  const imported = preload === undefined ? [] : ["--import", preload.href];
  const [program, given] =
    language === "Python"
      ? [testPython(), [python]]
      : [process.execPath, ["--max-semi-space-size=2", ...imported, typescript]];
  const child: ChildProcess = spawn(
    program,
    [...given, JSON.stringify({ address, options, ...(steps !== undefined && { steps }) })],
    { cwd: root, stdio: ["pipe", "pipe", "inherit"] },
  );
  const ended = once(child, "exit");
  const problems: string[] = [];
  const waiting = new Set<() => void>();
  let [batches, stall, latest, over, killed] = [0, 0, 0, false, false];
  let checks: Promise<void> = Promise.resolve();

  const take = async (line: Line): Promise<void> => {
    if (line.error !== undefined) problems.push(`${line.error}: ${line.message}`);
    if (line.step !== undefined) {
      if (line.step !== batches) problems.push(`step ${line.step} came instead of ${batches}`);
      const right = await undisturbed.digest(line.step);
      if (line.digest !== right) problems.push(`step ${line.step} differs`);
      batches = line.step + 1;
    }
    if (line.end && line.before && line.after && !killed) {
      for (const kind of ["descriptors", "handles"] as const)
        if (line.after[kind] > line.before[kind])
          problems.push(
            `${line.after[kind]} ${kind} are left of ${line.before[kind]} during the run`,
          );
    }
    for (const wake of waiting) wake();
  };
  const lines = createInterface({ input: child.stdout! });
  lines.on("line", (text) => {
    const line = JSON.parse(text) as Line;
    const now = performance.now();
    if (line.step !== undefined) {
      if (latest > 0) stall = Math.max(stall, now - latest);
      latest = now;
    }
    checks = checks.then(() => take(line));
  });
  const closed = once(lines, "close").then(async () => {
    await checks;
    over = true;
    for (const wake of waiting) wake();
  });
  const finished = Promise.all([ended, closed]);
  return {
    pid: child.pid ?? 0,
    get batches() {
      return batches;
    },
    get stall() {
      return Math.round(stall);
    },
    problems,
    reached: (wanted) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (batches < wanted && !over) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    async leave() {
      child.stdin?.end();
      await finished;
    },
    ended: finished,
    kill() {
      killed = true;
      child.kill("SIGKILL");
    },
  };
}
