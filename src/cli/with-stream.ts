import { createStream, type Stream } from "../loader.ts";
import type { Batch } from "../model.ts";
import { withCounts } from "./counts.ts";
import { streamOptions } from "./stream-options.ts";

/** A stream by the options of a command line, closed afterwards whatever happens. (Not `await using`: Node 22 can't read it.) */
export async function withStream(
  source: readonly string[],
  options: object,
  use: (stream: Stream) => Promise<void>,
): Promise<void> {
  const stream = await createStream(
    await withCounts(streamOptions(source, { ...options }), options),
  );
  try {
    await use(stream);
  } finally {
    await stream.close();
  }
}

/** Says which slots of a batch no image was found for; on standard error, so that it can't be missed nor get into the data. */
export function warnFailed({ step, failed }: Batch): void {
  for (const { slot, entry, error } of failed)
    process.stderr.write(
      `step ${step}, slot ${slot} (${entry}): ${error.code}: ${error.message}\n`,
    );
}
