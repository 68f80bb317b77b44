import { createHash } from "node:crypto";
import type { Json } from "../model.ts";
import type { MixChange } from "./mix.ts";

/** RFC 8785 (JSON Canonicalization Scheme): keys sorted by UTF-16 code units, no spaces, numbers as JavaScript prints them. */
export function canonicalJson(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const fields = Object.entries(value as { readonly [key: string]: Json });
    fields.sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${canonicalJson(field)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

/** SHA-256 of the canonical JSON, 64 hexadecimal digits. */
export function digestOf(value: Json): string {
  return createHash("sha256").update(canonicalJson(value)).digest("hex");
}

/** Identity of a mix log; a request carries it with the log's length (docs/determinism.md, "Changes of the mix"). */
export function logDigest(log: readonly MixChange[]): string {
  return digestOf(
    log.map(({ step, entries }) => ({
      step,
      entries: entries.map(({ name, weight }) => ({ name, weight })),
    })),
  );
}
