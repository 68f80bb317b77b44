import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { onTestFinished } from "vitest";
import { main } from "../fixtures/serve.ts";

export interface Started {
  /** What it printed when it was ready. */
  readonly listening: string;
  readonly http: string;
  readonly node: string | undefined;
  /** Sends a signal; the exit status, or the signal that ended it. */
  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals>;
}

/** Addresses of a command line that is run here: any free port of loopback. */
export function onLoopback(args: readonly string[]): readonly string[] {
  return args.map((arg) =>
    arg
      .replace(/(tcp|tls):\/\/[\d.]+:\d+/, "$1://127.0.0.1:0")
      .replace(/^(--http=|)[\d.]+:9531$/, "$1127.0.0.1:0"),
  );
}

/** `ssl-r1` with these arguments, as a user's file has them; gone with the test. Throws what it said where it ends before it listens. */
export async function started(
  args: readonly string[],
  env: { readonly [name: string]: string } = {},
  flags: readonly string[] = [],
): Promise<Started> {
  const child = spawn(process.execPath, [...flags, main, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let said = "";
  child.stderr.on("data", (text: Buffer) => (said += text.toString()));
  const ended = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
  const [line] = (await Promise.race([
    once(createInterface({ input: child.stdout }), "line"),
    ended.then(() => [undefined]),
  ])) as [string | undefined];
  if (line === undefined) throw new Error(`${args.join(" ")}: ${said}`);
  return {
    ...(JSON.parse(line) as Started),
    async end(signal) {
      child.kill(signal);
      const [status, by] = await ended;
      return by ?? status ?? 0;
    },
  };
}

/** Asks until the answer is 200, as a probe does. */
export async function probed({ http }: Started, path: string): Promise<void> {
  while (!(await fetch(`${http}${path}`)).ok) await setTimeout(20);
}
