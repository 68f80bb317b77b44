import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

/**
 * With the heap that the command line gives itself. Measured: 264 MiB after 100 batches, 318 after 600, 315 after 2,000 (slabs and arenas reach their largest cell
 * by and by). What leaks with every batch would go on beyond these bounds.
 */
test("two thousand batches of 40: memory settles, and stays", () => {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const soak = fileURLToPath(new URL("soak.ts", import.meta.url));
  // #!/usr/bin/env -S node FLAGS
  const flags = readFileSync(new URL("../../src/cli/main.ts", import.meta.url), "utf8")
    .split("\n", 1)[0]!
    .split(" ")
    .slice(3);
  expect(flags).toEqual(["--max-semi-space-size=2"]);
  const given = [...flags, soak];
  const printed = execFileSync(process.execPath, given, { cwd: root, encoding: "utf8" });
  const { rss, puzzles } = JSON.parse(printed) as { rss: number[]; puzzles: number };
  expect(puzzles).toBe(80_000);
  expect(rss).toHaveLength(20);
  expect(rss[19]! - rss[0]!).toBeLessThan(112);
  expect(rss[19]! - rss[9]!).toBeLessThan(32);
}, 240_000);
