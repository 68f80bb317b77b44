import { StreamError } from "../errors.ts";
import type { Feed, Shard } from "../shards/feed.ts";
import { checkAbort } from "../shards/scan.ts";
import type { ShardInfo, Source } from "./source.ts";
import type { Supplies } from "./supplies.ts";

/** One shard of a fed source. */
export interface FedFile extends ShardInfo {
  /** What decides its bytes: hash or ETag, or path with size and time. */
  readonly identity: string;
  /** The shard itself where it can be read in any order as it is: a tar in the cache of another program. */
  readonly local?: (signal?: AbortSignal) => Promise<Shard>;
  readonly feed: () => Promise<Feed>;
  /** Its rows, without reading the images. */
  readonly count?: (signal?: AbortSignal) => Promise<number>;
}

export interface FedOptions {
  readonly supplies: Supplies;
  /** Everything else that decides the rows: form, row options. */
  readonly form: string;
  readonly list: (signal?: AbortSignal) => Promise<readonly FedFile[]>;
}

/** Shards that can only be read from beginning to end; their rows are kept in a store. */
export function createFedSource(address: string, { supplies, form, list }: FedOptions): Source {
  let listing: Promise<readonly FedFile[]> | undefined;
  let asked: ((shard: number) => number) | undefined;

  function listed(signal?: AbortSignal): Promise<readonly FedFile[]> {
    listing ??= list(signal).catch((error: unknown) => {
      listing = undefined;
      throw error;
    });
    return listing;
  }

  async function fileOf(shard: number): Promise<FedFile> {
    const files = await listed();
    const file = files[shard];
    if (!file) throw new StreamError("INTERNAL", `${address}: shard ${shard} of ${files.length}`);
    return file;
  }

  const idOf = ({ identity }: FedFile): string => `${form} ${identity}`;

  return {
    address,
    cheap: false,
    async list(signal) {
      checkAbort(address, signal);
      return (await listed(signal)).map(({ name, size, hash }) => ({
        name,
        size,
        ...(hash !== undefined && { hash }),
      }));
    },
    async open(shard, signal) {
      checkAbort(address, signal);
      const file = await fileOf(shard);
      if (file.local) return file.local(signal);
      return (await supplies.store()).open(idOf(file), file.name, file.feed, signal);
    },
    async count(shard, signal) {
      checkAbort(address, signal);
      const file = await fileOf(shard);
      if (file.local) return undefined;
      const kept = await supplies.store();
      return (await kept.rows(idOf(file))) ?? file.count?.(signal);
    },
    needs(rank) {
      const before = asked;
      asked = rank;
      if (before) return;
      const known = listed().then((files) => {
        const ordinals = new Map(files.map((file, at) => [idOf(file), at]));
        supplies.needs((id) => {
          const at = ordinals.get(id);
          return at === undefined ? undefined : asked?.(at);
        });
      });
      known.catch(() => undefined); // whoever lists is told
    },
  };
}
