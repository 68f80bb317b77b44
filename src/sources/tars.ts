import { StreamError } from "../errors.ts";
import { changed, openFile } from "../shards/bytes.ts";
import type { RowOptions } from "../shards/feed.ts";
import { createPace } from "../shards/pace.ts";
import { checkAbort } from "../shards/scan.ts";
import { infoOf, mapList } from "./listing.ts";
import { openLocalTar } from "./local-tar.ts";
import { once, statFiles, type LocalFile } from "./local-files.ts";
import type { Source } from "./source.ts";
import type { Supplies } from "./supplies.ts";

/** Local tar files, in the order given. Sizes and times are those of the first list(): a file that differs later is SHARD_CORRUPT. */
export function createTarsSource(
  address: string,
  files: readonly LocalFile[],
  options: RowOptions = {},
  supplies?: Supplies,
): Source {
  const pace = createPace();
  const listed = once(statFiles(files));
  return {
    address,
    cheap: true,
    countable: true,
    inPlace: true,
    async list(signal) {
      checkAbort(address, signal);
      return mapList(await listed(), infoOf);
    },
    async open(shard, signal) {
      checkAbort(address, signal);
      const list = await listed();
      const file = list.at(shard);
      if (!file) throw new StreamError("INTERNAL", `${address}: shard ${shard} of ${list.length}`);
      const source = await openFile(file.path, file.name, pace);
      if (source.size !== file.size || source.time !== file.time) {
        await source.close();
        throw changed(file.name);
      }
      const how = { ...options, ...(signal && { signal }) };
      return openLocalTar({ ...source, path: file.path }, file.name, how, { supplies, pace });
    },
  };
}
