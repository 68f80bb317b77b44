/** The run to which every other is compared: made in this process, without a socket. */
import { batchDigest } from "../../src/digest.ts";
import { createStream } from "../../src/loader.ts";
import type { StreamOptions } from "../../src/options.ts";

export interface Undisturbed {
  digest(step: number): Promise<string>;
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

export async function createUndisturbed(source: string): Promise<Undisturbed> {
  const stream = await createStream({ source, ...cheap });
  const digests: string[] = [];
  let made: AsyncIterator<string> | undefined;
  async function* all(): AsyncGenerator<string, void, undefined> {
    for await (const batch of stream.batches()) yield batchDigest(batch);
  }
  let turn: Promise<unknown> = Promise.resolve();
  return {
    async digest(step) {
      const found = turn.then(async () => {
        made ??= all();
        while (digests.length <= step) digests.push((await made.next()).value as string);
        return digests[step]!;
      });
      turn = found;
      return found;
    },
    async close() {
      await made?.return?.();
      await stream.close();
    },
  };
}
