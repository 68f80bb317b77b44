import { createHash } from "node:crypto";
import { mkdir, mkdtemp, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { StreamError } from "../errors.ts";
import { readFile } from "../shards/bytes.ts";
import { compress, inPieces, type Compression } from "../shards/compress.ts";
import type { Notes } from "../shards/notes.ts";
import { createPace } from "../shards/pace.ts";
import { isImageName } from "../shards/samples.ts";
import { checkAbort } from "../shards/scan.ts";
import { writeTar, type Entry } from "../shards/write.ts";
import { listFolder, type Listing } from "./folder.ts";
import { planShards, type Packing, type PlanOptions } from "./pack-plan.ts";

export interface PackOptions extends PlanOptions {
  /** Shards are NAME-000000.tar and so on. */
  readonly name: string;
  readonly compress?: Compression;
  /** Whether shards of this name that are there may go. */
  readonly force?: boolean;
  readonly signal?: AbortSignal;
}

export interface PackedShard {
  /** File name. */
  readonly shard: string;
  readonly samples: number;
  /** Of the file, as is the hash. */
  readonly bytes: number;
  readonly sha256: string;
}

export interface Packed extends Notes {
  readonly shards: readonly PackedShard[];
}

/**
 * Packs the images of a folder, in the order of their names, into shards in the folder `out`. The same files give the same bytes. Nothing is in place
 * before all is written: shards are made in a hidden folder there, which goes in any case, and then moved. Rejects BAD_OPTION where two images would be
 * one sample or shards of this name are there already, SOURCE_NOT_FOUND, SOURCE_EMPTY, SHARD_CORRUPT where a file changes meanwhile, ABORTED.
 */
export async function packFolder(
  folder: string,
  out: string,
  options: PackOptions,
): Promise<Packed> {
  const { name, force = false, signal } = options;
  if (!/^\w[\w.-]*$/.test(name))
    throw new StreamError(
      "BAD_OPTION",
      `name: expected letters, digits, "_", "-" and ".", got ${JSON.stringify(name)}`,
    );
  const found = await listFolder(folder, isImageName);
  const { shards: plan, problems, skipped } = planShards(found, options);
  if (plan.length === 0)
    throw new StreamError("SOURCE_EMPTY", `${folder}: no image in this folder`);
  await mkdir(out, { recursive: true });
  await checkFree(out, name, force);
  const staging = await mkdtemp(join(out, `.${name}-`));
  try {
    const shards: PackedShard[] = [];
    for (const [number, samples] of plan.entries()) {
      const shard = shardName(name, number, options.compress);
      const tar = writeTar(entriesOf(folder, found, samples, signal));
      const bytes = options.compress === undefined ? tar : compress(tar, options.compress);
      const written = await writeWhole(join(staging, shard), bytes);
      shards.push({ shard, samples: samples.length, ...written });
    }
    // again: somebody else may have packed meanwhile
    const old = await checkFree(out, name, force);
    for (const { shard } of shards) await rename(join(staging, shard), join(out, shard));
    const now = new Set(shards.map(({ shard }) => shard));
    // shards of a larger data set that stood here would be taken for more of this one
    for (const shard of old) if (!now.has(shard)) await rm(join(out, shard));
    return { shards, problems, skipped };
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

function shardName(name: string, number: number, how: Compression | undefined): string {
  return `${name}-${String(number).padStart(6, "0")}.tar${how === undefined ? "" : `.${how}`}`;
}

/** The shards of this name that are there. */
async function checkFree(out: string, name: string, force: boolean): Promise<readonly string[]> {
  const old = (await readdir(out)).filter(
    (file) =>
      file.startsWith(`${name}-`) &&
      /^\d{6,}\.tar(?:\.gz|\.zst)?$/.test(file.slice(name.length + 1)),
  );
  if (old.length > 0 && !force)
    throw new StreamError(
      "BAD_OPTION",
      `${out} holds ${old.sort()[0]} already: --force takes away all shards of that name`,
    );
  return old;
}

async function* entriesOf(
  folder: string,
  found: Listing,
  samples: readonly Packing[],
  signal: AbortSignal | undefined,
): AsyncGenerator<Entry, void, undefined> {
  const pace = createPace();
  for (const { index, name, json } of samples) {
    checkAbort(folder, signal);
    const file = found.name(index);
    const known = { size: found.sizes[index] as number, time: found.times[index] as number };
    yield { name, data: await readFile(join(folder, file), file, known, pace) };
    if (json) yield json;
  }
}

/** On the disk when it resolves. */
async function writeWhole(
  path: string,
  bytes: AsyncIterable<Uint8Array>,
): Promise<{ readonly bytes: number; readonly sha256: string }> {
  const hash = createHash("sha256");
  const file = await open(path, "wx");
  let length = 0;
  try {
    for await (const piece of inPieces(bytes)) {
      hash.update(piece);
      for (let done = 0; done < piece.length;) done += (await file.write(piece, done)).bytesWritten;
      length += piece.length;
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return { bytes: length, sha256: hash.digest("hex") };
}
