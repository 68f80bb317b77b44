import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StreamError } from "../../src/errors.ts";
import {
  checkTemplate,
  defaultSuffix,
  placeholders,
  renderPrompt,
  resolveTemplates,
} from "../../src/tasks/prompt.ts";
import { taskByName, tasks } from "../../src/tasks/registry.ts";

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof StreamError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return "no error";
}

describe("renderPrompt", () => {
  it("puts every image after its label, and merges neighbouring texts", () => {
    const made = { labels: ["Image 1", "Image 2"], values: { angles: "0, 90" } };
    expect(renderPrompt("Look.\n{images}Which of {angles}?\n{suffix}", made, "Think.")).toEqual([
      { type: "text", text: "Look.\nImage 1: " },
      { type: "image" },
      { type: "text", text: "\nImage 2: " },
      { type: "image" },
      { type: "text", text: "\nWhich of 0, 90?\nThink." },
    ]);
  });

  it("leaves other braces alone and expands what it inserts no further", () => {
    const made = { labels: [], values: { a: "{suffix} {images}" } };
    expect(renderPrompt("\\boxed{} {{a}} {a} {} { a } {1}{suffix}", made, "{a}")).toEqual([
      { type: "text", text: "\\boxed{} {a} {suffix} {images} {} { a } {1}{a}" },
    ]);
  });

  it("fails loudly where the task gave no value, also for names that every object has", () => {
    for (const name of ["missing", "constructor", "toString"]) {
      expect(codeOf(() => renderPrompt(`{${name}}`, { labels: [], values: {} }, ""))).toMatch(
        /^INTERNAL.*\{/,
      );
    }
  });

  it("gives as many image parts as labels and never two texts in a row", () => {
    const label = fc.string({ maxLength: 8 });
    fc.assert(
      fc.property(
        fc.string(),
        fc.string(),
        fc.array(label, { maxLength: 9 }),
        fc.string(),
        (before, after, labels, suffix) => {
          fc.pre(placeholders(before).length === 0 && placeholders(after).length === 0);
          fc.pre(!before.includes("{") && !after.includes("{"));
          const parts = renderPrompt(
            `${before}{images}${after}{suffix}`,
            { labels, values: {} },
            suffix,
          );
          expect(parts.filter((part) => part.type === "image")).toHaveLength(labels.length);
          expect(
            parts.some((part, i) => part.type === "text" && parts[i + 1]?.type === "text"),
          ).toBe(false);
          const text = parts.map((part) => (part.type === "text" ? part.text : "")).join("");
          expect(text).toBe(before + labels.map((one) => `${one}: \n`).join("") + after + suffix);
        },
      ),
    );
  });
});

describe("checkTemplate", () => {
  it.each([
    ["{images}{suffix}", "no error"],
    ["{images} {angles} {angles}", "no error"],
    ["\\boxed{} {{other}} {images}", "no error"],
    [
      "no image {suffix}",
      "BAD_OPTION: mine: {images} must stand in it exactly once, found 0 times",
    ],
    ["{images}{images}", "BAD_OPTION: mine: {images} must stand in it exactly once, found 2 times"],
    ["{images}{suffix}{suffix}", "BAD_OPTION: mine: {suffix} may stand in it once, found 2 times"],
    [
      "{images}{angle}{constructor}{angle}",
      "BAD_OPTION: mine: unknown {angle}, {constructor}; known are {images}, {suffix}, {angles}",
    ],
  ])("%s", (template, expected) => {
    expect(
      codeOf(() => checkTemplate(template, ["angles"], "mine")).slice(0, expected.length),
    ).toBe(expected);
  });
});

describe("resolveTemplates", () => {
  it("keeps the default of what the file leaves out", () => {
    const ours = resolveTemplates(tasks);
    expect(ours.suffix).toBe(defaultSuffix);
    expect(Object.keys(ours.templates)).toEqual(tasks.map((task) => task.name));
    const theirs = resolveTemplates(tasks, {
      rotation: "{images} turned? {angles}",
      suffix: "Box it.",
    });
    expect(theirs).toEqual({
      suffix: "Box it.",
      templates: { ...ours.templates, rotation: "{images} turned? {angles}" },
    });
    expect(resolveTemplates(tasks, null)).toEqual(ours);
  });

  it.each([
    [{ rotations: "{images}" }, /no task is called "rotations"; there are rotation, similarity/],
    [{ toString: "{images}" }, /no task is called "toString"/],
    [{ rotation: "{images} {letters}" }, /template of rotation: unknown \{letters\}/],
    [{ rotation: 3 }, /rotation/],
    [{ rotation: "" }, /rotation/],
    ["{images}", /expected record/],
  ])("refuses %j", (file, message) => {
    expect(codeOf(() => resolveTemplates(tasks, file))).toMatch(/^BAD_OPTION/);
    expect(codeOf(() => resolveTemplates(tasks, file))).toMatch(message);
  });
});

describe("the tasks", () => {
  it("have unique names and are found by them", () => {
    for (const task of tasks) expect(taskByName(task.name)).toBe(task);
    expect(new Set(tasks.map((task) => task.name)).size).toBe(tasks.length);
    expect(codeOf(() => taskByName("rotate"))).toMatch(
      /^BAD_OPTION: no task is called "rotate"; there are rotation, /,
    );
  });

  it.each(tasks.map((task) => [task.name, task] as const))(
    "%s: template and options",
    (_, task) => {
      checkTemplate(task.template, placeholders(task.template));
      expect(task.template.trimEnd().endsWith("{suffix}")).toBe(true);
      for (const preset of ["robust", "paper"] as const) {
        const byDefault = task.options({}, preset);
        expect(task.options({ level: task.levels[0] }, preset)).toEqual(byDefault);
        for (const level of task.levels) {
          const options = task.options({ level }, preset);
          expect(task.images(options)).toBeGreaterThan(0);
          expect(task.options({ ...options }, preset)).toEqual(options);
          expect(JSON.parse(JSON.stringify(options))).toEqual(options);
        }
      }
      expect(() => task.options({ nonsense: 1 }, "robust")).toThrow(/nonsense/);
      expect(() => task.options({ level: "no such level" }, "robust")).toThrow(/level/);
      expect(() => task.options({ level: "constructor" }, "robust")).toThrow(/level/);
      expect(() => task.options({ level: 3 }, "robust")).toThrow(/level/);
    },
  );
});
