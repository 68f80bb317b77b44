import { Command } from "commander";
import { inspectSource } from "../sources/inspect.ts";
import { openSource } from "../sources/open.ts";

/** `ssl-r1 inspect SOURCE --json`: what the source holds and what is wrong with it. */
export function inspectCommand(): Command {
  return new Command("inspect")
    .description("list shards, samples, sizes, formats and every problem of a source")
    .argument("<source>", "folder of images, folder of tars, tar, or a pattern of tars")
    .option("--group-field <name>", "member of a sample's json that names its photo")
    .option("--samples", "a line for every sample, with the hash of its image")
    .option("--json", "one JSON object a line")
    .action(
      async (
        address: string,
        options: { groupField?: string; samples?: boolean; json?: boolean },
      ) => {
        const group = options.groupField;
        const source = await openSource(address, group === undefined ? {} : { group });
        for await (const line of inspectSource(source, { samples: options.samples === true }))
          process.stdout.write(`${options.json ? JSON.stringify(line) : plain(line)}\n`);
      },
    );
}

function plain(line: object): string {
  return Object.entries(line)
    .map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join("  ");
}
