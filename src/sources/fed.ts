import { StreamError } from "../errors.ts";
import type { Feed, Shard } from "../shards/feed.ts";
import { checkAbort } from "../shards/scan.ts";
import { findText, infoOf, mapList } from "./listing.ts";
import { once } from "./local-files.ts";
import type { List, ShardInfo, Source } from "./source.ts";
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
  /** Its rows, from reading it through without keeping anything. */
  readonly tally?: (signal?: AbortSignal) => Promise<number>;
}

/** What is told of a shard when it is listed. */
export interface Listed extends Omit<ShardInfo, "hash"> {
  readonly hash?: string | undefined;
}

export interface FedOptions<Item extends Listed> {
  readonly supplies: Supplies;
  /** Everything else that decides the rows: form, row options. */
  readonly form: string;
  /** As Source.cheap and Source.countable. */
  readonly cheap: boolean;
  readonly countable: boolean;
  /** Asked for once, if it does not reject. */
  readonly list: (signal?: AbortSignal) => Promise<List<Item>>;
  /** What is listed, to be read. Made anew whenever it is needed: of a hundred thousand shards only a few are. */
  readonly file: (item: Item) => FedFile;
}

/** Shards that can only be read from beginning to end; their rows are kept in a store. */
export function createFedSource<Item extends Listed>(
  address: string,
  { supplies, form, cheap, countable, list, file: makeFile }: FedOptions<Item>,
): Source {
  let known: List<Item> = [];
  let asked: ((shard: number) => number) | undefined;
  const listing = once(list);
  const listed = async (signal?: AbortSignal): Promise<List<Item>> =>
    (known = await listing(signal));

  async function fileOf(shard: number): Promise<FedFile> {
    const files = await listed();
    const item = files.at(shard);
    if (!item) throw new StreamError("INTERNAL", `${address}: shard ${shard} of ${files.length}`);
    return makeFile(item);
  }

  const idOf = ({ identity }: FedFile): string => `${form} ${identity}`;

  async function count(shard: number, signal?: AbortSignal): Promise<number | undefined> {
    checkAbort(address, signal);
    const file = await fileOf(shard);
    if (file.local) return undefined;
    const kept = await supplies.store();
    return (await kept.rows(idOf(file))) ?? file.count?.(signal);
  }

  return {
    address,
    cheap,
    countable,
    inPlace: false,
    async list(signal) {
      checkAbort(address, signal);
      return mapList(await listed(signal), infoOf);
    },
    async open(shard, signal) {
      checkAbort(address, signal);
      const file = await fileOf(shard);
      if (file.local) return file.local(signal);
      return (await supplies.store()).open(idOf(file), file.name, file.feed, signal);
    },
    count,
    async tally(shard, signal) {
      return (await count(shard, signal)) ?? (await fileOf(shard)).tally?.(signal);
    },
    kept(shard) {
      const item = known.at(shard);
      return item && !makeFile(item).local ? item.size : 0;
    },
    needs(rank) {
      const before = asked;
      asked = rank;
      if (before) return;
      const told = listed().then((files) => {
        const find = findText(mapList(files, (item) => idOf(makeFile(item))));
        supplies.needs((id) => {
          const at = find(id);
          return at === undefined ? undefined : asked?.(at);
        });
      });
      told.catch(() => undefined); // whoever lists is told
    },
  };
}
