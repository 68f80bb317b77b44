import type { Store, StoreCounts } from "./cache/store.ts";
import type { Clock } from "./net/clock.ts";
import type { Net } from "./net/net.ts";
import type { Notify } from "./notice.ts";
import { sourcesOf, type SourceOptions } from "./options.ts";
import type { NetworkCounts } from "./statistics.ts";
import { openSource } from "./sources/open.ts";
import { joinSources, type JoinedSource } from "./sources/joined.ts";
import { createSupplies } from "./sources/supplies.ts";

export interface Origin {
  /** All sources as one. */
  readonly source: JoinedSource;
  /** What was decided that the user did not say, for people. */
  readonly notes: readonly string[];
  /** What was asked of servers so far; undefined where none was. */
  network(): NetworkCounts | undefined;
  /** Of what is kept; undefined where nothing had to be. */
  cache(): StoreCounts | undefined;
  close(): Promise<void>;
}

export interface OriginOptions extends SourceOptions {
  /** Order of the files of an image folder, by the number of its source: a permutation of 0 .. count - 1. */
  readonly order?: (count: number, source: number) => Uint32Array;
  /** Given, before any server is asked for anything, what Origin.network will be: opening alone may take long. */
  readonly watch?: (network: () => NetworkCounts | undefined) => void;
  readonly notify?: Notify;
  /** Of the network's pauses. */
  readonly clock?: Clock;
}

/** Opens what the options name, with one network and one store for all of it. Rejects as openSource does. */
export async function openOrigin(options: OriginOptions): Promise<Origin> {
  const { order, clock, notify, groupField: group, imageField: image } = options;
  // Imported when a source needs them: local shards must not wait for HTTP.
  let net: Net | undefined;
  let reason: string | undefined;
  let waited = 0;
  let store: Store | undefined;
  const network = (): NetworkCounts | undefined =>
    net && { ...net.counts, waited, ...(reason !== undefined && { reason }) };
  options.watch?.(network);
  const notes: string[] = [];
  const supplies = createSupplies({
    note: (text) => void notes.push(text),
    ...(options.cache !== "none" && { folder: options.cache }),
    async net() {
      const { createNet } = await import("./net/create.ts");
      const { hubToken } = await import("./sources/hub-env.ts");
      const token = await hubToken(process.env);
      const made = createNet({
        requests: options.requests,
        budget: options.retryFor * 1000,
        onRetry(retry) {
          reason = `${retry.host}: ${retry.reason}`;
          waited += retry.wait;
          notify?.({ kind: "retry", ...retry });
        },
        ...(token && { token }),
        ...(clock && { clock }),
      });
      net = made;
      return made;
    },
    async store() {
      if (options.cache === "none") {
        const { createMemoryStore } = await import("./cache/memory.ts");
        store = createMemoryStore({ limit: options.memoryLimit, ...(notify && { notify }) });
        return store;
      }
      const { createDiskStore } = await import("./cache/disk.ts");
      store = await createDiskStore({
        folder: options.cache,
        size: options.cacheSize,
        whenFull: options.whenFull,
        memoryLimit: options.memoryLimit,
        ...(notify && {
          notify,
          log: (message: string) => notify({ kind: "cache", message }),
        }),
      });
      return store;
    },
  });
  try {
    const sources = await Promise.all(
      sourcesOf(options).map((address, at) =>
        openSource(address, {
          supplies,
          group,
          ...(image !== undefined && { image }),
          ...(order && { order: (count: number) => order(count, at) }),
        }),
      ),
    );
    return {
      source: joinSources(sources),
      notes,
      network,
      cache: () => store?.counts(),
      close: () => supplies.close(),
    };
  } catch (error) {
    await supplies.close();
    throw error;
  }
}
