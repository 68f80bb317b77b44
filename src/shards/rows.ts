import { StreamError } from "../errors.ts";

/** An image beyond this is refused before memory is asked for. Bytes. */
export const LARGEST_IMAGE: number = 1 << 28;
/** Metadata beyond this is not looked at. Bytes. */
export const LARGEST_JSON: number = 1 << 20;

export function tooLarge(size: number): string {
  return `image of ${size} bytes, the limit is ${LARGEST_IMAGE}`;
}

export function checkSize(shard: string, size: number, offset: number): void {
  if (size <= LARGEST_IMAGE) return;
  throw new StreamError("IMAGE_UNUSABLE", `${shard}: ${tooLarge(size)}`, {
    context: { shard, offset },
  });
}

export function checkRow(shard: string, row: number, rows: number): void {
  if (Number.isInteger(row) && row >= 0 && row < rows) return;
  throw new StreamError("INTERNAL", `${shard}: row ${row} of ${rows}`, { context: { shard } });
}

/** The field of the JSON where it is a string or a number, else undefined: then the key is the group. */
export function groupOf(json: Uint8Array, field: string): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(json));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, field)) return undefined;
  const group: unknown = (value as { readonly [name: string]: unknown })[field];
  return typeof group === "string" || typeof group === "number" ? String(group) : undefined;
}
