import { expect, onTestFinished, test } from "vitest";
import { createDiskStore } from "../../src/cache/disk.ts";
import { createMemoryStore } from "../../src/cache/memory.ts";
import type { Store } from "../../src/cache/store.ts";
import type { Notice, Notify } from "../../src/notice.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { noise, testFeed } from "./feeds.ts";

/** Room for three shards of ten rows of 10 kB and a half. */
const ROOM = 350_000;

const feed = (): ReturnType<typeof testFeed> =>
  testFeed(
    Array.from({ length: 10 }, (_, row) => ({
      key: String(row),
      group: "",
      name: "a.jpg",
      bytes: noise(10_000, row),
    })),
  );

async function use(store: Store, id: string): Promise<void> {
  const shard = await store.open(id, `shard ${id}`, feed().make);
  await shard.counted(Number.POSITIVE_INFINITY);
  await shard.close();
}

const makes: { readonly [kind in "disk" | "memory"]: (notify: Notify) => Store | Promise<Store> } =
  {
    disk: (notify) => createDiskStore({ folder: temporaryFolder(), size: ROOM, notify }),
    memory: (notify) => createMemoryStore({ limit: ROOM, notify }),
  };

for (const kind of ["disk", "memory"] as const)
  test(`${kind}: hits, misses, bytes held, and what made room for others`, async () => {
    const told: Notice[] = [];
    const store = await makes[kind]((notice) => told.push(notice));
    onTestFinished(() => store.close());
    expect(store.counts()).toEqual({
      kind,
      hits: 0,
      misses: 0,
      evictions: 0,
      evictedBytes: 0,
      bytes: 0,
      limit: ROOM,
    });
    for (const id of ["a", "b", "c", "a", "c"]) await use(store, id);
    expect(store.counts()).toMatchObject({ hits: 2, misses: 3, evictions: 0 });
    const { bytes } = store.counts();
    expect(bytes).toBeGreaterThanOrEqual(300_000);
    expect(bytes).toBeLessThanOrEqual(ROOM);
    expect(told).toEqual([]);
    await use(store, "d");
    const after = store.counts();
    expect(after).toMatchObject({ hits: 2, misses: 4, evictions: 1 });
    expect(after.evictedBytes).toBeGreaterThanOrEqual(100_000);
    expect(after.evictedBytes).toBeLessThan(120_000);
    expect(told).toEqual([{ kind: "evicted", shards: 1, bytes: after.evictedBytes }]);
    expect(after.bytes).toBeLessThanOrEqual(ROOM);
    await use(store, "d");
    expect(store.counts().hits).toBe(3);
  });
