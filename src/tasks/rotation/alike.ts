import type { Box, Picture } from "../../images/picture.ts";
import type { MakeContext } from "../task.ts";
import type { RotationOptions } from "./rotation.ts";
import { turnedSquare } from "./turn.ts";

/** Pixels a side of a thumbnail. */
const THUMBNAIL = 32;
/** A square whose central square, of side 1 / sqrt 2, is a little more than a thumbnail at one to one. */
const AROUND = 48;

/** Whether two of the allowed turns of this part of the photo can hardly be told apart: thumbnails below options.minDifference. */
export function looksAlike(
  context: MakeContext,
  box: Box,
  { angles, minDifference }: RotationOptions,
): boolean {
  if (minDifference === 0) return false;
  const { arena } = context;
  const mark = arena.mark();
  const thumbnails = angles === 8 ? eighths(context, box) : quarters(context, box);
  const alike = thumbnails.some((one, i) =>
    thumbnails.slice(0, i).some((other) => context.draw.difference(one, other) < minDifference),
  );
  arena.release(mark);
  return alike;
}

function quarters({ image, draw, arena }: MakeContext, box: Box): Picture[] {
  const upright = arena.picture(THUMBNAIL, THUMBNAIL);
  draw.resize(image, box, upright);
  const turned = [1, 2, 3].map((quarter) => {
    const picture = arena.picture(THUMBNAIL, THUMBNAIL);
    draw.turn(upright, picture, quarter);
    return picture;
  });
  return [upright, ...turned];
}

function eighths({ image, draw, arena }: MakeContext, box: Box): Picture[] {
  const side = Math.min(box.width, box.height);
  const square = {
    x: box.x + ((box.width - side) >> 1),
    y: box.y + ((box.height - side) >> 1),
    width: side,
    height: side,
  };
  const around = arena.picture(AROUND, AROUND);
  draw.resize(image, square, around);
  const zoom = (AROUND * Math.SQRT1_2 - 1) / THUMBNAIL;
  return Array.from({ length: 8 }, (_, eighth) => {
    const picture = arena.picture(THUMBNAIL, THUMBNAIL);
    draw.warp(
      around,
      picture,
      turnedSquare(eighth * 45, THUMBNAIL, AROUND / 2, AROUND / 2, zoom),
      [0, 0, 0],
    );
    return picture;
  });
}
