import { StreamError } from "../errors.ts";
import { BLOCK, paddedSize } from "./tar.ts";

/** A file of an archive. */
export interface Entry {
  readonly name: string;
  readonly data: Uint8Array;
}

const encoder = new TextEncoder();
const LARGEST_OCTAL = 8 ** 11 - 1;

/**
 * A tar archive, the same bytes for the same entries on every machine: ustar, PAX records where a name or size needs them, no times, owner 0,
 * mode 644. Throws BAD_OPTION for a name that is no plain relative path.
 */
export async function* writeTar(
  entries: Iterable<Entry> | AsyncIterable<Entry>,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const { name, data } of entries) {
    yield tarHeader(name, data.length);
    yield data;
    const padding = paddedSize(data.length) - data.length;
    if (padding > 0) yield new Uint8Array(padding);
  }
  yield tarEnd();
}

/** All header blocks of one file. */
export function tarHeader(name: string, size: number): Uint8Array {
  const parts = name.split("/");
  if (
    name === "" ||
    name.includes("\0") ||
    parts.some((part) => part === "" || part === "." || part === "..")
  ) {
    throw new StreamError(
      "BAD_OPTION",
      `not a name for a member of a shard: ${JSON.stringify(name)}`,
    );
  }
  const bytes = encoder.encode(name);
  const place = bytes.length === name.length ? splitPlace(name) : undefined;
  const records = [
    ...(place ? [] : [record("path", name)]),
    ...(size > LARGEST_OCTAL ? [record("size", String(size))] : []),
  ];
  if (records.length === 0 && place) return block(place.prefix, place.name, size, "0");
  const body = encoder.encode(records.join(""));
  const blocks = new Uint8Array(BLOCK + paddedSize(body.length) + BLOCK);
  blocks.set(block("", "PaxHeader", body.length, "x"));
  blocks.set(body, BLOCK);
  // old readers see the end of the name, which has the extension
  const plain = place ?? { prefix: "", name: name.replace(/[^\x20-\x7e]/gu, "_").slice(-100) };
  blocks.set(
    block(plain.prefix, plain.name, size > LARGEST_OCTAL ? 0 : size, "0"),
    blocks.length - BLOCK,
  );
  return blocks;
}

/** Two zero blocks. */
export function tarEnd(): Uint8Array {
  return new Uint8Array(2 * BLOCK);
}

/** Where a plain name fits the 100 bytes of the name field, or 155 and 100 with the prefix. */
function splitPlace(name: string): { prefix: string; name: string } | undefined {
  if (name.length <= 100) return { prefix: "", name };
  const slash = name.indexOf("/", name.length - 101);
  return slash < 1 || slash > 155
    ? undefined
    : { prefix: name.slice(0, slash), name: name.slice(slash + 1) };
}

/** "LENGTH KEY=VALUE\n", the length counting itself. */
function record(key: string, value: string): string {
  const rest = encoder.encode(` ${key}=${value}\n`).length;
  let length = rest + String(rest).length;
  if (rest + String(length).length !== length) length++;
  return `${length} ${key}=${value}\n`;
}

function block(prefix: string, name: string, size: number, type: string): Uint8Array {
  const out = new Uint8Array(BLOCK);
  const put = (at: number, text: string): void => out.set(encoder.encode(text), at);
  const octal = (value: number, digits: number): string =>
    `${value.toString(8).padStart(digits, "0")}\0`;
  put(0, name);
  put(100, octal(0o644, 7));
  put(108, octal(0, 7));
  put(116, octal(0, 7));
  put(124, octal(size, 11));
  put(136, octal(0, 11));
  put(148, "        ");
  put(156, type);
  put(257, "ustar\x0000");
  put(345, prefix);
  let sum = 0;
  for (const byte of out) sum += byte;
  put(148, `${sum.toString(8).padStart(6, "0")}\0 `);
  return out;
}
