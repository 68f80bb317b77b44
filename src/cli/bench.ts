import { Command } from "commander";
import { imageFormats } from "../model.ts";
import { StreamError } from "../errors.ts";
import { wholeNumber, withStreamOptions } from "./stream-options.ts";
import { withStream } from "./with-stream.ts";

/** `ssl-r1 bench SOURCE`: the loader alone, on the user's own data: batches are made and dropped. */
export function benchCommand(): Command {
  return withStreamOptions(new Command("bench"))
    .description(
      "make batches and drop them: throughput and time by stage on this machine and data",
    )
    .option("--batches <number>", "how many", "25")
    .option("--warmup <number>", "batches before the clock starts", "5")
    .option("--format <name>", "raw, jpeg or png", "raw")
    .option("--json", "one line of JSON")
    .action(
      async (
        source: readonly string[],
        options: { batches: string; warmup: string; format: string; json?: boolean },
      ) => {
        const format = imageFormats.find((name) => name === options.format);
        if (!format)
          throw new StreamError(
            "BAD_OPTION",
            `--format: got ${JSON.stringify(options.format)}; there are ${imageFormats.join(", ")}`,
          );
        const batches = wholeNumber("batches", options.batches);
        if (batches === 0)
          throw new StreamError("BAD_OPTION", "--batches: got 0; expected 1 or more");
        const warmup = wholeNumber("warmup", options.warmup);
        await withStream(source, options, async (stream) => {
          let puzzles = 0;
          let bytes = 0;
          let begin = performance.now();
          let cpu = process.cpuUsage();
          let stages = stream.statistics.milliseconds();
          let step = 0;
          for await (const cell of stream.cells(requests(warmup + batches), { format })) {
            if (cell.step >= warmup) {
              puzzles += cell.puzzles.length;
              for (const { images } of cell.puzzles)
                for (const { data } of images) bytes += data.length;
            }
            cell.release();
            if (cell.last && ++step === warmup) {
              begin = performance.now();
              cpu = process.cpuUsage();
              stages = stream.statistics.milliseconds();
            }
          }
          const seconds = (performance.now() - begin) / 1000;
          const used = process.cpuUsage(cpu);
          const cpuSeconds = (used.user + used.system) / 1e6;
          const spent = Object.entries(stream.statistics.milliseconds()).map(
            ([stage, time]) => [stage, round((time - (stages[stage] ?? 0)) / puzzles)] as const,
          );
          const result = {
            puzzles,
            puzzles_per_second: round(puzzles / seconds),
            puzzles_per_cpu_second: round(puzzles / cpuSeconds),
            cpu_seconds_per_1000: round((cpuSeconds / puzzles) * 1000),
            mebibytes_per_puzzle: round(bytes / puzzles / 2 ** 20),
            milliseconds_per_puzzle: Object.fromEntries(spent),
            peak_rss_mebibytes: round(process.resourceUsage().maxRSS / 1024),
            format,
            fingerprint: stream.info().fingerprint,
          };
          process.stdout.write(options.json ? `${JSON.stringify(result)}\n` : table(result));
        });
      },
    );
}

function* requests(steps: number): Generator<{ step: number }> {
  for (let step = 0; step < steps; step++) yield { step };
}

const round = (value: number): number => Math.round(value * 1000) / 1000;

function table(result: { readonly [name: string]: unknown }): string {
  return Object.entries(result)
    .map(
      ([name, value]) =>
        `${name.replaceAll("_", " ").padEnd(26)} ${typeof value === "object" ? JSON.stringify(value) : value}\n`,
    )
    .join("");
}
