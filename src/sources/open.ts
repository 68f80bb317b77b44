import { statSync } from "node:fs";
import { basename } from "node:path";
import { StreamError } from "../errors.ts";
import { reasonOf } from "../shards/bytes.ts";
import { isImageName } from "../shards/samples.ts";
import { createFolderSource, listFolder } from "./folder.ts";
import { expandBraces, fixedPart, glob, isPattern } from "./pattern.ts";
import type { Source } from "./source.ts";
import { createTarsSource, type TarFile } from "./tars.ts";

export interface OpenOptions {
  /** Field of a sample's JSON that names its group; without it the key is the group. */
  readonly group?: string;
  /** Order of the files of an image folder: a permutation of 0 .. count - 1. */
  readonly order?: (count: number) => Uint32Array;
}

/**
 * A folder of images, a folder with .tar files, one .tar file, or several: "photos-{000000..000127}.tar", "shards/*.tar".
 * Rejects SOURCE_NOT_FOUND, SOURCE_EMPTY, BAD_OPTION.
 */
export async function openSource(address: string, options: OpenOptions = {}): Promise<Source> {
  if (address === "") throw new StreamError("BAD_OPTION", "the source is empty; expected a path");
  const kind = kindOf(address);
  if (kind === "folder") return openFolder(address, options);
  if (kind !== undefined) {
    if (!isTarName(address))
      throw new StreamError("BAD_OPTION", `${address}: expected a folder or a .tar file`);
    return createTarsSource(address, [{ name: basename(address), path: address }], options);
  }
  if (!isPattern(address))
    throw new StreamError("SOURCE_NOT_FOUND", `${address}: no such file or folder`);
  return createTarsSource(address, await filesOf(address), options);
}

async function openFolder(address: string, options: OpenOptions): Promise<Source> {
  const listing = await listFolder(address, (name) => isImageName(name) || isTarName(name));
  const tars: TarFile[] = [];
  for (let i = 0; i < listing.count; i++) {
    const name = listing.name(i);
    if (isTarName(name))
      tars.push({ name, path: `${address}${address.endsWith("/") ? "" : "/"}${name}` });
  }
  if (listing.count === 0)
    throw new StreamError(
      "SOURCE_EMPTY",
      `${address}: neither an image nor a .tar file in this folder`,
    );
  if (tars.length === 0) return createFolderSource(address, { ...options, listing, address });
  if (tars.length === listing.count) return createTarsSource(address, tars, options);
  const images = listing.count - tars.length;
  throw new StreamError(
    "BAD_OPTION",
    `${address}: this folder holds both .tar files (${tars.length}) and images (${images}); put them in two folders`,
  );
}

/** Files of a pattern: those of braces in the order written, those of each wildcard sorted. */
async function filesOf(address: string): Promise<TarFile[]> {
  const base = fixedPart(address);
  const files: TarFile[] = [];
  const seen = new Set<string>();
  for (const pattern of expandBraces(address)) {
    const paths = /[*?[]/.test(pattern) ? await glob(pattern) : [pattern];
    if (paths.length === 0)
      throw new StreamError("SOURCE_NOT_FOUND", `${address}: no file matches ${pattern}`);
    for (const path of paths) {
      if (seen.has(path)) throw new StreamError("BAD_OPTION", `${address}: names ${path} twice`);
      seen.add(path);
      if (!isTarName(path))
        throw new StreamError("BAD_OPTION", `${address}: ${path} is no .tar file`);
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

function isTarName(name: string): boolean {
  return name.toLowerCase().endsWith(".tar");
}
