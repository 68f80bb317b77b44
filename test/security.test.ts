import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { defaultLimits } from "../src/transport/limits.ts";
import { root } from "./fixtures/serve.ts";

const page = readFileSync(join(root, "docs/security.md"), "utf8");

test("docs/security.md names tests that there are", () => {
  const rows = page
    .split("\n")
    .filter((line) => line.startsWith("| ") && /test|fuzz|chaos|bad-input/.test(line));
  expect(rows.length).toBeGreaterThan(25);
  let named = 0;
  for (const row of rows) {
    const shown = row.split("|").at(-2) ?? "";
    for (const item of shown.split(";")) {
      // `folder/file.test.ts "a name", "another"`, a folder, or words.
      const [, path] = /^\s*((?:\.\.\/)?[\w/*-]+(?:\.test\.ts|\.py|\/))/.exec(item) ?? [];
      if (path === undefined) continue;
      const files = globSync(path.replace(/\/$/, "/*.ts"), { cwd: join(root, "test") });
      expect([path, files.length > 0]).toEqual([path, true]);
      const text = files.map((file) => readFileSync(join(root, "test", file), "utf8")).join("\n");
      for (const [, name = ""] of item.matchAll(/"([^"]+)"/g)) {
        named++;
        expect([path, name, text.includes(name)]).toEqual([path, name, true]);
      }
    }
  }
  expect(named).toBeGreaterThan(25);
});

test("and every limit that there is", () => {
  for (const name of Object.keys(defaultLimits)) expect(page).toContain(`\`${name}\``);
  for (const file of page.matchAll(/\]\(([\w./-]+\.md)/g))
    expect([file[1], existsSync(join(root, "docs", file[1]!))]).toEqual([file[1], true]);
});
