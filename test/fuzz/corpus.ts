/** Inputs that once took a new way, a line each in base64. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../fixtures/serve.ts";

/** Bytes of one door's part. */
const ROOM = 12_000;

const fileOf = (door: string): string =>
  join(root, "test", "fuzz", "corpus", `${door.replaceAll(" ", "-")}.txt`);

export function stored(door: string): Uint8Array[] {
  const file = fileOf(door);
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, "utf8").trim().split("\n");
  return lines.map((line) => Buffer.from(line, "base64"));
}

/** The shortest of all: the corpus is small. */
export function store(door: string, kept: readonly Uint8Array[]): void {
  let room = ROOM;
  const all = [...stored(door), ...kept].toSorted((a, b) => a.length - b.length);
  const few = all.filter(({ length }) => (room -= length) >= 0);
  writeFileSync(
    fileOf(door),
    few.map((input) => `${Buffer.from(input).toString("base64")}\n`).join(""),
  );
}
