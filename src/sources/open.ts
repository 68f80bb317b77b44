import { statSync } from "node:fs";
import { basename } from "node:path";
import { StreamError } from "../errors.ts";
import { reasonOf } from "../shards/bytes.ts";
import type { RowOptions } from "../shards/feed.ts";
import { isImageName } from "../shards/samples.ts";
import { countingOf, createContainersSource, formOf } from "./containers.ts";
import { createFolderSource, listFolder } from "./folder.ts";
import { statFiles, type LocalFile } from "./local-files.ts";
import { expandBraces, fixedPart, glob, isPattern } from "./pattern.ts";
import type { Source } from "./source.ts";
import type { Supplies } from "./supplies.ts";
import { createTarsSource } from "./tars.ts";

export interface OpenOptions extends RowOptions {
  /** Order of the files of an image folder: a permutation of 0 .. count - 1. */
  readonly order?: (count: number) => Uint32Array;
  /** Network and store, for sources that need them. */
  readonly supplies?: Supplies;
}

/**
 * A folder of images or of tars or of Parquet files, one such file, or several: "photos-{000000..000127}.tar", "shards/*.tar.gz"; https://...;
 * hf://datasets/OWNER/NAME. Rejects SOURCE_NOT_FOUND, SOURCE_EMPTY, BAD_OPTION.
 */
export async function openSource(address: string, options: OpenOptions = {}): Promise<Source> {
  if (address === "") throw new StreamError("BAD_OPTION", "the source is empty; expected a path");
  const [, scheme] = /^([a-z][a-z0-9+.-]*):\/\//i.exec(address) ?? [];
  if (scheme !== undefined) return openRemote(address, scheme.toLowerCase(), options);
  const kind = kindOf(address);
  if (kind === "folder") return openFolder(address, options);
  if (kind !== undefined) {
    if (!formOf(address))
      throw new StreamError(
        "BAD_OPTION",
        `${address}: expected a folder, a tar (.tar, .tar.gz, .tar.zst) or a .parquet file`,
      );
    return openFiles(address, [{ name: basename(address), path: address }], options);
  }
  if (!isPattern(address))
    throw new StreamError("SOURCE_NOT_FOUND", `${address}: no such file or folder`);
  return openFiles(address, await filesOf(address), options);
}

async function openRemote(address: string, scheme: string, options: OpenOptions): Promise<Source> {
  const supplies = suppliesOf(address, options);
  if (scheme === "https" || scheme === "http") {
    const { createWebSource } = await import("./web.ts");
    return createWebSource(address, { rows: options, supplies });
  }
  if (scheme === "hf") {
    const { createHubSource } = await import("./hub-source.ts");
    return createHubSource(address, { ...options, supplies });
  }
  throw new StreamError(
    "BAD_OPTION",
    `${address}: expected a path, https://... or hf://datasets/OWNER/NAME`,
  );
}

function suppliesOf(address: string, { supplies }: OpenOptions): Supplies {
  if (supplies) return supplies;
  throw new StreamError("INTERNAL", `${address}: opened without a network and a store`);
}

/** Plain tars are read in place; compressed ones and Parquet files through the store. */
function openFiles(address: string, files: readonly LocalFile[], options: OpenOptions): Source {
  const { group, image } = options;
  const rows: RowOptions = {
    ...(group !== undefined && { group }),
    ...(image !== undefined && { image }),
  };
  const found = new Set(files.map(({ name }) => formOf(name)));
  if (found.size === 1 && found.has("tar"))
    return createTarsSource(address, files, rows, options.supplies);
  if (found.has("parquet") && found.size > 1)
    throw new StreamError("BAD_OPTION", `${address}: names both tars and Parquet files`);
  return createContainersSource(address, {
    rows,
    supplies: suppliesOf(address, options),
    counting: countingOf(files.map(({ name }) => ({ name, here: true }))),
    container: ({ name, size, path, time }) => ({ name, size, place: { path, time } }),
    list: statFiles(files),
  });
}

async function openFolder(address: string, options: OpenOptions): Promise<Source> {
  const listing = await listFolder(
    address,
    (name) => isImageName(name) || formOf(name) !== undefined,
  );
  const files: LocalFile[] = [];
  for (let i = 0; i < listing.count; i++) {
    const name = listing.name(i);
    if (formOf(name))
      files.push({ name, path: `${address}${address.endsWith("/") ? "" : "/"}${name}` });
  }
  if (listing.count === 0)
    throw new StreamError(
      "SOURCE_EMPTY",
      `${address}: neither an image nor a tar nor a Parquet file in this folder`,
    );
  if (files.length === 0) return createFolderSource(address, { ...options, listing, address });
  if (files.length === listing.count) return openFiles(address, files, options);
  const images = listing.count - files.length;
  throw new StreamError(
    "BAD_OPTION",
    `${address}: this folder holds both shards (${files.length}) and images (${images}); put them in two folders`,
  );
}

/** Files of a pattern: those of braces in the order written, those of each wildcard sorted. */
async function filesOf(address: string): Promise<LocalFile[]> {
  const base = fixedPart(address);
  const files: LocalFile[] = [];
  const seen = new Set<string>();
  for (const pattern of expandBraces(address)) {
    const paths = /[*?[]/.test(pattern) ? await glob(pattern) : [pattern];
    if (paths.length === 0)
      throw new StreamError("SOURCE_NOT_FOUND", `${address}: no file matches ${pattern}`);
    for (const path of paths) {
      if (seen.has(path)) throw new StreamError("BAD_OPTION", `${address}: names ${path} twice`);
      seen.add(path);
      if (!formOf(path))
        throw new StreamError(
          "BAD_OPTION",
          `${address}: ${path} is neither a tar nor a Parquet file`,
        );
      if (kindOf(path) !== "file")
        throw new StreamError("SOURCE_NOT_FOUND", `${address}: no such file: ${path}`);
      files.push({ name: path.slice(base.length), path });
    }
  }
  return files;
}

function kindOf(path: string): "file" | "folder" | "other" | undefined {
  try {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (!stats) return undefined;
    return stats.isFile() ? "file" : stats.isDirectory() ? "folder" : "other";
  } catch (cause) {
    throw new StreamError("SOURCE_NOT_FOUND", `${path}: ${reasonOf(cause)}`, { cause });
  }
}
