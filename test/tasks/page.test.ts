import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import { createStream } from "../../src/loader.ts";
import type { Puzzle } from "../../src/model.ts";
import { placeholders, resolveTemplates } from "../../src/tasks/prompt.ts";
import { tasks } from "../../src/tasks/registry.ts";
import { presets, type Task } from "../../src/tasks/task.ts";

const root = new URL("../../", import.meta.url);
const page = readFileSync(new URL("docs/tasks.md", root), "utf8");

function section(title: string): string {
  const found = page
    .split(/^## /m)
    .find((one) => one.toLowerCase().startsWith(`${title.toLowerCase()}\n`));
  if (found === undefined) throw new Error(`docs/tasks.md has no section ${title}`);
  return found;
}

/** Cells of the rows of the table whose first column is called `first`, backticks taken off. */
function table(text: string, first: string): readonly (readonly string[])[] {
  const lines = text.split("\n");
  const head = lines.findIndex((line) => line.startsWith(`| ${first} |`));
  const rows = lines.slice(head + 2);
  return rows
    .slice(
      0,
      rows.findIndex((line) => !line.startsWith("|")),
    )
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll("`", "")),
    );
}

interface JsonSchema {
  readonly enum?: readonly (string | number)[];
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly prefixItems?: readonly JsonSchema[];
}

function rangeOf(schema: JsonSchema): string {
  if (schema.enum) return schema.enum.join(", ");
  if (schema.prefixItems) return schema.prefixItems.map(rangeOf).join(", ");
  const low = schema.minimum ?? `above ${schema.exclusiveMinimum}`;
  return `${low} .. ${schema.maximum}`;
}

/** "6 (robust), 0 (paper)" -> robust: 6, paper: 0; "0.5" -> the same for all. */
function defaultFor(cell: string, level: string, preset: string): string {
  const parts = [...cell.matchAll(/(\S+) \((\w+)\)/g)];
  const part = parts.find(([, , name]) => name === level || name === preset);
  return part?.[1] ?? cell;
}

describe.each(tasks)("$name in docs/tasks.md", (task: Task) => {
  const rows = table(section(task.name), "option");
  const { properties } = z.toJSONSchema(task.schema) as {
    readonly properties: { readonly [name: string]: JsonSchema };
  };

  test("the table has every option, in its range", () => {
    expect(rows.map(([name]) => name)).toEqual(Object.keys(properties));
    for (const [name = "", range] of rows)
      expect(range, name).toBe(
        name === "level" ? task.levels.join(", ") : rangeOf(properties[name]!),
      );
  });

  test("defaults by level and preset", () => {
    for (const preset of presets) {
      for (const level of task.levels) {
        const options = task.options({ level }, preset) as { readonly [name: string]: unknown };
        for (const [name = "", , cell = ""] of rows) {
          const value = options[name];
          const text = typeof value === "string" ? value : JSON.stringify(value);
          if (name === "level") expect(cell).toBe(task.levels[0]);
          else expect(defaultFor(cell, level, preset), `${name}, ${level}, ${preset}`).toBe(text);
        }
      }
    }
  });

  test("levels and number of images stand in the overview", () => {
    const row = table(page, "task").find(([name]) => name?.startsWith(`[${task.name}]`));
    const images = task.levels.map((level) => task.images(task.options({ level }, "robust")));
    expect(row?.[2]).toBe([...new Set(images)].join(", "));
    expect(row?.[4]).toBe(task.levels.join(", "));
  });

  test("the values that a template may use are named", () => {
    const names = new Set(placeholders(task.template));
    for (const name of ["images", "suffix"]) names.delete(name);
    const [values = ""] = /^- Values: [^.]*\./m.exec(section("Prompts of your own")) ?? [];
    const own = values.split(";").find((one) => one.includes(`${task.name} `)) ?? "";
    expect([...own.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)).toEqual([...names]);
  });
});

describe("what docs/tasks.md shows", () => {
  const puzzles: Puzzle[] = [];

  beforeAll(async () => {
    const source = fileURLToPath(new URL("shards", root));
    await using stream = await createStream({ source, seed: 7, batch: 40 });
    const slots = tasks.map(({ name }) => slotOf(name));
    puzzles.push(...(await stream.get(0, slots)).puzzles);
  });

  function slotOf(task: string): number {
    return Number(/^Answer of slot (\d+)/m.exec(section(task))?.[1]);
  }

  test.each(tasks)("$name: picture, question and answer are of that slot", ({ name }) => {
    const text = section(name);
    const puzzle = puzzles.find(({ slot }) => slot === slotOf(name))!;
    expect(puzzle.task).toBe(name);
    expect(/^Answer of slot \d+: `(.*)`$/m.exec(text)?.[1]).toBe(puzzle.answer);
    const last = puzzle.prompt.at(-1)!;
    const question = last.type === "text" ? last.text.trim().split("\n")[0] : "";
    expect(/^> (.*)$/m.exec(text)?.[1]).toBe(question);
    expect(text).toContain(`](images/${name}.jpg)`);
    expect(existsSync(new URL(`docs/images/${name}.jpg`, root))).toBe(true);
    // The script that made the picture took the same slot of the same step.
    const script = readFileSync(new URL("bench/doc-images.py", root), "utf8");
    expect(script).toContain(`"${name}": (0, ${puzzle.slot})`);
  });

  test("the pictures are small", () => {
    const names = ["batch", ...tasks.map(({ name }) => name)];
    const sizes = names.map(
      (name) => readFileSync(new URL(`docs/images/${name}.jpg`, root)).length,
    );
    expect(sizes[0]).toBeLessThan(400_000);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(1_200_000);
  });

  test("the YAML on the page is understood", async () => {
    const blocks = [...page.matchAll(/```yaml\n(.*?)```/gs)].map(([, text = ""]) =>
      parseYaml(text),
    ) as { readonly entries?: never }[];
    expect(blocks).toHaveLength(2);
    for (const block of blocks) {
      const source = fileURLToPath(new URL("shards", root));
      const options = block.entries === undefined ? { templates: block as never } : block;
      await using stream = await createStream({ source, batch: 4, ...options });
      expect((await stream.get(0)).puzzles).toHaveLength(4);
    }
    const templates = blocks.find(({ entries }) => entries === undefined);
    expect(resolveTemplates(tasks, templates).templates["rotation"]).toContain("turned clockwise");
  });
});
