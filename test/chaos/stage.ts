/** Where a scenario plays: its loaders, links and trainers, watched, and all ended with it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "../fixtures/serve.ts";
import type { Chance } from "./chance.ts";
import { startLoader, usage, type Loader, type LoaderOptions } from "./loader.ts";
import { createProxy, type Proxy } from "./proxy.ts";
import { startTrainer, type Language, type Trainer, type TrainerOptions } from "./trainer.ts";
import { cheap, type Undisturbed } from "./undisturbed.ts";

export interface Stage {
  readonly chance: Chance;
  readonly long: boolean;
  readonly language: Language;
  /** Gone afterwards. */
  readonly folder: string;
  readonly undisturbed: Undisturbed;
  /** Serves the sample shards, or another source. */
  readonly loader: (
    options?: Partial<LoaderOptions> & { readonly source?: string },
  ) => Promise<Loader>;
  /** Three nodes that share the partitions. */
  readonly loaders: () => Promise<readonly Loader[]>;
  readonly proxy: (loader: Loader) => Promise<Proxy>;
  readonly train: (address: string, options?: TrainerOptions) => Trainer;
  /** Faults that the scenario itself makes. */
  readonly count: (kind: string, times?: number) => void;
  readonly problem: (what: string) => void;
  /** Something that must be given back at the end. */
  readonly after: (work: () => Promise<unknown>) => void;
}

/** Three nodes that share the partitions: started once, since that takes longest, and started again where a scenario has ended them. */
export interface Nodes {
  loaders(): Promise<readonly Loader[]>;
  close(): Promise<void>;
}

export function createNodes(): Nodes {
  const folder = mkdtempSync(join(tmpdir(), "ssl-r1-chaos-"));
  const config = configIn(folder);
  let nodes: readonly Loader[] = [];
  return {
    async loaders() {
      if (nodes.length === 0)
        nodes = await Promise.all(
          Array.from({ length: NODES }, (_, node) =>
            startLoader({
              address: `unix://${join(folder, `node-${node}.sock`)}`,
              args: ["shards", "--config", config, "--node", `${node}/${NODES}`],
            }),
          ),
        );
      for (const node of nodes) if (!node.running()) await node.start();
      return nodes;
    },
    async close() {
      for (const node of nodes) await node.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function configIn(folder: string): string {
  const config = join(folder, "stream.yaml");
  writeFileSync(config, JSON.stringify(cheap));
  return config;
}

export interface Outcome {
  readonly faults: { readonly [kind: string]: number };
  readonly batches: number;
  readonly stall: number;
  /** Most resident memory of a loader and of a client, MiB. */
  readonly peaks: { readonly loader: number; readonly client: number };
  /** Most in the second half of its life above the most in the first, of processes that lived to the end; MiB. */
  readonly growth: { readonly loader: number; readonly client: number };
  readonly problems: readonly string[];
}

/** What each process may hold, MiB. Measured: loaders 255, clients 215. */
const BOUNDS = { loader: 420, client: 360 };
const SAMPLE = 100;
const NODES = 3;

export async function play(
  scenario: (stage: Stage) => Promise<void>,
  given: Pick<Stage, "chance" | "long" | "language" | "undisturbed">,
  nodes: Nodes,
): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), "ssl-r1-chaos-"));
  const config = configIn(folder);
  const loaders: Loader[] = [];
  /** Of the nodes that outlive the scenario. */
  const used: Loader[] = [];
  const proxies: Proxy[] = [];
  const trainers: Trainer[] = [];
  const afterwards: (() => Promise<unknown>)[] = [];
  const faults: Record<string, number> = {};
  const problems: string[] = [];
  const memory = { loader: new Map<number, number[]>(), client: new Map<number, number[]>() };

  const sample = (): void => {
    for (const [kind, processes] of [
      ["loader", [...loaders, ...used]],
      ["client", trainers],
    ] as const)
      for (const { pid } of processes) {
        const found = usage(pid);
        if (found) memory[kind].set(pid, [...(memory[kind].get(pid) ?? []), found.rss]);
      }
  };
  const timer = setInterval(sample, SAMPLE);
  const count = (kind: string, times = 1): void =>
    void (faults[kind] = (faults[kind] ?? 0) + times);

  let sockets = 0;
  const loader: Stage["loader"] = async ({ source = "shards", args = [], ...options } = {}) => {
    const made = await startLoader({
      address: `unix://${join(folder, `${sockets++}.sock`)}`,
      args: [source, "--config", config, ...args],
      ...options,
    });
    loaders.push(made);
    return made;
  };
  const stage: Stage = {
    ...given,
    folder,
    loader,
    async loaders() {
      const all = await nodes.loaders();
      used.push(...all);
      return all;
    },
    async proxy(behind) {
      const made = await createProxy(behind.address);
      proxies.push(made);
      return made;
    },
    train(address, options) {
      const made = startTrainer(given.language, address, given.undisturbed, options);
      trainers.push(made);
      return made;
    },
    count,
    problem: (what) => void problems.push(what),
    after: (work) => void afterwards.push(work),
  };
  try {
    await scenario(stage);
  } catch (error) {
    problems.push(`the scenario failed: ${(error as Error).stack ?? error}`);
  } finally {
    for (const trainer of trainers) {
      trainer.kill();
      await trainer.ended;
    }
    for (const one of loaders) await one.kill();
    for (const proxy of proxies) await proxy.close();
    for (const work of afterwards) await work();
    clearInterval(timer);
    rmSync(folder, { recursive: true, force: true });
  }
  for (const { counts } of proxies)
    for (const [kind, times] of Object.entries(counts)) count(kind, times);
  problems.push(...trainers.flatMap((trainer) => trainer.problems));
  if (problems.length > 0)
    for (const { said } of [...loaders, ...used])
      problems.push(...said.filter((line) => /"level":"(error|fatal)"/.test(line)).slice(-2));
  const peaks = { loader: peak(memory.loader), client: peak(memory.client) };
  for (const kind of ["loader", "client"] as const)
    if (peaks[kind] > BOUNDS[kind])
      problems.push(`a ${kind} held ${peaks[kind]} MiB, ${BOUNDS[kind]} are allowed`);
  return {
    faults,
    batches: trainers.reduce((sum, { batches }) => sum + batches, 0),
    stall: Math.max(0, ...trainers.map(({ stall }) => stall)),
    peaks,
    growth: { loader: growth(memory.loader), client: growth(memory.client) },
    problems,
  };
}

const peak = (samples: ReadonlyMap<number, readonly number[]>): number =>
  Math.round(Math.max(0, ...[...samples.values()].flat()));

function growth(samples: ReadonlyMap<number, readonly number[]>): number {
  const lives = [...samples.values()].filter(({ length }) => length >= 20);
  return Math.round(
    Math.max(
      0,
      ...lives.map((all) => {
        const half = all.length >> 1;
        return Math.max(...all.slice(half)) - Math.max(...all.slice(0, half));
      }),
    ),
  );
}

/** Until it holds, or the patience is over. */
export async function eventually(holds: () => boolean, milliseconds: number): Promise<boolean> {
  const deadline = performance.now() + milliseconds;
  while (!holds()) {
    if (performance.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return true;
}

export { root };
