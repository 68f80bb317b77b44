/** Batches in this very process, without a socket: `node examples/iterate.ts [source]`. */
import { createStream, score } from "../src/index.ts"; // in a project of your own: from "ssl-r1-stream"

const [source = "shards"] = process.argv.slice(2);

await using stream = await createStream({
  source,
  seed: 7,
  batch: 20,
  entries: ["rotation:8x45", "ordering:2x2*3"],
});
const { fingerprint, samples, entries } = stream.info();
console.log(
  `${samples} images; ${entries.map(({ name, weight }) => `${name} ${weight}`).join(", ")}; ${fingerprint}`,
);

// The next batches are made while this loop looks at one. Their images are its own to keep.
for await (const batch of stream.batches({ steps: [0, 1, 2] })) {
  const pixels = batch.puzzles.reduce(
    (sum, { images }) => sum + images.reduce((all, { data }) => all + data.length / 3, 0),
    0,
  );
  console.log(
    `step ${batch.step}: ${batch.puzzles.length} puzzles, ${(pixels / 1e6).toFixed(1)} megapixels`,
  );
}

// Any step, any slots of it, in any order: no need to pass through the steps before.
const { puzzles } = await stream.get(1_000_000, [7, 0]);
for (const { slot, entry, prompt, answer } of puzzles) {
  const text = prompt.map((part) => (part.type === "text" ? part.text : "[image]")).join("");
  const { total } = score(`<think>It is plain to see.</think> \\boxed{${answer}}`, answer);
  console.log(
    `slot ${slot}, ${entry}: ${text.length} characters of prompt, answer ${answer}, reward when right ${total}`,
  );
}
