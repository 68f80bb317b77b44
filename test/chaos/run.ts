/** `npm run chaos [-- --long] [--seed N] [--only TEXT] [--but TEXT] [--json]`: faults of every kind, and the same batches. Exit status 1 where one is not. */
import { parseArgs } from "node:util";
import { chanceOf } from "./chance.ts";
import { scenarios } from "./scenarios.ts";
import { createNodes, play, root, type Outcome } from "./stage.ts";
import type { Language } from "./trainer.ts";
import { createUndisturbed } from "./undisturbed.ts";

const { values } = parseArgs({
  options: {
    long: { type: "boolean", default: false },
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "" },
    but: { type: "string", default: "" },
    json: { type: "boolean", default: false },
  },
});

const both = ["TypeScript", "Python"] as const;
process.chdir(root);
const nodes = createNodes();
const undisturbed = await createUndisturbed("shards");
const lines: (Outcome & { readonly scenario: string; readonly client: Language })[] = [];
try {
  for (const { name, clients = both, play: scenario } of scenarios) {
    if (!name.includes(values.only) || (values.but !== "" && name.includes(values.but))) continue;
    // In the short form they take turns.
    for (const language of values.long ? clients : [chanceOf(values.seed, name).one(clients)]) {
      const chance = chanceOf(values.seed, name, language);
      const outcome = await play(
        scenario,
        { chance, long: values.long, language, undisturbed },
        nodes,
      );
      lines.push({ scenario: name, client: language, ...outcome });
      process.stdout.write(`${values.json ? JSON.stringify(lines.at(-1)) : row(lines.at(-1))}\n`);
      for (const problem of outcome.problems) process.stderr.write(`  ${problem}\n`);
    }
  }
} finally {
  await nodes.close();
  await undisturbed.close();
}

function row(line: (typeof lines)[number]): string {
  const faults = Object.entries(line.faults).map(([kind, times]) => `${times} ${kind}`);
  return [
    line.scenario.padEnd(24),
    line.client.padEnd(10),
    `${line.batches} batches`.padStart(13),
    (line.problems.length === 0 ? "equal" : "DIFFERS").padEnd(7),
    `stall ${line.stall} ms`.padStart(14),
    `loader ${line.peaks.loader} (+${line.growth.loader}) MiB`.padStart(22),
    `client ${line.peaks.client} (+${line.growth.client}) MiB`.padStart(22),
    faults.join(", "),
  ].join("  ");
}

const wrong = lines.filter(({ problems }) => problems.length > 0).length;
if (!values.json)
  process.stdout.write(
    `seed ${values.seed}: ${lines.length - wrong} of ${lines.length} runs equal the undisturbed one\n`,
  );
process.exitCode = wrong > 0 || lines.length === 0 ? 1 : 0;
