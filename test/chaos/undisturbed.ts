/** The run to which every other is compared: made in this process, without a socket. */
import { batchDigest } from "../../src/digest.ts";
import { createStream } from "../../src/loader.ts";
import type { StreamOptions } from "../../src/options.ts";

export interface Undisturbed {
  digest(step: number): Promise<string>;
  /** Of one puzzle of the first steps, as the batch of its slot alone. */
  puzzle(step: number, slot: number): Promise<string>;
  close(): Promise<void>;
}

/** Every task, images that are small: much happens in little time. */
export const cheap: Omit<StreamOptions, "source"> = {
  seed: 7,
  batch: 10,
  partitions: 5,
  workers: 1,
  maxPixels: 20_000,
  entries: [
    "rotation",
    "inpainting",
    "ordering:2x2",
    { task: "similarity", options: { size: 56 } },
    { task: "correspondence", options: { points: 2 } },
  ],
};

/** Steps whose puzzles are known one by one. */
const FIRST = 20;

export async function createUndisturbed(source: string): Promise<Undisturbed> {
  const stream = await createStream({ source, ...cheap });
  const made: { readonly digest: string; readonly puzzles: readonly string[] }[] = [];
  async function* all(): AsyncGenerator<(typeof made)[number], void, undefined> {
    for await (const batch of stream.batches())
      yield {
        digest: batchDigest(batch),
        puzzles: batch.puzzles
          .slice(0, batch.step < FIRST ? undefined : 0)
          .map((puzzle) => batchDigest({ ...batch, puzzles: [puzzle] })),
      };
  }
  const batches = all();
  let turn: Promise<unknown> = Promise.resolve();
  const at = (step: number): Promise<(typeof made)[number]> => {
    const found = turn.then(async () => {
      while (made.length <= step) made.push((await batches.next()).value!);
      return made[step]!;
    });
    turn = found;
    return found;
  };
  return {
    digest: async (step) => (await at(step)).digest,
    puzzle: async (step, slot) => (await at(step)).puzzles[slot]!,
    async close() {
      await batches.return();
      await stream.close();
    },
  };
}
