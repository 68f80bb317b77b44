import type { Json } from "./model.ts";
import { digestOf } from "./plan/canonical.ts";

/** Raised, on purpose, by every change that alters the bits of a stream (CHANGELOG.md, STREAM). */
export const STREAM_VERSION = 1;

/** "sha256:" and the hash of everything that decides the stream (docs/determinism.md). */
export function fingerprint(parts: { readonly [name: string]: Json }): string {
  return `sha256:${digestOf({ version: STREAM_VERSION, ...parts })}`;
}
