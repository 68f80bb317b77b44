import { expect, test } from "vitest";
import { createSeen } from "../../src/shards/seen.ts";

test("knows every text again, and none before", () => {
  const seen = createSeen();
  const texts = Array.from({ length: 20_000 }, (_, i) => `folder/${i.toString(36)}`);
  expect(texts.filter((text) => !seen.add(text))).toEqual([]);
  expect(texts.filter((text) => seen.add(text))).toEqual([]);
  expect([seen.add(""), seen.add(""), seen.add("folder/"), seen.add("\u00fc")]).toEqual([
    true,
    false,
    true,
    true,
  ]);
});

test("takes at most 40 bytes a text, however long", () => {
  const count = 100_000;
  const before = process.memoryUsage().arrayBuffers;
  const seen = createSeen();
  const name = "x".repeat(200);
  for (let i = 0; i < count; i++) seen.add(name + i);
  // and what the hashes left behind
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(count * 40 * 2 + (64 << 20));
  expect(seen.add(`${name}0`)).toBe(false);
});
