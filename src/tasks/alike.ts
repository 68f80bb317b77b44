import type { Box, Picture } from "../images/picture.ts";
import type { MakeContext } from "./task.ts";

/** Pixels a side of a thumbnail. */
const SIDE = 16;

/**
 * The mean difference (0 .. 255, all channels) between the thumbnails of the two boxes of `picture` that look most alike. Below a handful
 * nobody can tell the two apart, so a puzzle that needs it would ask for a guess.
 */
export function leastDifference(
  context: Pick<MakeContext, "arena" | "draw">,
  picture: Picture,
  boxes: readonly Box[],
): number {
  const { arena, draw } = context;
  const mark = arena.mark();
  const thumbnails = boxes.map((box) => {
    const thumbnail = arena.picture(SIDE, SIDE);
    draw.resize(picture, box, thumbnail);
    return thumbnail;
  });
  let least = 255;
  for (const [k, one] of thumbnails.entries()) {
    for (let j = 0; j < k; j++)
      least = Math.min(least, draw.difference(one, thumbnails[j] as Picture));
  }
  arena.release(mark);
  return least;
}
