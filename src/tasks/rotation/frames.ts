import type { Box, Picture } from "../../images/picture.ts";
import type { Json } from "../../model.ts";
import { boxRecipe, drawBox, fitPhoto, fitSides, place } from "../fit.ts";
import type { MakeContext, Unusable } from "../task.ts";
import { looksAlike } from "./alike.ts";
import type { RotationOptions } from "./rotation.ts";
import { turnedSquare } from "./turn.ts";

/** How the two images come out of the photo. Nothing about them may depend on the angle but the turn itself. */
export interface Frames {
  readonly recipe: { readonly [key: string]: Json };
  /** Shows the photo upright and then turned clockwise by `degrees`. */
  show(degrees: number): void;
}

const BLACK = [0, 0, 0] as const;

/** Copies, or turns by quarters. */
function turnExactly(context: MakeContext, src: Picture, dst: Picture, degrees: number): void {
  if (degrees === 0) context.draw.copy(src, whole(src), dst, 0, 0);
  else context.draw.turn(src, dst, degrees / 90);
}

function whole(picture: Picture): Box {
  return { x: 0, y: 0, width: picture.width, height: picture.height };
}

function refused(context: MakeContext, box: Box, options: RotationOptions): Unusable | undefined {
  if (!looksAlike(context, box, options)) return undefined;
  context.reject("turns look alike");
  return { unusable: `two of the ${options.angles} turns look alike` };
}

/** A drawn square of the photo; quarter turns move its pixels and change none. */
export function prepareSquare(context: MakeContext, options: RotationOptions): Frames | Unusable {
  const fit = fitPhoto(context, { frame: "square" });
  if ("unusable" in fit) return fit;
  return (
    refused(context, fit.box, options) ?? {
      recipe: { box: boxRecipe(fit.box), side: fit.width },
      show(degrees) {
        const upright = context.show(fit.width, fit.height);
        const turned = context.show(fit.width, fit.height);
        place(context, fit, upright);
        turnExactly(context, upright, turned, degrees);
      },
    }
  );
}

/**
 * Source pixels to a shown one, and the blur before that, in source pixels. With less zoom quarter turns are sharper than odd eighths, at sight; with
 * less blur JPEG's blocks and upright edges alias in quarter turns only.
 */
const ZOOM = 1.5;
const SIGMA = 1;
/** The corners of the shown square reach this many source pixels from its centre, per shown pixel of side and on both sides together. */
const REACH = ZOOM * Math.SQRT2;
/** Source pixels at both ends together, for the shift (half a pixel) and the neighbours that interpolation reads. */
const MARGIN = 4;

/**
 * Both images are the central square, of side S / sqrt 2, of a drawn S x S square of the photo, and all angles and the upright image go through
 * one and the same blur and warp, each with a drawn shift below a pixel.
 */
export function prepareWarped(context: MakeContext, options: RotationOptions): Frames | Unusable {
  const { image, sizes, draw, arena } = context;
  const least = Math.min(image.width, image.height);
  const room = Math.floor((least - MARGIN) / REACH);
  if (room < 1)
    return {
      unusable: "too small to be turned by 45 degrees",
      detail: `${image.width} x ${image.height} pixels`,
    };
  const extent = fitSides(room, room, { ...sizes, across: sizes.factor, down: sizes.factor });
  if ("unusable" in extent)
    return {
      unusable: "too small to be turned by 45 degrees",
      detail: `within a square that can be turned by 45 degrees, ${extent.detail}`,
    };
  const side = extent.width;
  const outer = Math.ceil(side * REACH) + MARGIN;
  const taken = Math.min(least, Math.round(outer / extent.scale));
  const box = drawBox(context, taken, taken);
  const random = context.random("shift");
  const shifts = Array.from({ length: 4 }, () => random.uniform(-0.5, 0.5));
  return (
    refused(context, box, options) ?? {
      recipe: { box: boxRecipe(box), side, shifts },
      show(degrees) {
        const upright = context.show(side, side);
        const turned = context.show(side, side);
        const mark = arena.mark();
        const source = arena.picture(outer, outer);
        draw.resize(image, box, source);
        draw.blur(source, SIGMA);
        const warp = (
          dst: Picture,
          angle: number,
          shiftX: number = 0,
          shiftY: number = 0,
        ): void => {
          const inverse = turnedSquare(angle, side, outer / 2 + shiftX, outer / 2 + shiftY, ZOOM);
          draw.warp(source, dst, inverse, BLACK);
        };
        warp(upright, 0, shifts[0], shifts[1]);
        warp(turned, degrees, shifts[2], shifts[3]);
        arena.release(mark);
      },
    }
  );
}

/**
 * The plainest reading of the paper: the full frame and its exact quarter turns; an odd eighth shows the largest square inscribed in the turned
 * frame.
 */
export function prepareFull(context: MakeContext, options: RotationOptions): Frames | Unusable {
  const { sizes, draw } = context;
  const fit = fitPhoto(context);
  if ("unusable" in fit) return fit;
  const inscribed =
    Math.floor(Math.floor(Math.min(fit.width, fit.height) * Math.SQRT1_2) / sizes.factor) *
    sizes.factor;
  // Asked for every angle alike: a photo that only suits quarter turns would give them away.
  if (options.angles === 8 && (inscribed === 0 || inscribed * inscribed < sizes.minPixels)) {
    return {
      unusable: "too small to be turned by 45 degrees",
      detail: `the square within ${fit.width} x ${fit.height} pixels turned by 45 degrees`,
    };
  }
  return (
    refused(context, fit.box, options) ?? {
      recipe: { box: boxRecipe(fit.box), size: [fit.width, fit.height] },
      show(degrees) {
        const upright = context.show(fit.width, fit.height);
        place(context, fit, upright);
        if (degrees % 90 === 0) {
          const swapped = degrees % 180 === 90;
          turnExactly(
            context,
            upright,
            context.show(swapped ? fit.height : fit.width, swapped ? fit.width : fit.height),
            degrees,
          );
        } else {
          draw.warp(
            upright,
            context.show(inscribed, inscribed),
            turnedSquare(degrees, inscribed, fit.width / 2, fit.height / 2, 1),
            BLACK,
          );
        }
      },
    }
  );
}
