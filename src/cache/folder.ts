import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { StreamError } from "../errors.ts";
import { codeOf, createPresence, type Presence } from "./presence.ts";

/** What the cache's folder holds: NAME.rows (whole), NAME.table (see table.ts), NAME.part-STORE and NAME.table.part-STORE (being written), and folders. */
export const WHOLE = ".rows";
export const TABLE = ".table";
export const PART = ".part-";
export const LOCKS = "locks";
const USERS = "users";

/** A hash, and the end of the identity for people. */
export function fileOf(id: string): string {
  const hash = createHash("sha256").update(id).digest("hex").slice(0, 32);
  return `${hash}-${id.slice(-40).replaceAll(/[^A-Za-z0-9]+/g, "_")}`;
}

/** The folder's name is for the log, not for clients. */
export function unusable(what: string, folder: string, error: unknown): StreamError {
  const reason = codeOf(error) ?? "unknown reason";
  return new StreamError("CACHE", `${what}: the cache can't be used: ${reason}`, {
    cause: new Error(`${folder}: ${reason}`, { cause: error }),
    context: { shard: what },
  });
}

/** On a full disk a file goes first: the cache itself may have filled it. */
export function begin(folder: string): Presence {
  for (;;) {
    try {
      mkdirSync(join(folder, LOCKS), { recursive: true });
      return createPresence(join(folder, USERS));
    } catch (error) {
      const oldest = isFull(error) ? oldestIn(folder) : undefined;
      if (oldest === undefined) {
        throw unusable("cache", folder, error);
      }
      rmSync(oldest);
    }
  }
}

function oldestIn(folder: string): string | undefined {
  const wholes = readdirSync(folder).filter((name) => name.endsWith(WHOLE));
  const used = wholes.map((name) => statSync(join(folder, name)).atimeMs);
  const oldest = wholes[used.indexOf(Math.min(...used))];
  return oldest === undefined ? undefined : join(folder, oldest);
}

/** The disk, a quota or a limit on file sizes. */
export function isFull(error: unknown): boolean {
  return ["ENOSPC", "EDQUOT", "EFBIG"].includes(codeOf(error) ?? "");
}
