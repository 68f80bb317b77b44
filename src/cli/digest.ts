import { Command } from "commander";
import { ahead } from "../ahead.ts";
import { batchDigest } from "../digest.ts";
import type { Batch } from "../model.ts";
import type { Client } from "../transport/client.ts";
import { stepList, withStreamOptions } from "./stream-options.ts";
import { withClient, withConnect, type ConnectFlags } from "./with-client.ts";
import { warnFailed, withStream } from "./with-stream.ts";

interface DigestOptions extends ConnectFlags {
  readonly steps: string;
  readonly json?: boolean;
}

/** Batches that are asked for at once. */
const AHEAD = 3;

/** `ssl-r1 digest SOURCE --steps 0..9 --json`: the proof of reproducibility. */
export function digestCommand(): Command {
  return withConnect(withStreamOptions(new Command("digest")))
    .description("print a hash of every step's batch in its canonical raw form")
    .option("--steps <range>", "0..9, 4, or a list of these", "0..9")
    .option("--json", "one JSON object a line")
    .action(async (source: readonly string[], options: DigestOptions) => {
      const steps = stepList(options.steps);
      const print = async (fingerprint: string, batches: AsyncIterable<Batch>): Promise<void> => {
        process.stderr.write(`fingerprint ${fingerprint}\n`);
        for await (const batch of batches) {
          const digest = batchDigest(batch);
          const line = options.json
            ? JSON.stringify({ step: batch.step, digest })
            : `${batch.step} ${digest}`;
          process.stdout.write(`${line}\n`);
          warnFailed(batch);
        }
      };
      if (options.connect === undefined)
        await withStream(source, options, async (stream) => {
          await print(stream.info().fingerprint, stream.batches({ steps }));
        });
      else
        await withClient(options.connect, source, options, async (client) => {
          await print(client.info.fingerprint, batchesOf(client, steps));
        });
    });
}

/** In the order given; a stream that ends ends them. */
async function* batchesOf(
  client: Client,
  steps: readonly number[],
): AsyncGenerator<Batch, void, undefined> {
  const { steps: end } = client.info;
  const there = end === null ? steps : steps.filter((step) => step < end);
  const over = new AbortController();
  const made = ahead(
    there,
    () => AHEAD,
    async (step) => ({ batch: await client.get(step, undefined, over.signal), release() {} }),
    () => over.abort(),
  );
  for await (const { batch } of made) yield batch;
}
