import { z } from "zod";
import { StreamError } from "../errors.ts";
import type { ContentPart } from "../model.ts";
import type { Made } from "./task.ts";

/** The format instruction at the end of every prompt. */
export const defaultSuffix =
  "Think step by step inside one <think> </think> block. After it, give your final answer once, inside one \\boxed{}.";

/** `{name}` is a placeholder, `{{name}}` stands for the text {name}; other braces, as in \boxed{}, are text. */
const PLACEHOLDER = /\{\{([A-Za-z]\w*)\}\}|\{([A-Za-z]\w*)\}/g;

/** Names of the placeholders of a template in order of appearance, repeats included. */
export function placeholders(template: string): readonly string[] {
  const names: string[] = [];
  for (const match of template.matchAll(PLACEHOLDER))
    if (match[2] !== undefined) names.push(match[2]);
  return names;
}

/**
 * Refuses (BAD_OPTION) a template that does not place the images exactly once, repeats the suffix, or uses a name that the task has no value for.
 * `names` are those values' names; `where` says in the message whose template it is.
 */
export function checkTemplate(
  template: string,
  names: readonly string[],
  where: string = "template",
): void {
  const used = placeholders(template);
  const count = (name: string): number => used.filter((one) => one === name).length;
  if (count("images") !== 1)
    throw new StreamError(
      "BAD_OPTION",
      `${where}: {images} must stand in it exactly once, found ${count("images")} times`,
    );
  if (count("suffix") > 1)
    throw new StreamError(
      "BAD_OPTION",
      `${where}: {suffix} may stand in it once, found ${count("suffix")} times`,
    );
  const known = new Set(["images", "suffix", ...names]);
  const unknown = [...new Set(used.filter((name) => !known.has(name)))];
  if (unknown.length > 0) {
    const list = unknown.map((name) => `{${name}}`).join(", ");
    const choice = [...known].map((name) => `{${name}}`).join(", ");
    throw new StreamError(
      "BAD_OPTION",
      `${where}: unknown ${list}; known are ${choice}; write {{name}} for the text {name}`,
    );
  }
}

/** What a user's file of templates holds: task name -> template, and a suffix for all; what it leaves out keeps its default. */
const templatesSchema: z.ZodRecord<z.ZodString, z.ZodString> = z.record(
  z.string(),
  z.string().min(1),
);

export interface Templates {
  readonly suffix: string;
  /** By task name; every task has one. */
  readonly templates: { readonly [task: string]: string };
}

/** The templates in use: the tasks' own, replaced where `file` (already parsed from YAML or JSON) says so. BAD_OPTION names what is wrong in it. */
export function resolveTemplates(
  tasks: readonly { readonly name: string; readonly template: string }[],
  file: unknown = {},
): Templates {
  const parsed = templatesSchema.safeParse(file ?? {});
  if (!parsed.success)
    throw new StreamError("BAD_OPTION", `templates: ${z.prettifyError(parsed.error)}`, {
      cause: parsed.error,
    });
  const { suffix = defaultSuffix, ...given } = parsed.data;
  const templates: { [task: string]: string } = {};
  for (const { name, template } of tasks) templates[name] = template;
  for (const [name, template] of Object.entries(given)) {
    const own = Object.hasOwn(templates, name) ? templates[name] : undefined;
    if (own === undefined) {
      throw new StreamError(
        "BAD_OPTION",
        `templates: no task is called ${JSON.stringify(name)}; there are ${Object.keys(templates).join(", ")}`,
      );
    }
    // The default uses every value that the task offers, so its names are the names a replacement may use.
    checkTemplate(template, placeholders(own), `template of ${name}`);
    templates[name] = template;
  }
  return { suffix, templates };
}

/**
 * The message of a puzzle. `{images}` becomes, for each image, its label, a colon, the image and a newline; the suffix and the values are inserted
 * as they are. Neighbouring texts are one part.
 */
export function renderPrompt(
  template: string,
  made: Pick<Made, "labels" | "values">,
  suffix: string,
): readonly ContentPart[] {
  const parts: ContentPart[] = [];
  let text = "";
  const flush = (): void => {
    if (text !== "") parts.push({ type: "text", text });
    text = "";
  };
  let from = 0;
  for (const match of template.matchAll(PLACEHOLDER)) {
    text += template.slice(from, match.index);
    from = match.index + match[0].length;
    const [, literal, name = ""] = match;
    if (literal !== undefined) text += `{${literal}}`;
    else if (name === "suffix") text += suffix;
    else if (name === "images") {
      for (const label of made.labels) {
        text += `${label}: `;
        flush();
        parts.push({ type: "image" });
        text = "\n";
      }
    } else {
      const value = Object.hasOwn(made.values, name) ? made.values[name] : undefined;
      if (value === undefined)
        throw new StreamError("INTERNAL", `the task gave no value for {${name}} of its template`);
      text += value;
    }
  }
  text += template.slice(from);
  flush();
  return parts;
}
