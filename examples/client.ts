/** Batches from a running loader: `node examples/client.ts tcp://127.0.0.1:7531 [steps]`. */
import { batchDigest, connect, score } from "../src/index.ts"; // in a project of your own: from "ssl-r1-stream"

const [url = "tcp://127.0.0.1:7531", steps = "3"] = process.argv.slice(2);

// raw images are best on one machine; imageFormat: "jpeg" is for a network between loader and trainer.
await using loader = await connect(url, { name: "examples/client.ts" });
const { batch: size, samples } = loader.info;
console.log(`batches of ${size} from ${samples} images`);

// Goes on after a lost connection with the next batch not yet delivered.
for await (const batch of loader.stream({ from: 0, steps: Number(steps) })) {
  const rewards = batch.puzzles.map(({ index, answer }) => {
    const completion = "<think>I guess.</think> \\boxed{A}"; // your model's
    return { index, reward: score(completion, answer).total };
  });
  const mean = rewards.reduce((sum, { reward }) => sum + reward, 0) / rewards.length;
  console.log(`step ${batch.step}: mean reward ${mean.toFixed(3)} ${batchDigest(batch)}`);
  // Optional: for the loader's metrics.
  await loader.feedback(batch.step, rewards);
}
