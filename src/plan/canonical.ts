import { createHash } from "node:crypto";
import type { Json } from "../model.ts";
import type { MixChange } from "./mix.ts";

/** RFC 8785 (JSON Canonicalization Scheme): keys sorted by UTF-16 code units, no spaces, numbers as JavaScript prints them. */
export function canonicalJson(value: Json): string {
  let text = "";
  write(value, (part) => (text += part));
  return text;
}

function write(value: Json, out: (part: string) => void): void {
  if (Array.isArray(value)) {
    out("[");
    for (const [at, item] of value.entries()) {
      if (at > 0) out(",");
      write(item, out);
    }
    out("]");
  } else if (typeof value === "object" && value !== null) {
    const fields = value as { readonly [key: string]: Json };
    out("{");
    for (const [at, name] of Object.keys(fields).sort().entries()) {
      out(`${at > 0 ? "," : ""}${JSON.stringify(name)}:`);
      write(fields[name]!, out);
    }
    out("}");
  } else out(JSON.stringify(value));
}

/** Characters that are hashed at once. */
const PIECE = 1 << 16;

/** SHA-256 of the canonical JSON, 64 hexadecimal digits. A hundred thousand shards are 20 MB of it, so it is never there as a whole. */
export function digestOf(value: Json): string {
  const hash = createHash("sha256");
  let text = "";
  write(value, (part) => {
    text += part;
    if (text.length < PIECE) return;
    hash.update(text);
    text = "";
  });
  return hash.update(text).digest("hex");
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
