import { expect, it } from "vitest";
import { similaritySiege } from "./similarity.attackers.ts";

it.each([
  ["strong", {}],
  ["weak", {}],
  ["weak", { minOverlap: 0.6 }],
] as const)("similarity %s %j gives nothing away", async (level, given) => {
  const { leaks } = await similaritySiege(level, "robust", given).run(4_000);
  for (const { by, verdict } of leaks)
    expect.soft(verdict.accuracy, by).toBeLessThan(verdict.bound);
});
