import type { Affine } from "../../images/picture.ts";

const HALF = Math.SQRT1_2;
/** Cosine and sine of 0, 45, ... 315 degrees. */
const EIGHTHS: readonly (readonly [cos: number, sin: number])[] = [
  [1, 0],
  [HALF, HALF],
  [0, 1],
  [-HALF, HALF],
  [-1, 0],
  [-HALF, -HALF],
  [0, -1],
  [HALF, -HALF],
];

/**
 * The inverse map of a clockwise turn: a square of side x side pixels whose centre shows (centreX, centreY) of the source, `zoom` source pixels
 * to a shown one.
 */
export function turnedSquare(
  degrees: number,
  side: number,
  centreX: number,
  centreY: number,
  zoom: number,
): Affine {
  const [cos, sin] = EIGHTHS[degrees / 45] ?? [Number.NaN, Number.NaN];
  const a = zoom * cos;
  const b = zoom * sin;
  return [a, b, centreX - ((a + b) * side) / 2, -b, a, centreY - ((a - b) * side) / 2];
}
