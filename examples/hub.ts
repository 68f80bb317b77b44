/** Batches from a data set of the Hugging Face Hub: `node examples/hub.ts hf://datasets/OWNER/NAME [steps]`. Private ones: HF_TOKEN, or `hf auth login`. */
import { createStream } from "../src/index.ts"; // in a project of your own: from "ssl-r1-stream"

const [source, steps = "2"] = process.argv.slice(2);
if (source === undefined) throw new Error("which data set? hf://datasets/OWNER/NAME");

// Nothing is converted or downloaded as a whole: the first batch comes after the first few hundred images. What was fetched is kept in a folder
// that all processes of this machine may share, up to cacheSize.
await using stream = await createStream({ source, seed: 7, batch: 40, cacheSize: "50GB" });
const { fingerprint, shards } = stream.info();
// The branch may move: this stream stays at the commit it was opened at, and the fingerprint holds every file's hash.
console.log(`${shards} shards; ${fingerprint}`);
for (const warning of stream.statistics.warnings) console.log(warning);

for await (const batch of stream.batches({
  steps: Array.from({ length: Number(steps) }, (_, step) => step),
})) {
  const photos = new Set(batch.puzzles.map(({ recipe }) => `${recipe["shard"]} ${recipe["key"]}`));
  console.log(`step ${batch.step}: ${batch.puzzles.length} puzzles from ${photos.size} photos`);
}
const { samples, counted, skipped } = stream.info();
console.log(
  `${samples} images counted ${counted ? "in all" : "so far"}; skipped: ${JSON.stringify(skipped)}`,
);
