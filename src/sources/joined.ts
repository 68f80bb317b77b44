import { StreamError } from "../errors.ts";
import { joinLists, mapList } from "./listing.ts";
import type { List, ShardInfo, Source } from "./source.ts";

/** Several sources as one: their shards follow one another, each name behind the number of its source. */
export interface JoinedSource extends Source {
  /** Shards of each source, in the order of the sources. */
  lengths(signal?: AbortSignal): Promise<readonly number[]>;
}

/** One source alone keeps its names. */
export function joinSources(sources: readonly Source[]): JoinedSource {
  const [only] = sources;
  if (only && sources.length === 1)
    return { ...only, lengths: async (signal) => [(await only.list(signal)).length] };
  let starts: number[] = [];
  let listing: Promise<readonly List<ShardInfo>[]> | undefined;

  async function lists(signal: AbortSignal | undefined): Promise<readonly List<ShardInfo>[]> {
    listing ??= Promise.all(sources.map((source) => source.list(signal)));
    try {
      const found = await listing;
      let next = 0;
      starts = found.map(({ length }) => (next += length) - length);
      return found;
    } catch (error) {
      listing = undefined;
      throw error;
    }
  }

  /** The source that holds a shard, and its ordinal there. */
  async function place(shard: number): Promise<{ source: Source; own: number }> {
    await lists(undefined);
    const at = starts.findLastIndex((start) => start <= shard);
    const source = sources[at];
    if (!source || !Number.isInteger(shard))
      throw new StreamError("INTERNAL", `shard ${shard} of several sources`);
    return { source, own: shard - starts[at]! };
  }

  return {
    address: sources.map(({ address }) => address).join(" + "),
    cheap: sources.every(({ cheap }) => cheap),
    countable: sources.every(({ countable }) => countable),
    inPlace: sources.every(({ inPlace }) => inPlace),
    async lengths(signal) {
      return (await lists(signal)).map(({ length }) => length);
    },
    async list(signal) {
      const found = await lists(signal);
      return joinLists(
        found.map((list, at) =>
          mapList(list, (info) => ({ ...info, name: `${at + 1}:${info.name}` })),
        ),
      );
    },
    async open(shard, signal) {
      const { source, own } = await place(shard);
      return source.open(own, signal);
    },
    async count(shard, signal) {
      const { source, own } = await place(shard);
      return source.count?.(own, signal);
    },
    async tally(shard, signal) {
      const { source, own } = await place(shard);
      return source.tally?.(own, signal);
    },
    kept(shard) {
      const at = starts.findLastIndex((start) => start <= shard);
      return sources[at]?.kept?.(shard - starts[at]!) ?? 0;
    },
    needs(rank) {
      for (const [at, source] of sources.entries())
        source.needs?.((shard) => rank((starts[at] ?? 0) + shard));
    },
  };
}
