import type { Box } from "../../images/picture.ts";
import type { Random } from "../../random/random.ts";
import type { InpaintingOptions } from "./options.ts";

/** How many sets of four places are compared where they shall overlap little. */
const TRIES = 128;
/** How many sets of four free places are drawn before the size is given up. */
const FREE_TRIES = 32;

/** Width and height of the hidden part in cells of `factor` pixels. */
export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/**
 * Every size the hidden part of an image of `columns` x `rows` cells may have, each as likely as the others.
 * exact: one width for each height that allows one; atMost: every pair (paper, section 3.2.1).
 */
export function sizes(
  columns: number,
  rows: number,
  leastCells: number,
  options: InpaintingOptions,
): readonly Size[] {
  const most = options.ratio * columns * rows;
  const found: Size[] = [];
  for (let height = 1; height <= rows; height++) {
    const widest = Math.floor(most / height);
    if (options.area === "atMost") {
      for (let width = 1; width <= Math.min(columns, widest); width++) {
        if (width * height >= leastCells) found.push({ columns: width, rows: height });
      }
    } else if (widest <= columns && widest * height >= Math.max(leastCells, 0.8 * most)) {
      found.push({ columns: widest, rows: height });
    }
  }
  return found;
}

/** Area that two boxes share, over the area of both together. */
export function overlap(one: Box, other: Box): number {
  const width = Math.min(one.x + one.width, other.x + other.width) - Math.max(one.x, other.x);
  const height = Math.min(one.y + one.height, other.y + other.height) - Math.max(one.y, other.y);
  const both = Math.max(0, width) * Math.max(0, height);
  return both / (one.width * one.height + other.width * other.height - both);
}

/** The overlap of the two boxes that overlap most. */
export function largestOverlap(boxes: readonly Box[]): number {
  let largest = 0;
  for (const [k, one] of boxes.entries()) {
    for (let j = 0; j < k; j++) largest = Math.max(largest, overlap(one, boxes[j] as Box));
  }
  return largest;
}

/**
 * Four places for a part of `width` x `height` pixels, or undefined where they overlap too much. All four are drawn alike and none is the
 * truth yet: whatever told them apart would give the answer away without the image.
 */
export function drawPlaces(
  image: { readonly width: number; readonly height: number },
  width: number,
  height: number,
  random: Random,
  options: InpaintingOptions,
): readonly Box[] | undefined {
  const right = image.width - width;
  const bottom = image.height - height;
  const free = (): Box => ({
    x: random.below(right + 1),
    y: random.below(bottom + 1),
    width,
    height,
  });
  // Places at the border are as common as they must be for four large ones to keep apart.
  const end = (most: number): number => {
    const side = random.below(4);
    return side === 0 ? 0 : side === 1 ? most : random.below(most + 1);
  };
  const spread = (): Box => {
    const x = end(right);
    return { x, y: end(bottom), width, height };
  };
  if (options.places === "free") {
    for (let k = 0; k < FREE_TRIES; k++) {
      const places = [free(), free(), free(), free()];
      if (largestOverlap(places) <= options.maxOverlap) return places;
    }
    return undefined;
  }
  let best = [spread(), spread(), spread(), spread()];
  let least = largestOverlap(best);
  for (let k = 1; k < TRIES && least > 0; k++) {
    const places = [spread(), spread(), spread(), spread()];
    const largest = largestOverlap(places);
    if (largest < least) [best, least] = [places, largest];
  }
  return least <= options.maxOverlap ? best : undefined;
}
