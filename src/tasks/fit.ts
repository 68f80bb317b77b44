import type { Box, Picture } from "../images/picture.ts";
import type { MakeContext, Sizes, Unusable } from "./task.ts";

/** A photo more elongated than this makes strips that no one can read. */
const MAX_ASPECT = 8;
/** Bounds of the isotropic scale of `fit: resize`, relative to the photo (or to the photo brought down to maxPixels). */
const LEAST_SCALE = 0.85;
const MOST_SCALE = 1.15;

/** Width and height in pixels of what is shown, and the scale from photo to shown. */
export interface Extent {
  readonly width: number;
  readonly height: number;
  readonly scale: number;
}

/** `box` of the photo, shown as width x height pixels; a plain cut where the sizes agree, else scaled (nearly) isotropically. */
export interface Fit {
  readonly box: Box;
  readonly width: number;
  readonly height: number;
}

export interface Limits {
  /** Width and height become multiples of these many pixels. */
  readonly across: number;
  readonly down: number;
  readonly minPixels: number;
  readonly maxPixels: number;
  readonly fit: Sizes["fit"];
}

export interface FitRequest {
  /** Multiples of factor: 3 x 3 patches need 3 and 3. Default 1. */
  readonly columns?: number;
  readonly rows?: number;
  /** The whole photo (default) or the largest square in it, at a drawn place. */
  readonly frame?: "full" | "square";
  /** Instead of those of the context's sizes. */
  readonly minPixels?: number;
  readonly maxPixels?: number;
}

/** The largest multiple of step that is at most length; a rounding error of the scale must not cost a whole step. */
function floorTo(length: number, step: number): number {
  return Math.floor((length + 1e-6) / step) * step;
}

/**
 * Sides for a photo of width x height pixels. `crop` never scales up and scales down only above maxPixels; `resize` takes, among the scales of
 * 0.85 to 1.15 at which a side is a whole multiple, the one that keeps most of the photo, a percent of area counting as much as a percent of scale.
 */
export function fitSides(width: number, height: number, limits: Limits): Extent | Unusable {
  const { across, down, minPixels, maxPixels } = limits;
  const base = Math.min(1, Math.sqrt(maxPixels / (width * height)));
  const extents: Extent[] = [];
  const add = (scale: number): void => {
    const extent = {
      width: floorTo(width * scale, across),
      height: floorTo(height * scale, down),
      scale,
    };
    const pixels = extent.width * extent.height;
    if (pixels > 0 && pixels >= minPixels && pixels <= maxPixels) extents.push(extent);
  };
  add(1);
  if (limits.fit === "crop") {
    if (extents.length === 0) add(base);
  } else {
    add(base);
    for (const [side, step] of [
      [width, across],
      [height, down],
    ] as const) {
      const most = side * base * MOST_SCALE;
      for (let multiple = step; multiple <= most; multiple += step) {
        if (multiple >= side * base * LEAST_SCALE) add(multiple / side);
      }
    }
  }
  const worth = (extent: Extent): number => {
    const kept = (extent.width * extent.height) / (width * height * extent.scale * extent.scale);
    return kept / Math.max(extent.scale / base, base / extent.scale);
  };
  let best: Extent | undefined;
  for (const extent of extents)
    if (best === undefined || worth(extent) > worth(best)) best = extent;
  if (best === undefined) {
    return {
      unusable: "too small",
      detail: `${width} x ${height} pixels hold no multiple of ${across} x ${down} with ${minPixels} to ${maxPixels} pixels`,
    };
  }
  return best;
}

/** Brings the photo to the sizes that the model takes; the box's place is drawn (purpose "fit"). Touches no pixel: see `place`. */
export function fitPhoto(context: MakeContext, request: FitRequest = {}): Fit | Unusable {
  const { image, sizes } = context;
  const least = Math.min(image.width, image.height);
  const square = request.frame === "square";
  if (!square && Math.max(image.width, image.height) > MAX_ASPECT * least) {
    return {
      unusable: "too elongated",
      detail: `${image.width} x ${image.height} pixels are more elongated than ${MAX_ASPECT} to 1`,
    };
  }
  const width = square ? least : image.width;
  const height = square ? least : image.height;
  const extent = fitSides(width, height, {
    across: sizes.factor * (request.columns ?? 1),
    down: sizes.factor * (request.rows ?? 1),
    minPixels: request.minPixels ?? sizes.minPixels,
    maxPixels: request.maxPixels ?? sizes.maxPixels,
    fit: sizes.fit,
  });
  if ("unusable" in extent) return extent;
  const box = drawBox(
    context,
    Math.min(width, Math.round(extent.width / extent.scale)),
    Math.min(height, Math.round(extent.height / extent.scale)),
  );
  return { box, width: extent.width, height: extent.height };
}

/** A box of width x height pixels at a uniformly drawn place of the photo (purpose "fit"). */
export function drawBox(context: MakeContext, width: number, height: number): Box {
  const random = context.random("fit");
  const x = random.between(0, context.image.width - width);
  const y = random.between(0, context.image.height - height);
  return { x, y, width, height };
}

/** Writes the fitted photo to dst, which has the fit's size. */
export function place(context: MakeContext, fit: Fit, dst: Picture): void {
  if (fit.box.width === dst.width && fit.box.height === dst.height)
    context.draw.copy(context.image, fit.box, dst, 0, 0);
  else context.draw.resize(context.image, fit.box, dst);
}

/** The multiple of factor nearest to `side` for which a square lies within the pixel limits. */
export function squareSide(side: number, sizes: Sizes): number | Unusable {
  const least = Math.max(1, Math.ceil(Math.sqrt(sizes.minPixels) / sizes.factor));
  const most = Math.floor(Math.sqrt(sizes.maxPixels) / sizes.factor);
  if (least > most)
    return {
      unusable: "no such square",
      detail: `no square of multiples of ${sizes.factor} has ${sizes.minPixels} to ${sizes.maxPixels} pixels`,
    };
  return Math.min(most, Math.max(least, Math.round(side / sizes.factor))) * sizes.factor;
}

/** For recipes: x, y, width, height. */
export function boxRecipe(box: Box): readonly number[] {
  return [box.x, box.y, box.width, box.height];
}
