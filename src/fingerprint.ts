import type { Json } from "./model.ts";
import { digestOf } from "./plan/canonical.ts";

/** Raised, on purpose, by every change that alters the bits of a stream (CHANGELOG.md, STREAM). */
export const STREAM_VERSION = 1;

/** First 16 hexadecimal digits of the SHA-256 of each part of the fingerprint: which parts of two streams differ. */
export function identityOf(parts: { readonly [name: string]: Json }): {
  readonly [part: string]: string;
} {
  return Object.fromEntries(
    Object.entries(parts).map(([name, part]) => [name, digestOf(part).slice(0, 16)]),
  );
}

/** "sha256:" and the hash of everything that decides the stream (docs/determinism.md). */
export function fingerprint(parts: { readonly [name: string]: Json }): string {
  return `sha256:${digestOf({ version: STREAM_VERSION, ...parts })}`;
}
