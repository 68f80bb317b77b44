import { StreamError } from "./errors.ts";
import type { Batch, Cell, FailedSlot, Puzzle, StepRequest } from "./model.ts";

/** Cells of one request after the other -> batches whose images are the caller's own. */
export async function* collect(cells: AsyncIterable<Cell>): AsyncGenerator<Batch, void, undefined> {
  let puzzles: Puzzle[] = [];
  let failed: FailedSlot[] = [];
  for await (const cell of cells) {
    for (const puzzle of cell.puzzles) puzzles.push({ ...puzzle, images: owned(puzzle) });
    failed.push(...cell.failed);
    cell.release();
    if (!cell.last) continue;
    yield { step: cell.step, puzzles, failed };
    puzzles = [];
    failed = [];
  }
}

/** Copies: the pixels of a cell are gone when it is released. */
function owned({ images }: Puzzle): Puzzle["images"] {
  return images.map((image) => ({ ...image, data: image.data.slice() }));
}

/** Puzzles and failures in the order in which their slots were asked for. */
export function inOrder({ step, puzzles, failed }: Batch, slots: readonly number[]): Batch {
  const sorted = <T extends { readonly slot: number }>(items: readonly T[]): T[] => {
    const bySlot = new Map(items.map((item) => [item.slot, item]));
    return slots.flatMap((slot) => bySlot.get(slot) ?? []);
  };
  return { step, puzzles: sorted(puzzles), failed: sorted(failed) };
}

/** first, first + 1, ... up to but not including `end`, where there is one. */
export function* stepsFrom(first: number, end: number | null): Generator<number> {
  if (!(Number.isSafeInteger(first) && first >= 0))
    throw new StreamError("STEP_OUT_OF_RANGE", `from: got ${first}; steps are integers from 0`);
  for (let step = first; step < (end ?? Infinity); step++) yield step;
}

export function* asRequests(steps: Iterable<number>): Generator<StepRequest> {
  for (const step of steps) yield { step };
}
