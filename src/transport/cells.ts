import type { Cell, FailedSlot, Json, Puzzle } from "../model.ts";
import { packFrame, sealFrame, type Meta } from "./codec.ts";
import { MAX_FRAME_BYTES } from "./frame.ts";
import { kinds } from "./messages.ts";
import { withoutPaths } from "./told.ts";

/** One frame of a cell, to be written in this order: nothing of the images has been copied. */
export interface CellFrame {
  readonly head: Uint8Array;
  readonly images: readonly Uint8Array[];
  /** Of the whole frame, prefix included: what it costs in credit. */
  readonly bytes: number;
}

/** A cell as one frame, or as several of the same ordinal where it would be larger than `limit` bytes; `sealed` with a checksum. */
export function cellFrames(
  id: number,
  cell: Cell,
  { limit = MAX_FRAME_BYTES, sealed = false }: { limit?: number; sealed?: boolean } = {},
): readonly CellFrame[] {
  const pack = (
    puzzles: readonly Puzzle[],
    failed: readonly FailedSlot[],
  ): readonly CellFrame[] => {
    const images = puzzles.flatMap((puzzle) => puzzle.images.map((image) => image.data));
    const body = images.reduce((sum, image) => sum + image.length, 0);
    if (body < limit || puzzles.length === 0) {
      const meta = {
        id,
        step: cell.step,
        cell: cell.cell,
        puzzles: puzzles.map(puzzleMeta),
        failed: failed.map(failedMeta),
      };
      const head = sealed ? sealFrame(kinds.cell, meta, images) : packFrame(kinds.cell, meta, body);
      if (head.length + body <= limit) return [{ head, images, bytes: head.length + body }];
    }
    const [first] = puzzles;
    if (puzzles.length === 1 && first !== undefined)
      return pack([], [...failed, tooLarge(first, body, limit)]);
    const half = Math.ceil(puzzles.length / 2);
    return [...pack(puzzles.slice(0, half), failed), ...pack(puzzles.slice(half), [])];
  };
  return pack(cell.puzzles, cell.failed);
}

function tooLarge({ slot, index, entry, task }: Puzzle, bytes: number, limit: number): FailedSlot {
  const message = `a puzzle with ${bytes} bytes of images does not fit a frame of ${limit}: lower maxPixels or ask for jpeg`;
  return { slot, index, entry, task, error: { code: "FRAME_TOO_LARGE", message } };
}

function puzzleMeta({ slot, index, entry, task, prompt, images, answer, recipe }: Puzzle): Meta {
  return {
    slot,
    index,
    entry,
    task,
    prompt: prompt.map((part): Json =>
      part.type === "text" ? { type: part.type, text: part.text } : { type: part.type },
    ),
    images: images.map(({ width, height, format, data }) => ({
      width,
      height,
      format,
      bytes: data.length,
    })),
    answer,
    recipe,
  };
}

function failedMeta({ slot, index, entry, task, error }: FailedSlot): Meta {
  return {
    slot,
    index,
    entry,
    task,
    error: { code: error.code, message: withoutPaths(error.message) },
  };
}
