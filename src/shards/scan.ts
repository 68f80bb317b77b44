import { StreamError } from "../errors.ts";
import type { ByteSource } from "./bytes.ts";
import { createNotebook, type Notes } from "./notes.ts";
import { samples } from "./samples.ts";
import { members, type Globals } from "./tar.ts";

/** Where the rows of a tar shard are: 40 bytes a row, no strings. */
export interface TarIndex extends Notes {
  readonly rows: number;
  /** Five numbers a row, see `columns`. */
  readonly places: Float64Array;
  readonly globals: readonly Globals[];
}

/** Byte offset of the image's first header block, of its contents, their length; offset and length of the JSON's contents (-1: none). */
export const columns = { header: 0, image: 1, imageSize: 2, json: 3, jsonSize: 4 } as const;
export const WIDTH = 5;

export interface ScanOptions {
  /** As in RowOptions. */
  readonly image?: string;
  readonly signal?: AbortSignal;
}

/** Reads the headers of a shard. Rejects SHARD_CORRUPT; ABORTED. */
export async function scanTar(
  source: ByteSource,
  shard: string,
  { image: chosen, signal }: ScanOptions = {},
): Promise<TarIndex> {
  const notes = createNotebook();
  const globals: Globals[] = [];
  let places = new Float64Array(64 * WIDTH);
  let rows = 0;
  const watched: ByteSource = {
    ...source,
    read: (...asked) => (checkAbort(shard, signal), source.read(...asked)),
  };
  const found = samples(members(watched, shard, globals), shard, notes, chosen);
  for await (const { image, json } of found) {
    if (!image) continue;
    if ((rows + 1) * WIDTH > places.length) {
      const more = new Float64Array(places.length * 2);
      more.set(places);
      places = more;
    }
    places.set(
      [image.header, image.offset, image.size, json?.offset ?? -1, json?.size ?? 0],
      rows * WIDTH,
    );
    rows++;
  }
  return {
    rows,
    places: places.slice(0, rows * WIDTH),
    globals,
    problems: notes.problems,
    skipped: notes.skipped,
  };
}

export function checkAbort(name: string, signal: AbortSignal | undefined): void {
  if (signal?.aborted)
    throw new StreamError("ABORTED", `${name}: given up`, {
      cause: signal.reason,
    });
}
