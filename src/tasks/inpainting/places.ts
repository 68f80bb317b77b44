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

/** The largest area in pixels that two of four parts share; x and y of their corners in turn. */
function mostShared(corners: readonly number[], width: number, height: number): number {
  let most = 0;
  for (let k = 2; k < corners.length; k += 2) {
    for (let j = 0; j < k; j += 2) {
      const across = width - Math.abs(corners[k]! - corners[j]!);
      const down = height - Math.abs(corners[k + 1]! - corners[j + 1]!);
      if (across > 0 && down > 0) most = Math.max(most, across * down);
    }
  }
  return most;
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
  const spread = options.places === "spread";
  // Spread places are often at the border: elsewhere four large ones can't keep apart.
  const draw = (most: number): number => {
    const side = spread ? random.below(4) : 2;
    return side === 0 ? 0 : side === 1 ? most : random.below(most + 1);
  };
  const corners = [0, 0, 0, 0, 0, 0, 0, 0];
  let best = corners;
  let least = Infinity;
  const enough = spread ? 0 : (options.maxOverlap * 2 * width * height) / (1 + options.maxOverlap);
  for (let k = 0; k < (spread ? TRIES : FREE_TRIES) && least > enough; k++) {
    for (let c = 0; c < corners.length; c += 2) {
      corners[c] = draw(image.width - width);
      corners[c + 1] = draw(image.height - height);
    }
    // The parts are of one size, so those that share most overlap most.
    const most = mostShared(corners, width, height);
    if (most < least) [best, least] = [[...corners], most];
  }
  const places = [0, 2, 4, 6].map((c): Box => ({ x: best[c]!, y: best[c + 1]!, width, height }));
  return largestOverlap(places) <= options.maxOverlap ? places : undefined;
}
