import { createReadStream } from "node:fs";
import { Command, Option } from "commander";
import { StreamError } from "../errors.ts";
import { partials, scoreDefaults, type ScoreOptions } from "../rewards/options.ts";
import { emptyTally, scoreLines, splitLines } from "../rewards/lines.ts";

/** `ssl-r1 score --json < answers.jsonl`: rewards for answers, one result a line. */
export function scoreCommand(): Command {
  return new Command("score")
    .description('score JSON lines {"completion", "answer"}; one result a line')
    .argument("[file]", "default: standard input")
    .option("--accuracy-weight <number>", "factor of the accuracy")
    .option("--format-weight <number>", "factor of the format")
    .addOption(new Option("--partial <rule>", "credit for sequences").choices([...partials]))
    .option("--think-opened", "the prompt ended in <think>")
    .option("--min-think <number>", "characters that the reasoning must have")
    .option("--json", "only the lines, no summary")
    .action(async (file: string | undefined, given: { [name: string]: unknown }) => {
      const options: { -readonly [Name in keyof ScoreOptions]: ScoreOptions[Name] } = {};
      for (const name of Object.keys(scoreDefaults) as (keyof ScoreOptions)[]) {
        const value = given[name];
        if (value === undefined) continue;
        Object.assign(options, {
          [name]: name === "partial" || value === true ? value : Number(value),
        });
      }
      const input = file === undefined ? process.stdin : createReadStream(file);
      input.setEncoding("utf8");
      const tally = emptyTally();
      for await (const line of scoreLines(splitLines(input), { ...options, tally }))
        process.stdout.write(`${line}\n`);
      if (!given["json"] && tally.scored > 0) {
        const mean = (sum: number): string => (sum / tally.scored).toFixed(4);
        process.stderr.write(
          `${tally.scored} scored, ${tally.bad} bad lines; mean accuracy ${mean(tally.accuracy)}, format ${mean(tally.format)}, total ${mean(tally.total)}, exact ${mean(tally.exact)}\n`,
        );
      }
      if (tally.bad > 0)
        throw new StreamError("BAD_OPTION", `${tally.bad} lines could not be scored`);
    });
}
