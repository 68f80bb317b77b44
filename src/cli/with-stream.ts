import { createStream, type Stream } from "../loader.ts";
import type { Batch } from "../model.ts";
import type { Notify } from "../notice.ts";
import type { StreamOptions } from "../options.ts";
import type { NetworkCounts } from "../statistics.ts";
import { withCounts } from "./counts.ts";
import { createTraffic, listed, showProgress, skippedText, type Output } from "./progress.ts";
import { streamOptions } from "./stream-options.ts";

interface Telling {
  /** Where progress is told; standard error. */
  readonly out?: Output;
  /** Whether the wait for the first batch is told, too; yes. */
  readonly first?: boolean;
  /** The options that the stream gets, by those of the command line and its config file. */
  readonly adjust?: (options: StreamOptions) => StreamOptions;
  /** Told of what a log may want to know. */
  readonly notify?: Notify;
}

/**
 * A stream by the options of a command line, closed afterwards whatever happens; where it takes long until it is there, or until it has its first
 * batch, that is told. (Not `await using`: Node 22 can't read it.)
 */
export async function withStream(
  source: readonly string[],
  options: object,
  use: (stream: Stream) => Promise<void>,
  { out, first = true, adjust = (given) => given, notify }: Telling = {},
): Promise<void> {
  const traffic = createTraffic();
  let network = (): NetworkCounts | undefined => undefined;
  const opening = showProgress(() => listed(["listing", traffic(network())]), out);
  let stream: Stream;
  try {
    const given = adjust(streamOptions(source, { ...options }));
    stream = await createStream(await withCounts(given, options), {
      watch: (now) => (network = now),
      ...(notify && { notify }),
    });
  } finally {
    opening.end();
  }
  try {
    await use(first ? awaited(stream, traffic, out) : stream);
  } finally {
    await stream.close();
  }
}

/** The same stream, which tells of the wait for the first that is asked of it. */
function awaited(
  stream: Stream,
  traffic: ReturnType<typeof createTraffic>,
  out: Output | undefined,
): Stream {
  let progress: ReturnType<typeof showProgress> | undefined;
  const begin = (): void => {
    progress ??= showProgress(() => {
      const { samples, shards } = stream.info();
      return listed([
        `first batch: ${samples} images counted of ${shards} shards`,
        traffic(stream.statistics.network()),
        skippedText(stream.statistics.skipped()),
      ]);
    }, out);
  };
  async function* told<T>(items: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
    begin();
    try {
      for await (const item of items) {
        progress?.end();
        yield item;
      }
    } finally {
      progress?.end();
    }
  }
  return {
    ...stream,
    cells: (requests, options) => told(stream.cells(requests, options)),
    batches: (options) => told(stream.batches(options)),
    async get(...asked) {
      begin();
      try {
        return await stream.get(...asked);
      } finally {
        progress?.end();
      }
    },
    [Symbol.asyncIterator]: () => told(stream),
  };
}

/** Says which slots of a batch no image was found for; on standard error, so that it can't be missed nor get into the data. */
export function warnFailed({ step, failed }: Batch): void {
  for (const { slot, entry, error } of failed)
    process.stderr.write(
      `step ${step}, slot ${slot} (${entry}): ${error.code}: ${error.message}\n`,
    );
}
