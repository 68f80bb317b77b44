/**
 * What attackers that understand nothing get on each task: `node bench/attackers.ts [name part] [--count 4000]`.
 * Trained on half of the puzzles, tested on the other half; docs/tasks.md shows the table. A leak must stay at or below the bound, content is what
 * the puzzle is about.
 */
import { parseArgs } from "node:util";
import type { Siege } from "../test/tasks/attackers.ts";
import { sieges as rotation } from "../test/tasks/rotation.attackers.ts";
import { sieges as similarity } from "../test/tasks/similarity.attackers.ts";

const sieges: readonly Siege[] = [...rotation, ...similarity];

const { values, positionals } = parseArgs({
  options: { count: { type: "string", default: "4000" } },
  allowPositionals: true,
});

console.log("| task | attacker | kind | accuracy | bound (99 %) |\n|---|---|---|---|---|");
for (const siege of sieges) {
  if (!siege.name.includes(positionals[0] ?? "")) continue;
  const { leaks, content } = await siege.run(Number(values.count));
  for (const [kind, attacks] of [
    ["leak", leaks],
    ["content", content],
  ] as const) {
    for (const { by, verdict } of attacks) {
      const over = kind === "leak" && verdict.accuracy > verdict.bound ? " (!)" : "";
      console.log(
        `| ${siege.name} | ${by} | ${kind} | ${verdict.accuracy.toFixed(3)}${over} | ${verdict.bound.toFixed(3)} |`,
      );
    }
  }
}
