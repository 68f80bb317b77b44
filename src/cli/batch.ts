import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import type { Puzzle } from "../model.ts";
import { wholeNumber, withStreamOptions } from "./stream-options.ts";
import { withBatches, withConnect, type ConnectFlags } from "./with-client.ts";
import { warnFailed } from "./with-stream.ts";

interface BatchOptions extends ConnectFlags {
  readonly step: string;
  readonly out: string;
  readonly json?: boolean;
}

/** `ssl-r1 batch SOURCE --step 3 --out DIR`: batch.json and a PNG file an image. */
export function batchCommand(): Command {
  return withConnect(withStreamOptions(new Command("batch")))
    .description(
      "write one batch to a folder: batch.json with prompts, answers and recipes, and PNG files",
    )
    .requiredOption("--step <number>", "which batch")
    .requiredOption("--out <folder>", "made if it does not exist")
    .option("--json", "print what was written as JSON")
    .action(async (source: readonly string[], options: BatchOptions) => {
      const step = wholeNumber("step", options.step);
      await withBatches(source, options, "png", async (from) => {
        const { fingerprint } = from.info;
        const batch = await from.get(step);
        warnFailed(batch);
        await mkdir(options.out, { recursive: true });
        const puzzles = await Promise.all(
          batch.puzzles.map((puzzle) => writePuzzle(options.out, puzzle)),
        );
        const text = JSON.stringify({ step, fingerprint, puzzles, failed: batch.failed }, null, 2);
        await writeFile(join(options.out, "batch.json"), `${text}\n`);
        const images = puzzles.reduce((sum, puzzle) => sum + puzzle.images.length, 0);
        const written = { out: options.out, step, fingerprint, puzzles: puzzles.length, images };
        process.stdout.write(
          options.json
            ? `${JSON.stringify(written)}\n`
            : `${options.out}: batch ${step}, ${puzzles.length} puzzles, ${images} images; fingerprint ${fingerprint}\n`,
        );
      });
    });
}

async function writePuzzle(
  folder: string,
  puzzle: Puzzle,
): Promise<{ images: string[]; [name: string]: unknown }> {
  const { slot, index, entry, task, prompt, answer, recipe } = puzzle;
  const images = puzzle.images.map(
    (_, at) => `${String(slot).padStart(3, "0")}-${entry.replace(/[^\w.-]/g, "_")}-${at + 1}.png`,
  );
  await Promise.all(
    puzzle.images.map((image, at) => writeFile(join(folder, images[at]!), image.data)),
  );
  return { slot, index, entry, task, prompt, images, answer, recipe };
}
