import type { Box, Rgb } from "../../images/picture.ts";
import { leastDifference } from "../alike.ts";
import { boxRecipe, fitPhoto, place } from "../fit.ts";
import type { Made, MakeContext, Task, Unusable } from "../task.ts";
import {
  inpaintingLevels,
  inpaintingOptions,
  inpaintingSchema,
  type InpaintingOptions,
} from "./options.ts";
import { drawPlaces, largestOverlap, sizes, type Size } from "./places.ts";

const LETTERS = ["A", "B", "C", "D"] as const;
const GRAY: Rgb = [128, 128, 128];
/** A smaller part, in cells, shows too little to be told from another. */
const LEAST_CELLS = 4;
/** Sizes and places drawn before the photo is given up. */
const TRIES = 8;

/** `box` and `gap` pixels around it, within the image. */
function grown(box: Box, gap: number, width: number, height: number): Box {
  const x = Math.max(0, box.x - gap);
  const y = Math.max(0, box.y - gap);
  return {
    x,
    y,
    width: Math.min(width, box.x + box.width + gap) - x,
    height: Math.min(height, box.y + box.height + gap) - y,
  };
}

async function make(context: MakeContext, options: InpaintingOptions): Promise<Made | Unusable> {
  const { draw } = context;
  const { factor, minPixels } = context.sizes;
  const photo = fitPhoto(context);
  if ("unusable" in photo) return photo;
  const { width, height } = photo;
  const possible = sizes(
    width / factor,
    height / factor,
    Math.max(LEAST_CELLS, Math.ceil(minPixels / (factor * factor))),
    options,
  );
  if (possible.length === 0) return { unusable: "too small to hide a part" };
  const image = context.show(width, height);
  place(context, photo, image);

  const random = context.random("places");
  let places: readonly Box[] | undefined;
  for (let k = 0; k < TRIES && places === undefined; k++) {
    const size = possible[random.below(possible.length)] as Size;
    places = drawPlaces(photo, size.columns * factor, size.rows * factor, random, options);
    if (places === undefined) {
      context.reject("places overlap");
    } else if (
      options.minDifference > 0 &&
      leastDifference(context, image, places) < options.minDifference
    ) {
      places = undefined;
      context.reject("candidates alike");
    }
  }
  if (places === undefined) return { unusable: "any four parts overlap or look alike" };
  // Drawn last, from four places that were treated alike.
  const truth = context.random("truth").below(LETTERS.length);

  for (const box of places) draw.copy(image, box, context.show(box.width, box.height), 0, 0);
  const hidden = grown(places[truth] as Box, options.gap, width, height);
  draw.fill(image, hidden, GRAY);

  const answer = LETTERS[truth] as string;
  return {
    answer,
    labels: ["Image", ...LETTERS],
    values: {
      around: options.gap === 0 ? "" : ` and a border of ${options.gap} pixels around that part`,
    },
    recipe: {
      photo: boxRecipe(photo.box),
      size: [width, height],
      places: places.map(boxRecipe),
      hidden: boxRecipe(hidden),
      overlap: largestOverlap(places),
    },
  };
}

/** One of four regions of the photo is the one that is hidden (paper, section 3.2.1, Region Inpainting). */
export const inpainting: Task<InpaintingOptions> = {
  name: "inpainting",
  answerKind: "letter",
  levels: inpaintingLevels,
  others: 0,
  options: inpaintingOptions,
  schema: inpaintingSchema,
  images: () => 1 + LETTERS.length,
  template: `{images}
A plain gray rectangle hides a part of the image{around}. Each candidate has the size of the hidden part. Exactly one of them shows what is hidden, without turning or scaling. Which one is it? Answer with one letter: A, B, C or D.

{suffix}`,
  make,
};
