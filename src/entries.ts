import { z } from "zod";
import { StreamError } from "./errors.ts";
import { badOption, type ResolvedOptions } from "./options.ts";
import { taskByName } from "./tasks/registry.ts";

/** One line of the mix with everything decided. */
export interface MixEntry {
  readonly name: string;
  readonly task: string;
  readonly weight: number;
  /** Every option of the task, resolved. */
  readonly options: object;
  /** Images in one puzzle. */
  readonly images: number;
}

interface Written {
  readonly task: string;
  readonly name?: string | undefined;
  readonly weight?: number | undefined;
  readonly level?: string | number | undefined;
  readonly options?: { readonly [key: string]: unknown } | undefined;
}

/** The mix as the stream uses it. BAD_OPTION names the entry, what came and what is allowed. */
export function resolveEntries({
  entries,
  preset,
}: Pick<ResolvedOptions, "entries" | "preset">): readonly MixEntry[] {
  const resolved = entries.map((given, at) => {
    const {
      task: taskName,
      name,
      weight = 1,
      level,
      options = {},
    } = typeof given === "string" ? parseEntry(given, at) : given;
    const task = taskByName(taskName);
    const written = level === undefined ? options : { ...options, level };
    let full: object;
    try {
      full = task.options(written, preset);
    } catch (error) {
      if (!(error instanceof z.ZodError)) throw error;
      const where = `entry ${at + 1} (${taskName}): `;
      if (error.issues[0]?.path[0] !== "level") throw badOption(error, written, where);
      const asked: unknown = (written as { level?: unknown }).level;
      throw new StreamError(
        "BAD_OPTION",
        `${where}level: got ${JSON.stringify(asked)}; there are ${task.levels.join(", ")}`,
      );
    }
    const used = "level" in full ? String(full.level) : task.levels[0];
    const fallback = used === task.levels[0] ? task.name : `${task.name}-${used}`;
    return {
      name: name ?? fallback,
      task: task.name,
      weight,
      options: full,
      images: task.images(full),
    };
  });
  const seen = new Set<string>();
  for (const { name } of resolved) {
    if (seen.has(name))
      throw new StreamError(
        "BAD_OPTION",
        `entries: two are called ${JSON.stringify(name)}; give them names of their own`,
      );
    seen.add(name);
  }
  return resolved;
}

/** `task[:level][*weight]`. */
function parseEntry(text: string, at: number): Written {
  const [head = "", weight, ...more] = text.split("*");
  const [task = "", level, ...rest] = head.split(":");
  const number = weight === undefined ? 1 : Number(weight);
  if (
    more.length > 0 ||
    rest.length > 0 ||
    !Number.isInteger(number) ||
    number < 1 ||
    number > 1000
  ) {
    throw new StreamError(
      "BAD_OPTION",
      `entry ${at + 1}: got ${JSON.stringify(text)}; write task, task:level or task:level*weight with a weight of 1 to 1000`,
    );
  }
  return { task: task.trim(), level: level?.trim(), weight: number };
}
