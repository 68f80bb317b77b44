import type { Affine, Rgb } from "../../images/picture.ts";
import { boxRecipe, fitPhoto, place } from "../fit.ts";
import type { Made, MakeContext, Task, Unusable } from "../task.ts";
import { apply, drawMotion, inverseMap, invert, type Motion, type Point } from "./motion.ts";
import {
  correspondenceOptions,
  correspondenceSchema,
  correspondenceLevels,
  type CorrespondenceOptions,
} from "./options.ts";
import { drawPoints } from "./points.ts";

const GRAY: Rgb = [128, 128, 128];
/** One colour for all markers: it must not tell which is which. */
const MARKER: Rgb = [200, 0, 60];
/** Maps drawn before the photo is given up. */
const TRIES = 8;

async function make(
  context: MakeContext,
  options: CorrespondenceOptions,
): Promise<Made | Unusable> {
  const { draw } = context;
  const photo = fitPhoto(context);
  if ("unusable" in photo) return photo;
  const { width, height } = photo;
  const random = context.random("motion");
  let motion: Motion | undefined;
  let inverse: Affine | undefined;
  let points: readonly Point[] | undefined;
  for (let k = 0; k < TRIES && points === undefined; k++) {
    motion = drawMotion(options.motion, width, height, random);
    inverse = inverseMap(motion, width, height);
    points = drawPoints(options.points, width, height, invert(inverse), random);
    if (points === undefined) context.reject("too few points in both views");
  }
  if (motion === undefined || inverse === undefined || points === undefined)
    return { unusable: "too small for so many points" };

  const one = context.show(width, height);
  const two = context.show(width, height);
  place(context, photo, one);
  // The points follow the map whose rounded coefficients moved the pixels.
  const forward = invert(draw.warp(one, two, inverse, GRAY));
  const mapped = points.map((point) => apply(forward, point));
  // numbers[k] is what point k + 1 of image 1 is called in image 2.
  const numbers = context.random("numbers").shuffle(points.map((_, k) => k + 1));
  for (const [k, [x, y]] of points.entries()) draw.marker(one, x, y, k + 1, MARKER);
  for (const [k, [x, y]] of mapped.entries()) draw.marker(two, x, y, numbers[k] as number, MARKER);

  return {
    answer: numbers.join(", "),
    labels: ["Image 1", "Image 2"],
    values: { points: String(options.points) },
    recipe: {
      photo: boxRecipe(photo.box),
      size: [width, height],
      motion: { ...motion },
      forward,
      points,
      mapped,
    },
  };
}

/** Numbered points of a photo and of the same under an affine map (paper, section 3.2.1, Geometric Correspondence). */
export const correspondence: Task<CorrespondenceOptions> = {
  name: "correspondence",
  answerKind: "sequence",
  levels: correspondenceLevels,
  others: 0,
  options: correspondenceOptions,
  schema: correspondenceSchema,
  images: () => 2,
  template: `{images}
Image 2 shows Image 1 turned, scaled, slanted and shifted. Both carry points 1 to {points} on the same {points} spots, but Image 2 is numbered anew. For point 1, then point 2, and so on up to point {points} of Image 1, write the number that the same spot has in Image 2: {points} numbers, each once, separated by commas. (With three points: 1 to 2, 2 to 3, 3 to 1 is written 2, 3, 1.)

{suffix}`,
  make,
};
