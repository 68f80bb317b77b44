import { Command } from "commander";
import { resolveSourceOptions } from "../options.ts";
import { openOrigin } from "../origin.ts";
import { inspectSource } from "../sources/inspect.ts";
import type { NetworkCounts } from "../statistics.ts";
import { createTraffic, listed, showProgress } from "./progress.ts";
import { streamOptions, withSourceOptions } from "./stream-options.ts";

/** `ssl-r1 inspect SOURCE --json`: what the source holds and what is wrong with it. */
export function inspectCommand(): Command {
  return withSourceOptions(new Command("inspect"))
    .description("list shards, samples, sizes, formats and every problem of a source")
    .option("--samples", "a line for every sample, with the hash of its image")
    .option("--json", "one JSON object a line")
    .action(async (source: readonly string[], given: { samples?: boolean; json?: boolean }) => {
      const options = resolveSourceOptions(streamOptions(source, { ...given }));
      const traffic = createTraffic();
      let network = (): NetworkCounts | undefined => undefined;
      let shards = 0;
      // not between the lines of the report itself
      const progress = process.stdout.isTTY
        ? undefined
        : showProgress(() => listed([`${shards} shards inspected`, traffic(network())]));
      try {
        const origin = await openOrigin({ ...options, watch: (now) => void (network = now) });
        try {
          const lines = inspectSource(origin.source, { samples: given.samples === true });
          for await (const line of lines) {
            if ("rows" in line) shards++;
            process.stdout.write(`${given.json ? JSON.stringify(line) : plain(line)}\n`);
          }
        } finally {
          await origin.close();
        }
      } finally {
        progress?.end();
      }
    });
}

function plain(line: object): string {
  return Object.entries(line)
    .map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join("  ");
}
