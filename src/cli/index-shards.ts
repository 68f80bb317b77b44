import { Command } from "commander";
import { openCatalog } from "../counted.ts";
import { asStreamError } from "../errors.ts";
import { resolveSourceOptions } from "../options.ts";
import { openOrigin } from "../origin.ts";
import { countsOf, writeCounts } from "../sources/counts.ts";
import { withCounts } from "./counts.ts";
import { bar, createTraffic, listed, readable, showProgress } from "./progress.ts";
import type { NetworkCounts } from "../statistics.ts";
import { streamOptions, withSourceOptions } from "./stream-options.ts";

/** `ssl-r1 index SOURCE --out counts.json`: learns how many images each shard holds, so that a stream can jump to any step at once. */
export function indexCommand(): Command {
  return withSourceOptions(new Command("index"))
    .description(
      "count the images of every shard ahead, for jumps to far steps and for other machines",
    )
    .option("--out <file>", "write the counts, for --counts")
    .option("--counts <file>", "what is known already: a file of --out, or tcp://... of a loader")
    .option("--json", "one JSON object a line")
    .action(async (source: readonly string[], given: { out?: string; json?: boolean }) => {
      const wanted = await withCounts(streamOptions(source, { ...given }));
      const options = { ...resolveSourceOptions(wanted), counts: wanted.counts };
      const traffic = createTraffic();
      let network = (): NetworkCounts | undefined => undefined;
      let doing = (): string => "listing";
      const progress = showProgress(() => listed([doing(), traffic(network())]));
      const watch = (now: typeof network): void => void (network = now);
      const origin = await openOrigin({ ...options, watch }).catch((error: unknown) => {
        progress.end();
        throw error;
      });
      try {
        const catalog = await openCatalog(options, origin.source);
        try {
          const { shards } = catalog;
          const failed: { readonly shard: string; readonly reason: string }[] = [];
          let next = 0;
          let done = 0;
          let samples = 0;
          const count = async (): Promise<void> => {
            for (let shard = next++; shard < shards; shard = next++) {
              try {
                const rows = await catalog.tally(shard);
                samples += rows; // not in one: others count meanwhile
              } catch (error) {
                failed.push({
                  shard: catalog.list.at(shard)!.name,
                  reason: asStreamError(error).message,
                });
              }
              done++;
            }
          };
          doing = () => `${bar(done, shards)} shards, ${samples} images`;
          await Promise.all(Array.from({ length: Math.min(options.requests, shards) }, count));
          progress.end();
          const counts = countsOf(catalog, options.imageField);
          const known = counts.shards;
          const say = (line: object, text: string): void =>
            void process.stdout.write(`${given.json ? JSON.stringify(line) : text}\n`);
          for (const { name: shard, rows, size: bytes } of known)
            say({ shard, rows, bytes }, `${shard}  ${rows} images  ${readable(bytes)}`);
          for (const problem of failed)
            say({ problem: "shard", ...problem }, `problem  ${problem.shard}: ${problem.reason}`);
          if (given.out !== undefined) await writeCounts(given.out, counts);
          const summary = {
            summary: true,
            shards,
            counted: known.length,
            samples,
            problems: failed.length,
          };
          say(
            given.out === undefined ? summary : { ...summary, out: given.out },
            `${samples} images in ${known.length} of ${shards} shards`,
          );
          if (failed.length > 0) process.exitCode = 1;
        } finally {
          await catalog.close();
        }
      } finally {
        progress.end();
        await origin.close();
      }
    });
}
