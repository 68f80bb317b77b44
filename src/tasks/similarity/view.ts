import { exp, log } from "../../images/numeric.ts";
import type { Box, Draw, Picture } from "../../images/picture.ts";
import type { Json } from "../../model.ts";
import type { Random } from "../../random/random.ts";
import { boxRecipe } from "../fit.ts";
import type { SimilarityOptions } from "./similarity.ts";

const ADJUSTMENTS = ["brightness", "contrast", "saturation", "hue"] as const;

/** One drawn view of a photo, as torchvision's v2 transforms of the same names draw it. */
export interface View {
  readonly crop: Box;
  readonly flip: boolean;
  /** In the order applied; empty where no jitter was drawn. */
  readonly jitter: readonly (readonly [what: (typeof ADJUSTMENTS)[number], amount: number])[];
  readonly grayscale: boolean;
  /** Sigma in pixels of the shown view. */
  readonly blur: number | null;
}

/** Ratio of width to height, 3/4 .. 4/3, uniform in its logarithm. */
const LOG_RATIO = log(4 / 3);
const TRIES = 10;

/** RandomResizedCrop: area and ratio drawn until the box fits, at most 10 times, then the largest central box of an allowed ratio. */
export function drawCrop(
  random: Random,
  width: number,
  height: number,
  scale: readonly [number, number],
): Box {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const area = width * height * random.uniform(scale[0], scale[1]);
    const ratio = exp(random.uniform(-LOG_RATIO, LOG_RATIO));
    const w = Math.round(Math.sqrt(area * ratio));
    const h = Math.round(Math.sqrt(area / ratio));
    if (w > 0 && w <= width && h > 0 && h <= height) {
      const y = random.between(0, height - h);
      const x = random.between(0, width - w);
      return { x, y, width: w, height: h };
    }
  }
  const w = Math.min(width, Math.round((height * 4) / 3));
  const h = Math.min(height, Math.round((width * 4) / 3));
  return { x: (width - w) >> 1, y: (height - h) >> 1, width: w, height: h };
}

export function drawView(
  random: Random,
  width: number,
  height: number,
  options: SimilarityOptions,
): View {
  const crop = drawCrop(random, width, height, options.scale);
  const flip = random.chance(options.flip);
  const jitter: View["jitter"][number][] = [];
  if (random.chance(options.jitter)) {
    for (const what of random.shuffle([...ADJUSTMENTS])) {
      const amount = options[what];
      if (amount > 0)
        jitter.push([
          what,
          what === "hue"
            ? random.uniform(-amount, amount)
            : random.uniform(Math.max(0, 1 - amount), 1 + amount),
        ]);
    }
  }
  const grayscale = random.chance(options.grayscale);
  const blur = random.chance(options.blur) ? random.uniform(0.1, 2) : null;
  return { crop, flip, jitter, grayscale, blur };
}

export function renderView(draw: Draw, photo: Picture, view: View, dst: Picture): void {
  draw.resize(photo, view.crop, dst);
  if (view.flip) draw.flip(dst);
  for (const [what, amount] of view.jitter) draw[what](dst, amount);
  if (view.grayscale) draw.grayscale(dst);
  if (view.blur !== null) draw.blur(dst, view.blur);
}

export function viewRecipe(view: View): { readonly [key: string]: Json } {
  return {
    crop: boxRecipe(view.crop),
    flip: view.flip,
    jitter: view.jitter,
    grayscale: view.grayscale,
    blur: view.blur,
  };
}
