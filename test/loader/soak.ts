/** Makes 2,000 batches of 40 and prints the resident memory (MiB) after each hundred. Small images, so that it takes seconds. */
import { createStream } from "../../src/loader.ts";

const stream = await createStream({
  source: "shards",
  seed: 3,
  batch: 40,
  order: "shared",
  workers: 2,
  maxPixels: 30_000,
  entries: [
    "rotation",
    { task: "similarity", options: { size: 56 } },
    "inpainting",
    "ordering:2x2",
    { task: "correspondence", options: { points: 2 } },
  ],
});
const rss: number[] = [];
for await (const cell of stream.cells(Array.from({ length: 2000 }, (_, step) => ({ step })))) {
  cell.release();
  if (cell.last && (cell.step + 1) % 100 === 0) rss.push(process.memoryUsage.rss() / 2 ** 20);
}
const puzzles = Object.values(stream.statistics.puzzles()).reduce((sum, count) => sum + count, 0);
await stream.close();
console.log(JSON.stringify({ rss: rss.map(Math.round), puzzles }));
