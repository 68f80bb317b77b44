import { Command } from "commander";
import { batchDigest } from "../digest.ts";
import { stepList, withStreamOptions } from "./stream-options.ts";
import { warnFailed, withStream } from "./with-stream.ts";

/** `ssl-r1 digest SOURCE --steps 0..9 --json`: the proof of reproducibility. */
export function digestCommand(): Command {
  return withStreamOptions(new Command("digest"))
    .description("print a hash of every step's batch in its canonical raw form")
    .option("--steps <range>", "0..9, 4, or a list of these", "0..9")
    .option("--json", "one JSON object a line")
    .action(async (source: readonly string[], options: { steps: string; json?: boolean }) => {
      const steps = stepList(options.steps);
      await withStream(source, options, async (stream) => {
        process.stderr.write(`fingerprint ${stream.info().fingerprint}\n`);
        for await (const batch of stream.batches({ steps })) {
          const digest = batchDigest(batch);
          const line = options.json
            ? JSON.stringify({ step: batch.step, digest })
            : `${batch.step} ${digest}`;
          process.stdout.write(`${line}\n`);
          warnFailed(batch);
        }
      });
    });
}
