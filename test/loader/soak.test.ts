import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

/**
 * V8 lets its heaps grow to their ceiling before it collects in earnest, and slabs and arenas reach their largest cell by and by: measured 306 MiB after 100 batches,
 * 494 after 900, 514 after 2,000. What leaks with every batch would go on beyond these.
 */
test("two thousand batches of 40: memory settles, and stays", () => {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const soak = fileURLToPath(new URL("soak.ts", import.meta.url));
  const printed = execFileSync(process.execPath, [soak], { cwd: root, encoding: "utf8" });
  const { rss, puzzles } = JSON.parse(printed) as { rss: number[]; puzzles: number };
  expect(puzzles).toBe(80_000);
  expect(rss).toHaveLength(20);
  expect(rss[19]! - rss[0]!).toBeLessThan(320);
  expect(rss[19]! - rss[9]!).toBeLessThan(64);
}, 240_000);
