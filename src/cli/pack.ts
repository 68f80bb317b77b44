import { Command, Option } from "commander";
import { StreamError } from "../errors.ts";
import { parseSize } from "../options.ts";
import type { Compression } from "../shards/compress.ts";
import { packFolder } from "../sources/pack.ts";
import { wholeNumber } from "./stream-options.ts";

interface Given {
  readonly shardSize: string;
  readonly count?: string;
  readonly name: string;
  readonly compress?: Compression;
  readonly groupBy?: "folder";
  readonly force?: boolean;
  readonly json?: boolean;
}

/** `ssl-r1 pack FOLDER OUT`: WebDataset shards of the images of a folder, the same bytes each time. */
export function packCommand(): Command {
  return new Command("pack")
    .description("pack a folder of images into WebDataset shards, the same bytes each time")
    .argument("<folder>", "images, also in folders below")
    .argument("<out>", "folder for the shards; made if it does not exist")
    .option("--shard-size <bytes>", "most bytes of a shard before packing: 100MB, 1GiB", "256MiB")
    .option("--count <number>", "most samples of a shard")
    .option("--name <prefix>", "shards are PREFIX-000000.tar and so on", "shard")
    .addOption(new Option("--compress <how>", "pack shards").choices(["gz", "zst"]))
    .addOption(
      new Option("--group-by <what>", "write the image's folder as its group").choices(["folder"]),
    )
    .option("--force", "take away the shards of this name that are there already")
    .option("--json", "one JSON object a line: shards, problems, summary")
    .action(async (folder: string, out: string, given: Given) => {
      const stop = new AbortController();
      const interrupt = (): void => stop.abort();
      process.once("SIGINT", interrupt).once("SIGTERM", interrupt);
      try {
        await pack(folder, out, given, stop.signal);
      } finally {
        process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
      }
    });
}

async function pack(folder: string, out: string, given: Given, signal: AbortSignal): Promise<void> {
  const { name, compress, force = false, json = false } = given;
  const shardSize = parseSize(given.shardSize);
  if (shardSize === undefined || shardSize < 1)
    throw new StreamError(
      "BAD_OPTION",
      `--shard-size: got ${JSON.stringify(given.shardSize)}; expected bytes, or a text like 100MB or 1GiB`,
    );
  const count = given.count === undefined ? undefined : wholeNumber("count", given.count);
  if (count === 0) throw new StreamError("BAD_OPTION", "--count: got 0; expected 1 or more");
  const { shards, problems, skipped } = await packFolder(folder, out, {
    name,
    shardSize,
    force,
    signal,
    groupByFolder: given.groupBy === "folder",
    ...(count !== undefined && { count }),
    ...(compress !== undefined && { compress }),
  });
  const samples = shards.reduce((sum, shard) => sum + shard.samples, 0);
  const bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
  const print = (line: object, plain: string): void =>
    void process.stdout.write(`${json ? JSON.stringify(line) : plain}\n`);
  for (const shard of shards)
    print(
      shard,
      `${shard.shard}  ${shard.samples} samples  ${shard.bytes} bytes  sha256 ${shard.sha256}`,
    );
  for (const { key = "", reason } of problems)
    print({ problem: "file", key, reason }, `problem  ${key}: ${reason}`);
  print(
    { summary: true, out, shards: shards.length, samples, bytes, skipped },
    [
      `${out}: ${shards.length} shards, ${samples} samples, ${bytes} bytes`,
      ...Object.entries(skipped).map(([reason, number]) => `${reason}: ${number} skipped`),
    ].join("; "),
  );
}
