import { createStream, type Stream } from "../loader.ts";
import { streamOptions } from "./stream-options.ts";

/** A stream by the options of a command line, closed afterwards whatever happens. (Not `await using`: Node 22 can't read it.) */
export async function withStream(
  source: string | undefined,
  options: object,
  use: (stream: Stream) => Promise<void>,
): Promise<void> {
  const stream = await createStream(streamOptions(source, { ...options }));
  try {
    await use(stream);
  } finally {
    await stream.close();
  }
}
