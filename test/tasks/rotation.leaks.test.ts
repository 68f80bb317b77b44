import { expect, it } from "vitest";
import { rotationSiege } from "./rotation.attackers.ts";

it.each(["4x90", "8x45"] as const)("rotation %s gives nothing away", async (level) => {
  const { leaks } = await rotationSiege(level, "robust").run(4_000, "leaks");
  for (const { by, verdict } of leaks)
    expect.soft(verdict.accuracy, by).toBeLessThan(verdict.bound);
});
