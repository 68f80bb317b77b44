/** `ssl-r1 serve` as a process that may be treated badly, on a Unix socket that outlives it. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { main, root } from "../fixtures/serve.ts";

export interface LoaderOptions {
  /** Where it listens. */
  readonly address: string;
  /** Of `serve`: source and options. */
  readonly args: readonly string[];
  readonly env?: { readonly [name: string]: string };
  /** Module of this folder that is loaded before it. */
  readonly preload?: URL;
  /** Largest file that it may write, in KiB. */
  readonly largestFile?: number;
}

export interface Loader {
  readonly address: string;
  readonly pid: number;
  /** What it wrote to standard error, over all its lives. */
  readonly said: readonly string[];
  /** Times that it was started. */
  readonly lives: number;
  /** Ends it by a signal and waits until it is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  /** Starts it again; settles when it listens. */
  start(): Promise<void>;
  running(): boolean;
}

/** Node's own flags, as users have them. */
const flags = readFileSync(main, "utf8").split("\n", 1)[0]!.split(" ").slice(3);

export async function startLoader(options: LoaderOptions): Promise<Loader> {
  const { address, args, env = {}, preload, largestFile } = options;
  const said: string[] = [];
  let child: ChildProcess | undefined;
  let ended: Promise<unknown> = Promise.resolve();
  let lives = 0;

  const start = async (): Promise<void> => {
    const imported = preload === undefined ? [] : ["--import", preload.href];
    const given = [
      ...flags,
      ...imported,
      main,
      "serve",
      ...args,
      "--listen",
      address,
      "--json",
      "--until-eof",
    ];
    const own = spawn(
      largestFile === undefined ? process.execPath : "bash",
      largestFile === undefined
        ? given
        : ["-c", `ulimit -f ${largestFile}; exec "$0" "$@"`, process.execPath, ...given],
      { cwd: root, env: { ...process.env, ...env }, stdio: ["pipe", "pipe", "pipe"] },
    );
    // Its writer's end is closed with this process: no loader stays behind, however it ends.
    own.stdin.on("error", () => {});
    child = own;
    lives++;
    ended = once(own, "exit");
    createInterface({ input: own.stderr }).on("line", (line) => said.push(line));
    const ready = once(createInterface({ input: own.stdout }), "line");
    const first = await Promise.race([ready.then(() => true), ended.then(() => false)]);
    // killed before it was ready: whoever did that starts it again
    if (!first && own.signalCode === null)
      throw new Error(`a loader ended by itself: ${said.slice(-3).join(" | ")}`);
  };
  await start();
  return {
    address,
    get pid() {
      return child?.pid ?? 0;
    },
    said,
    get lives() {
      return lives;
    },
    async kill(signal = "SIGKILL") {
      child?.kill(signal);
      await ended;
    },
    signal: (signal) => void child?.kill(signal),
    start,
    running: () => child !== undefined && child.exitCode === null && child.signalCode === null,
  };
}

/** Resident memory in MiB and open file descriptors; undefined where the process is gone. Linux. */
export function usage(
  pid: number,
): { readonly rss: number; readonly descriptors: number } | undefined {
  try {
    const pages = Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]);
    return { rss: (pages * 4096) / 2 ** 20, descriptors: readdirSync(`/proc/${pid}/fd`).length };
  } catch {
    return undefined;
  }
}
