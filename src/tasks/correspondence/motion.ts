import { cos, sin } from "../../images/numeric.ts";
import type { Affine } from "../../images/picture.ts";
import type { Random } from "../../random/random.ts";

export type Point = readonly [x: number, y: number];

/** From image 1 to image 2, about the centre: slanted, scaled, turned, then shifted. */
export interface Motion {
  /** Degrees clockwise. */
  readonly rotation: number;
  readonly scale: number;
  /** Degrees by which vertical lines lean to the right at their lower end. */
  readonly shear: number;
  /** Pixels. */
  readonly shift: Point;
}

/** Within 30 degrees the places of the points alone tell which is which; any rotation makes one look at the image. */
const ranges = {
  wide: { rotation: [0, 360], scale: [0.7, 1.1], shear: 10, shift: 0.05 },
  mild: { rotation: [-30, 30], scale: [0.8, 1.2], shear: 10, shift: 0.1 },
} as const;

/** `width` and `height` of the image in pixels: the shift is a part of them. */
export function drawMotion(
  kind: keyof typeof ranges,
  width: number,
  height: number,
  random: Random,
): Motion {
  const { rotation, scale, shear, shift } = ranges[kind];
  return {
    rotation: random.uniform(rotation[0], rotation[1]),
    scale: random.uniform(scale[0], scale[1]),
    shear: random.uniform(-shear, shear),
    shift: [random.uniform(-shift, shift) * width, random.uniform(-shift, shift) * height],
  };
}

/** The map from image 2 back to image 1, as a warp takes it. */
export function inverseMap(motion: Motion, width: number, height: number): Affine {
  const turn = (motion.rotation * Math.PI) / 180;
  const lean = (motion.shear * Math.PI) / 180;
  const [x, y, tangent] = [
    cos(turn) / motion.scale,
    sin(turn) / motion.scale,
    sin(lean) / cos(lean),
  ];
  const [a, b, d, e] = [x + y * tangent, y - x * tangent, -y, x];
  const [centreX, centreY] = [width / 2, height / 2];
  const [movedX, movedY] = [centreX + motion.shift[0], centreY + motion.shift[1]];
  return [a, b, centreX - (a * movedX + b * movedY), d, e, centreY - (d * movedX + e * movedY)];
}

export function invert([a, b, c, d, e, f]: Affine): Affine {
  const area = a * e - b * d;
  return [e / area, -b / area, (b * f - c * e) / area, -d / area, a / area, (c * d - a * f) / area];
}

export function apply([a, b, c, d, e, f]: Affine, [x, y]: Point): Point {
  return [a * x + b * y + c, d * x + e * y + f];
}
