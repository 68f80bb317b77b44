/** Inputs that come of others by small changes; those that take new ways through the code are kept and changed further. */
import { chanceOf, type Chance } from "../chaos/chance.ts";
import type { Coverage } from "./coverage.ts";
import { mutate } from "./mutate.ts";

/** What takes bytes of strangers. */
export interface Door {
  readonly name: string;
  /** Good inputs, and near misses. */
  readonly seeds: () => readonly Uint8Array[];
  /** Takes an input. Throws where it is answered with anything but what is allowed. */
  take(input: Uint8Array, chance: Chance): Promise<void> | void;
  /** Bytes of an input, at most. */
  readonly most: number;
  /** Words of its language. */
  readonly words?: readonly string[];
  /** Inputs go to another process, whose ways can't be seen from here. */
  readonly elsewhere?: boolean;
  close?(): Promise<void>;
}

export interface Finding {
  readonly input: Uint8Array;
  readonly reason: string;
}

export interface Tally {
  readonly door: string;
  readonly runs: number;
  /** Inputs that were kept beside the seeds. */
  readonly kept: readonly Uint8Array[];
  readonly paths: number;
  /** Most that an input took, milliseconds of processor time. */
  readonly slowest: number;
  /** Growth of the heap and of what lies beside it, MiB. */
  readonly growth: number;
  readonly findings: readonly Finding[];
}

/** Milliseconds of processor time after which an input is a finding: all are small. */
export const SLOW = 3_000;
/** MiB. */
const GROWTH = 200;
/** Inputs between two looks at what was covered: few where there is much to find, since the looks take most of the time. */
const ROUND = { least: 16, most: 256 };

export async function fuzz(
  door: Door,
  {
    seed,
    milliseconds,
    runs = Infinity,
    coverage,
  }: {
    readonly seed: string;
    readonly milliseconds: number;
    readonly runs?: number;
    readonly coverage?: Coverage | undefined;
  },
): Promise<Tally> {
  const chance = chanceOf(seed, door.name);
  const corpus = [...door.seeds()];
  const kept: Uint8Array[] = [];
  const findings: Finding[] = [];
  let [count, slowest] = [0, 0];

  const take = async (input: Uint8Array): Promise<void> => {
    count++;
    const started = process.cpuUsage();
    try {
      await door.take(input, chanceOf(seed, door.name, count));
    } catch (error) {
      findings.push({ input, reason: (error as Error).stack ?? String(error) });
    }
    // Not the time that has passed: others may need the machine.
    const { user, system } = process.cpuUsage(started);
    const took = (user + system) / 1_000;
    slowest = Math.max(slowest, took);
    if (took > SLOW) findings.push({ input, reason: `it took ${took.toFixed(0)} ms` });
  };

  for (const one of corpus) await take(one);
  await coverage?.fresh();
  const memory = held();
  const end = performance.now() + milliseconds;
  const over = (): boolean => performance.now() > end || count >= runs || findings.length >= 10;
  let length = ROUND.least;
  while (!over()) {
    const round = Array.from({ length }, () => mutate(chance.one(corpus), corpus, chance, door));
    for (const input of round) await take(input);
    if (coverage === undefined) continue;
    const fresh = await coverage.fresh();
    length = fresh > 0 ? ROUND.least : Math.min(2 * length, ROUND.most);
    if (fresh === 0) continue;
    // one of them went a new way: which?
    for (const input of round) {
      await take(input);
      if ((await coverage.fresh()) === 0) continue;
      corpus.push(input);
      kept.push(input);
    }
  }
  const growth = held() - memory;
  if (growth > GROWTH)
    findings.push({ input: new Uint8Array(0), reason: `it holds ${growth} MiB more than before` });
  return {
    door: door.name,
    runs: count,
    kept,
    paths: coverage?.paths ?? 0,
    slowest: Math.round(slowest),
    growth,
    findings,
  };
}

function held(): number {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return Math.round((heapUsed + external) / 2 ** 20);
}
