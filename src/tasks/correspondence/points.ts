import type { Affine } from "../../images/picture.ts";
import type { Random } from "../../random/random.ts";
import { apply, type Point } from "./motion.ts";

/** Pixels from a point to the nearest border, in both views: the marker's radius of 11 and 3 of the photo around it. */
const MARGIN = 14;
/** Pixels between two points of image 1 (paper, section 3.2.1), and of image 2, which may be smaller. */
const APART = 40;
const APART_MAPPED = 32;

const DARTS = 300;

function near(points: readonly Point[], [x, y]: Point, distance: number): boolean {
  return points.some(
    ([otherX, otherY]) =>
      (x - otherX) * (x - otherX) + (y - otherY) * (y - otherY) < distance * distance,
  );
}

/**
 * `count` pixel centres of image 1 that are visible and apart from each other in both views, or undefined where 300 uniform darts do not
 * find them. Both views are `width` x `height`; `forward` maps the first to the second.
 */
export function drawPoints(
  count: number,
  width: number,
  height: number,
  forward: Affine,
  random: Random,
): readonly Point[] | undefined {
  const points: Point[] = [];
  const mapped: Point[] = [];
  if (width <= 2 * MARGIN || height <= 2 * MARGIN) return undefined;
  for (let dart = 0; dart < DARTS && points.length < count; dart++) {
    const x = random.between(MARGIN, width - MARGIN - 1) + 0.5;
    const y = random.between(MARGIN, height - MARGIN - 1) + 0.5;
    const there = apply(forward, [x, y]);
    const inside =
      there[0] >= MARGIN &&
      there[0] < width - MARGIN &&
      there[1] >= MARGIN &&
      there[1] < height - MARGIN;
    if (!inside || near(points, [x, y], APART) || near(mapped, there, APART_MAPPED)) continue;
    points.push([x, y]);
    mapped.push(there);
  }
  return points.length === count ? points : undefined;
}
