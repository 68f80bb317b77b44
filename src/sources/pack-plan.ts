import { StreamError } from "../errors.ts";
import type { Notes } from "../shards/notes.ts";
import { LARGEST_IMAGE, tooLarge } from "../shards/rows.ts";
import { paddedSize } from "../shards/tar.ts";
import { tarEnd, tarHeader, type Entry } from "../shards/write.ts";
import { FOLDER, type Listing } from "./folder.ts";

export interface PlanOptions {
  /** Most bytes of a shard, unpacked; a larger sample is a shard by itself. */
  readonly shardSize: number;
  /** Most samples of a shard. */
  readonly count?: number;
  /** Whether each sample says in its JSON, as "group", which folder its image was in; "." is the folder itself. */
  readonly groupByFolder?: boolean;
}

/** An image that becomes a sample. */
export interface Packing {
  /** Ordinal in the listing. */
  readonly index: number;
  /** Name of the member that the image becomes. */
  readonly name: string;
  /** The member after it. */
  readonly json?: Entry;
}

/** Which images each shard holds, in the order of the listing. Throws BAD_OPTION where two would be one sample. */
export function planShards(
  found: Listing,
  { shardSize, count = Infinity, groupByFolder = false }: PlanOptions,
): Notes & { readonly shards: readonly (readonly Packing[])[] } {
  const problems = [...found.problems];
  const skipped = { ...found.skipped };
  const shards: Packing[][] = [];
  const names = new Map<string, string>();
  const empty = tarEnd().length;
  let size = empty;
  for (let index = 0; index < found.count; index++) {
    const file = found.name(index);
    const bytes = found.sizes[index] as number;
    if (bytes > LARGEST_IMAGE) {
      skipped["too large"] = (skipped["too large"] ?? 0) + 1;
      problems.push({ shard: FOLDER, key: file, reason: tooLarge(bytes) });
      continue;
    }
    const { key, extension } = labelsOf(file);
    const other = names.get(key);
    if (other !== undefined)
      throw new StreamError(
        "BAD_OPTION",
        `${other} and ${file} would both be sample ${key}: rename one`,
      );
    names.set(key, file);
    const name = `${key}.${extension}`;
    const json = groupByFolder ? groupEntry(key, file) : undefined;
    const room = memberSize(name, bytes) + (json ? memberSize(json.name, json.data.length) : 0);
    const last = shards.at(-1);
    const packing = { index, name, ...(json && { json }) };
    if (last && last.length < count && size + room <= shardSize) last.push(packing);
    else {
      shards.push([packing]);
      size = empty;
    }
    size += room;
  }
  return { shards, problems, skipped };
}

/**
 * The key is the relative path without the extension. It ends at the first dot after the last slash, and for some readers at the first of all, so that
 * dots become "_".
 */
function labelsOf(file: string): { readonly key: string; readonly extension: string } {
  const dot = file.lastIndexOf(".");
  return {
    key: file.slice(0, dot).replaceAll(".", "_"),
    extension: file.slice(dot + 1).toLowerCase(),
  };
}

function groupEntry(key: string, file: string): Entry {
  const group = file.includes("/") ? file.slice(0, file.lastIndexOf("/")) : ".";
  return { name: `${key}.json`, data: new TextEncoder().encode(JSON.stringify({ group })) };
}

function memberSize(name: string, bytes: number): number {
  return tarHeader(name, bytes).length + paddedSize(bytes);
}
