import { derive, type Random } from "../random/random.ts";

/** A slot's row in its shuffled window. */
export interface Place {
  /** 0 .. rows - 1. */
  readonly offset: number;
  /** Rows in the window. */
  readonly rows: number;
}

/** How many rows of a window are tried for one slot after its own. */
export const mostSubstitutes = 16;

/**
 * Offset of the row to try after `attempt` rows were unusable: attempt 0 is the slot's own row. Half a window away, because the slot's neighbours are
 * shown next anyway. Undefined when enough rows were tried. `most` is 0 in a stream with passes: there unusable rows are left out.
 */
export function substituteOffset(
  place: Place,
  attempt: number,
  most: number = mostSubstitutes,
): number | undefined {
  if (attempt === 0) return place.offset;
  if (attempt > Math.min(place.rows, most)) return undefined;
  return (place.offset + Math.floor(place.rows / 2) + attempt - 1) % place.rows;
}

/** How many rows of a window are looked at for the strangers of one attempt: where most are of one group or flat, a window would be read in vain. */
const mostStrangers = 64;

/** Where a photo of another group may come from: another slot of the cell, by its number among the others in slot order, or a row of the window. */
export type NegativeCandidate =
  | { readonly from: "cell"; readonly other: number }
  | { readonly from: "window"; readonly offset: number };

/**
 * In drawn order: first the `others` other slots of the cell, each once, then offsets of the slot's window but its own, each once and 64 at most. Each number is drawn
 * when it is asked for. The slot's own offset is that of the present attempt.
 */
export function* negativeCandidates(
  seed: number,
  slot: Place & { readonly index: number },
  attempt: number,
  others: number,
): Generator<NegativeCandidate, undefined, undefined> {
  const random = derive(seed, "puzzle", slot.index, attempt, "others");
  const own = substituteOffset(slot, attempt) ?? slot.offset;
  for (const other of drawn(random, others)) yield { from: "cell", other };
  for (const offset of drawn(random, slot.rows - 1, mostStrangers))
    yield { from: "window", offset: offset < own ? offset : offset + 1 };
}

/** 0 .. count - 1 in drawn order, the first `most` of them: a Fisher-Yates shuffle from the front, of which only the numbers that moved are kept. */
function* drawn(
  random: Random,
  count: number,
  most: number = count,
): Generator<number, undefined, undefined> {
  const moved = new Map<number, number>();
  for (let place = 0; place < Math.min(count, most); place++) {
    const other = place + random.below(count - place);
    yield moved.get(other) ?? other;
    moved.set(other, moved.get(place) ?? place);
    moved.delete(place);
  }
}
