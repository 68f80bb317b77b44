import { stat } from "node:fs/promises";
import { StreamError } from "../errors.ts";
import { changed, openFile, reasonOf } from "../shards/bytes.ts";
import type { RowOptions } from "../shards/feed.ts";
import { createPace } from "../shards/pace.ts";
import { checkAbort } from "../shards/scan.ts";
import { openTar } from "./tar-shard.ts";
import type { ShardInfo, Source } from "./source.ts";

export interface TarFile {
  /** Logical name. */
  readonly name: string;
  readonly path: string;
}

/** Local tar files, in the order given. Sizes and times are those of the first list(): a file that differs later is SHARD_CORRUPT. */
export function createTarsSource(
  address: string,
  files: readonly TarFile[],
  options: RowOptions = {},
): Source {
  const pace = createPace();
  let listing: Promise<readonly (ShardInfo & { readonly time: number })[]> | undefined;
  const listed = (): Promise<readonly (ShardInfo & { readonly time: number })[]> => {
    listing ??= Promise.all(files.map(describe)).catch((error: unknown) => {
      listing = undefined;
      throw error;
    });
    return listing;
  };
  return {
    address,
    cheap: true,
    countable: true,
    inPlace: true,
    async list(signal) {
      checkAbort(address, signal);
      return (await listed()).map(({ name, size }) => ({ name, size }));
    },
    async open(shard, signal) {
      checkAbort(address, signal);
      const info = (await listed())[shard];
      const file = files[shard];
      if (!info || !file)
        throw new StreamError("INTERNAL", `${address}: shard ${shard} of ${files.length}`);
      const source = await openFile(file.path, file.name, pace);
      if (source.size !== info.size || source.time !== info.time) {
        await source.close();
        throw changed(file.name);
      }
      return openTar(source, file.name, { ...options, ...(signal && { signal }) });
    },
  };
}

async function describe({ name, path }: TarFile): Promise<ShardInfo & { readonly time: number }> {
  try {
    const { size, mtimeMs } = await stat(path);
    return { name, size, time: mtimeMs };
  } catch (cause) {
    throw new StreamError("SOURCE_NOT_FOUND", `${name}: ${reasonOf(cause)}`, {
      cause,
      context: { shard: name },
    });
  }
}
