import type { ResolvedOptions } from "./options.ts";
import type { Problem } from "./shards/notes.ts";
import { createCatalog, type Catalog } from "./sources/catalog.ts";
import { createCountsKeeper, readCounts } from "./sources/counts.ts";
import type { Source } from "./sources/source.ts";

/** Shards counted between two writes of what was learnt; the rest is written at the end. */
const OFTEN = 32;

/** The catalog of a source with the counts that are known already, from the user's file and from earlier streams; what is learnt is kept for later ones. */
export async function openCatalog(
  { counts, imageField, cache }: Pick<ResolvedOptions, "counts" | "imageField" | "cache">,
  source: Source,
  onProblem?: (problem: Problem) => void,
): Promise<Catalog> {
  const keeper =
    cache === "none" || source.cheap ? undefined : createCountsKeeper(cache, imageField);
  let learnt = 0;
  let writing = Promise.resolve();
  const write = (): void => {
    learnt = 0;
    if (keeper)
      writing = writing.then(() => keeper.keep(catalog.list, (shard) => catalog.rows(shard)));
  };
  const catalog = await createCatalog(source, {
    async counts(list) {
      const earlier = (await keeper?.learnt(list)) ?? new Map<number, number>();
      if (counts === undefined) return earlier;
      return new Map([...earlier, ...readCounts(counts, list, imageField)]);
    },
    ...(onProblem && { onProblem }),
    onCount() {
      if (++learnt === OFTEN) write();
    },
  });
  return {
    ...catalog,
    async close() {
      await catalog.close();
      if (learnt > 0) write();
      await writing;
    },
  };
}
