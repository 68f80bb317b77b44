import { Option, type Command } from "commander";
import { StreamError } from "../errors.ts";
import type { Batch, ImageFormat, StreamInfo } from "../model.ts";
import { optionNames } from "../options.ts";
import { connect, type Client } from "../transport/client.ts";
import type { LoaderEvent } from "../transport/fleet.ts";
import { clientSecrets, withClientSecrets, type SecretOptions } from "./secrets.ts";
import { withStream } from "./with-stream.ts";

/** Of a verb that can ask loaders instead of reading a source itself. */
export interface ConnectFlags extends SecretOptions {
  readonly connect?: string;
}

export function withConnect(command: Command): Command {
  return withClientSecrets(command).addOption(
    new Option(
      "--connect <list>",
      "ask these loaders instead of reading SOURCE: addresses, file:///... or dns+tcp://...",
    ),
  );
}

/**
 * A client of the loaders of --connect, closed afterwards; what happens to them is told on standard error. The loaders decide the stream, so neither source
 * nor options of one may be given: BAD_OPTION.
 */
export async function withClient(
  list: string,
  source: readonly string[],
  options: ConnectFlags,
  use: (client: Client) => Promise<void>,
  imageFormat: ImageFormat = "raw",
): Promise<void> {
  const given = options as { readonly [name: string]: unknown };
  const wrong = ["config", ...optionNames].filter((name) => given[name] !== undefined);
  if (source.length > 0) wrong.push("source");
  if (wrong.length > 0)
    throw new StreamError(
      "BAD_OPTION",
      `--connect: the loaders decide the stream; leave out ${wrong.join(", ")}`,
    );
  const client = await connect(list, {
    name: "ssl-r1",
    imageFormat,
    ...clientSecrets(options),
    onEvent: (event) => process.stderr.write(`${eventText(event)}\n`),
  });
  try {
    await use(client);
  } finally {
    await client.close();
  }
}

/** What one batch needs, whether it is made here or asked for. */
export interface BatchSource {
  /** As of now. */
  readonly info: StreamInfo;
  get(step: number): Promise<Batch>;
}

/** By --connect, or else by the options of a stream. */
export async function withBatches(
  source: readonly string[],
  options: ConnectFlags,
  format: ImageFormat,
  use: (from: BatchSource) => Promise<void>,
): Promise<void> {
  if (options.connect !== undefined)
    return await withClient(options.connect, source, options, use, format);
  await withStream(source, options, async (stream) => {
    await use({
      get info() {
        return stream.info();
      },
      get: (step) => stream.get(step, undefined, { format }),
    });
  });
}

function eventText({ event, loader, from, reason, step, slots }: LoaderEvent): string {
  const what =
    from === undefined
      ? `loader ${loader} ${event}`
      : `loader ${loader} is asked for ${slots} slots of step ${step}, too (${event} from ${from})`;
  return reason === undefined ? what : `${what}: ${reason}`;
}
