/** One data set of small photos, cut into the same shards in several forms. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync, zstdCompressSync } from "node:zlib";
import { output } from "../fixtures/files.ts";
import { testPython } from "../fixtures/serve.ts";
import type { StreamOptions } from "../../src/options.ts";

export type Form = "tar" | "gz" | "zst" | "parquet";
export const forms: readonly Form[] = ["tar", "gz", "zst", "parquet"];

export interface Photos {
  readonly folder: string;
  readonly shards: number;
  readonly rows: number;
  /** Folder of the shards in this form. */
  path(form: Form): string;
  /** Bytes of each shard in this form, by file name. */
  files(form: Form): { readonly [name: string]: Uint8Array };
  remove(): void;
}

/** The same bytes each time. @param rows of each shard. */
export function makePhotos(shards: number, rows: number): Photos {
  const folder = mkdtempSync(join(tmpdir(), "ssl-r1-night-"));
  const script = fileURLToPath(new URL("make_photos.py", import.meta.url));
  output(testPython(), [script, folder, String(shards), String(rows)]);
  const path = (form: Form): string => join(folder, form);
  mkdirSync(path("zst"));
  for (const name of readdirSync(path("gz")))
    writeFileSync(
      join(path("zst"), name.replace(/gz$/, "zst")),
      zstdCompressSync(gunzipSync(readFileSync(join(path("gz"), name)))),
    );
  return {
    folder,
    shards,
    rows,
    path,
    files: (form) =>
      Object.fromEntries(
        readdirSync(path(form)).map((name) => [name, readFileSync(join(path(form), name))]),
      ),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Puzzles of several kinds that cost little. */
export const cheap: Omit<StreamOptions, "source"> = {
  seed: 5,
  batch: 8,
  window: 64,
  workers: 1,
  maxPixels: 12_544,
  entries: [
    "rotation",
    { task: "similarity", options: { size: 56 } },
    "inpainting",
    { task: "correspondence", options: { points: 2 } },
  ],
};
