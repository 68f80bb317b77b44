import { setTimeout as sleep } from "node:timers/promises";
import type { Stage } from "./stage.ts";
import type { Trainer } from "./trainer.ts";

export interface Scenario {
  readonly name: string;
  readonly play: (stage: Stage) => Promise<void>;
  /** Those that play it; a long run: both. */
  readonly clients?: readonly ("TypeScript" | "Python")[];
}

/** Batches after the last fault: what comes then must be right, too. */
const TAIL = 6;

/** Does something at random moments of a run, counted in batches so that the seed decides when; the trainer leaves afterwards. */
export async function during(
  { chance }: Stage,
  trainer: Trainer,
  times: number,
  work: (done: number) => Promise<void>,
): Promise<void> {
  await trainer.reached(1);
  for (let done = 0; done < times && trainer.problems.length === 0; done++) {
    await trainer.reached(trainer.batches + chance.between(1, 5));
    await sleep(chance.below(40));
    await work(done);
  }
  await finish(trainer);
}

export async function finish(trainer: Trainer): Promise<void> {
  await trainer.reached(trainer.batches + TAIL);
  await trainer.leave();
}

/** As a client takes several loaders. */
export const listed = (addresses: readonly { readonly address: string }[]): string =>
  addresses.map(({ address }) => address).join(",");
