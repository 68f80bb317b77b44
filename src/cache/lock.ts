import { linkSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { codeOf, type Presence } from "./presence.ts";

/**
 * Locks between processes. A lock is a hard link to its owner's file of users/, so it says from its first moment whose it is, and needs no room on a full
 * disk. The next after one whose owner died gets a number higher by one: one process only can make that file. A lock keeps others from doing work
 * twice; what is stored stays right without it.
 */
export interface Locks {
  /** Undefined while somebody holds it. */
  take(name: string): Lock | undefined;
  /** The store that holds it and is alive. */
  holder(name: string): string | undefined;
  /** Removes the locks of the dead. */
  sweep(): void;
}

export interface Lock {
  release(): void;
}

/** A lock that says nothing (no hard links there, and its owner died between two calls) is taken for dead after so long. Seconds. */
const EMPTY = 5;

export function createLocks(folder: string, presence: Presence): Locks {
  const held = new Set<string>();

  /** Files of this lock by number; one at most, but while it goes from the dead to the living. */
  function numbersOf(name: string): number[] {
    return readdirSync(folder)
      .filter((file) => file.startsWith(`${name}.`))
      .map((file) => Number(file.slice(name.length + 1)))
      .filter(Number.isSafeInteger)
      .sort((one, other) => one - other);
  }

  /** "" where it can't be told, but is young; undefined where its owner is dead. */
  function ownerOf(file: string): string | undefined {
    const path = join(folder, file);
    try {
      const [owner = ""] = readFileSync(path, "latin1").split("\n", 1);
      if (owner === "")
        return presence.now() - statSync(path).mtimeMs < EMPTY * 1000 ? "" : undefined;
      if (owner === presence.me) return held.has(file) ? owner : undefined;
      return presence.alive(owner) ? owner : undefined;
    } catch (error) {
      // gone since it was listed
      if (codeOf(error) === "ENOENT") return "";
      throw error;
    }
  }

  /** False where it exists. */
  function create(file: string): boolean {
    const path = join(folder, file);
    try {
      linkSync(presence.path, path);
      return true;
    } catch (error) {
      if (codeOf(error) === "EEXIST") return false;
    }
    try {
      writeFileSync(path, `${presence.me}\n`, { flag: "wx" });
      return true;
    } catch (error) {
      if (codeOf(error) === "EEXIST") return false;
      throw error;
    }
  }

  const remove = (file: string): void => rmSync(join(folder, file), { force: true });

  function take(name: string): Lock | undefined {
    const last = numbersOf(name).at(-1);
    if (last !== undefined && ownerOf(`${name}.${last}`) !== undefined) return undefined;
    const number = (last ?? -1) + 1;
    const file = `${name}.${number}`;
    if (!create(file)) return undefined;
    held.add(file);
    const release = (): void => {
      // before it is gone: a lock of ours that is not held may be taken by anybody
      remove(file);
      held.delete(file);
    };
    // somebody else may have come between the look and the file
    for (const other of numbersOf(name)) {
      if (other === number) continue;
      if (other > number || ownerOf(`${name}.${other}`) !== undefined) {
        release();
        return undefined;
      }
      remove(`${name}.${other}`);
    }
    return { release };
  }

  return {
    take,
    holder(name) {
      const last = numbersOf(name).at(-1);
      return last === undefined ? undefined : ownerOf(`${name}.${last}`) || undefined;
    },
    sweep() {
      for (const file of readdirSync(folder)) {
        const name = file.slice(0, file.lastIndexOf("."));
        if (ownerOf(file) === undefined) take(name)?.release();
      }
    },
  };
}
