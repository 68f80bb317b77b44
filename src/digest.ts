import { createHash } from "node:crypto";
import { StreamError } from "./errors.ts";
import type { Batch, ContentPart, Puzzle } from "./model.ts";

/** "sha256:" and a hash of all that a batch shows, in raw format: docs/protocol.md, "Batch digest". Throws BAD_OPTION for encoded images. */
export function batchDigest(batch: Batch): string {
  const sha = createHash("sha256");
  for (const puzzle of batch.puzzles.toSorted((a, b) => a.slot - b.slot)) {
    sha.update(`${canonical(puzzle)}\n`, "utf8");
    for (const image of puzzle.images) {
      if (image.format !== "raw")
        throw new StreamError(
          "BAD_OPTION",
          `a digest is defined for raw images only, not for ${image.format}`,
        );
      sha.update(image.data);
    }
  }
  for (const { slot } of batch.failed.toSorted((a, b) => a.slot - b.slot))
    sha.update(`{"failed":${slot}}\n`, "utf8");
  return `sha256:${sha.digest("hex")}`;
}

/** Keys in order: JSON.stringify writes them as they stand here. */
function canonical({ answer, entry, images, index, prompt, slot, task }: Puzzle): string {
  const sizes = images.map(({ width, height }) => [width, height]);
  return JSON.stringify({
    answer,
    entry,
    images: sizes,
    index,
    prompt: prompt.map(part),
    slot,
    task,
  });
}

function part(content: ContentPart): object {
  return content.type === "text"
    ? { text: content.text, type: content.type }
    : { type: content.type };
}
