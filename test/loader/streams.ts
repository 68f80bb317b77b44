import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { createStream, type Internals, type Stream } from "../../src/loader.ts";
import type { Batch, Cell } from "../../src/model.ts";
import type { StreamOptions } from "../../src/options.ts";

/** Sample shards of the repository: 68 photos. */
export const samples: string = fileURLToPath(new URL("../../shards", import.meta.url));

/** A stream of the sample shards that is closed after the test. */
export async function open(
  options: Partial<StreamOptions> = {},
  internals: Internals = {},
): Promise<Stream> {
  const stream = await createStream({ source: samples, workers: 1, ...options }, internals);
  onTestFinished(() => stream.close());
  return stream;
}

/** Everything in a batch, in words that toEqual compares quickly and shows readably. */
export function plain({
  step,
  puzzles,
  failed,
}: Pick<Batch | Cell, "step" | "puzzles" | "failed">): {
  step: number;
  puzzles: object[];
  failed: readonly object[];
} {
  return {
    step,
    failed,
    puzzles: puzzles.map(({ images, ...puzzle }) => ({
      ...puzzle,
      images: images.map(({ data, ...image }) => ({ ...image, hash: hashOf(data) })),
    })),
  };
}

function hashOf(data: Uint8Array): string {
  return createHash("sha256").update(data).digest("base64");
}

export async function take<T>(items: AsyncIterable<T>, count: number): Promise<T[]> {
  const taken: T[] = [];
  if (count === 0) return taken;
  for await (const item of items) {
    taken.push(item);
    if (taken.length === count) break;
  }
  return taken;
}
