import type { Clock } from "./net/clock.ts";
import type { Net } from "./net/net.ts";
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
  close(): Promise<void>;
}

export interface OriginOptions extends SourceOptions {
  /** Order of the files of an image folder, by the number of its source: a permutation of 0 .. count - 1. */
  readonly order?: (count: number, source: number) => Uint32Array;
  /** Given, before any server is asked for anything, what Origin.network will be: opening alone may take long. */
  readonly watch?: (network: () => NetworkCounts | undefined) => void;
  /** Of the network's pauses. */
  readonly clock?: Clock;
}

/** Opens what the options name, with one network and one store for all of it. Rejects as openSource does. */
export async function openOrigin(options: OriginOptions): Promise<Origin> {
  const { order, clock, groupField: group, imageField: image } = options;
  // Imported when a source needs them: local shards must not wait for HTTP.
  let net: Net | undefined;
  let reason: string | undefined;
  const network = (): NetworkCounts | undefined =>
    net && { ...net.counts, ...(reason !== undefined && { reason }) };
  options.watch?.(network);
  const notes: string[] = [];
  const supplies = createSupplies({
    note: (text) => void notes.push(text),
    async net() {
      const { createNet } = await import("./net/create.ts");
      const { hubToken } = await import("./sources/hub-env.ts");
      const token = await hubToken(process.env);
      const made = createNet({
        requests: options.requests,
        budget: options.retryFor * 1000,
        onRetry: (retry) => (reason = `${retry.host}: ${retry.reason}`),
        ...(token && { token }),
        ...(clock && { clock }),
      });
      net = made;
      return made;
    },
    async store() {
      if (options.cache === "none") {
        const { createMemoryStore } = await import("./cache/memory.ts");
        return createMemoryStore({ limit: options.memoryLimit });
      }
      const { createDiskStore } = await import("./cache/disk.ts");
      return createDiskStore({
        folder: options.cache,
        size: options.cacheSize,
        whenFull: options.whenFull,
        memoryLimit: options.memoryLimit,
      });
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
      close: () => supplies.close(),
    };
  } catch (error) {
    await supplies.close();
    throw error;
  }
}
