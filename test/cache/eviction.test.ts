import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { createDiskStore } from "../../src/cache/disk.ts";
import { createMemoryStore } from "../../src/cache/memory.ts";
import type { Store } from "../../src/cache/store.ts";
import type { Row, Shard } from "../../src/shards/feed.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { noise, testFeed } from "./feeds.ts";

const BYTES = 10_000;

/** Ten rows of 10 kB. */
const rowsOf = (id: string): Row[] =>
  Array.from({ length: 10 }, (_, row) => ({
    key: `${id}${row}`,
    group: "",
    name: "a.jpg",
    bytes: noise(BYTES, row),
  }));

async function load(store: Store, id: string): Promise<Shard> {
  const shard = await store.open(id, `shard ${id}`, testFeed(rowsOf(id)).make);
  await shard.counted(Number.POSITIVE_INFINITY);
  return shard;
}

async function put(store: Store, ...ids: string[]): Promise<void> {
  for (const id of ids) await (await load(store, id)).close();
}

async function there(store: Store, ids: string): Promise<string> {
  const found: string[] = [];
  for (const id of ids) if ((await store.rows(id)) !== undefined) found.push(id);
  return found.join("");
}

const order = "abcdefghij";
const later = (id: string): number => {
  const at = order.indexOf(id);
  return at < 0 ? Number.POSITIVE_INFINITY : at;
};

/** Room for three shards and a half. */
const ROOM = 350_000;
const folders: string[] = [];
const disk = async (folder = temporaryFolder(), size = ROOM): Promise<Store> => {
  folders[0] = folder;
  const store = await createDiskStore({ folder, size });
  onTestFinished(() => store.close());
  return store;
};
const memory = async (): Promise<Store> => {
  const store = createMemoryStore({ limit: ROOM });
  onTestFinished(() => store.close());
  return store;
};

for (const [what, make, code] of [
  ["disk", disk, "CACHE"],
  ["memory", memory, "LIMIT"],
] as const)
  describe(`${what}: when room is short`, () => {
    test("what is needed last goes first, what is never needed before that", async () => {
      const store = await make();
      store.needs(later);
      await put(store, "b", "c", "x");
      await put(store, "a");
      expect(await there(store, "abcx")).toBe("abc");
      await put(store, "d");
      expect(await there(store, "abcd")).toBe("abd");
      store.needs((id) => -later(id));
      await put(store, "e");
      expect(await there(store, "abde")).toBe("bde");
    });

    test("without an order: what was not used for longest", async () => {
      const store = await make();
      // the file system's clock may go in steps of milliseconds
      const rest = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 15));
      for (const id of "abc") {
        await put(store, id);
        await rest();
      }
      await put(store, "a");
      await rest();
      await put(store, "d");
      expect(await there(store, "abcd")).toBe("acd");
    });

    test("never what is open, which alone may be too much: an error with the figures", async () => {
      const store = await make();
      store.needs(later);
      const open = [await load(store, "h"), await load(store, "i")];
      await put(store, "a", "b");
      expect(await there(store, "abhi")).toBe("bhi");
      open.push(await load(store, "c"));
      expect(await there(store, "bchi")).toBe("chi");
      const shard = await store.open("d", "shard d", testFeed(rowsOf("d")).make);
      const failed = await shard.counted(10).catch((error: unknown) => error as Error);
      expect(failed).toMatchObject({ code, context: { shard: "shard d" } });
      expect((failed as Error).message).toMatch(/^shard d: no room .*\b350000 bytes/);
      await shard.close();
      for (const [at, one] of open.entries()) {
        expect(await one.read(9)).toEqual(rowsOf("hic"[at]!)[9]);
        await one.close();
      }
      await put(store, "d");
      expect(await there(store, "cdhi")).toBe("cdh");
    });

    test("what nobody waits for makes way for what somebody does", async () => {
      const store = await make();
      store.needs(later);
      const slow = ["g", "h", "i"].map((id) => testFeed(rowsOf(id), { free: false }));
      for (const [at, id] of ["g", "h", "i"].entries()) {
        const shard = await store.open(id, id, slow[at]!.make);
        slow[at]!.allow(9);
        await shard.counted(9);
        await shard.close();
      }
      const shards = [await load(store, "a"), await load(store, "b")];
      expect(await shards[1]!.read(9)).toEqual(rowsOf("b")[9]);
      expect(slow.map(({ seen }) => seen.running)).toEqual([1, 0, 0]);
      // and does not push out what is needed sooner
      const open = await load(store, "c");
      await put(store, "a", "b");
      const unwatched = testFeed(rowsOf("f"), { free: false });
      await (await store.open("f", "f", unwatched.make)).close();
      unwatched.allow(99);
      await expect.poll(() => unwatched.seen.running).toBe(0);
      expect(unwatched.seen.ended).toBe(0);
      expect(await there(store, "abcf")).toBe("abc");
      for (const one of [...shards, open]) await one.close();
    });

    test("a hundred shards in any order with three open at a time: right rows, within the bound", async () => {
      const store = await make();
      store.needs((id) => later(id[0]!) + Number(id.slice(1)));
      const folder = folders[0]!;
      let [state, most] = [1, 0];
      const random = (below: number): number => {
        state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
        return Math.floor((state / 2 ** 32) * below);
      };
      const reader = async (): Promise<void> => {
        for (let count = 0; count < 33; count++) {
          const id = `${order[random(10)]}${random(3)}`;
          const feed = testFeed(rowsOf(id), { counted: random(2) === 0 });
          const shard = await store.open(id, id, feed.make);
          const row = random(10);
          await shard.counted(row + 1);
          expect(await shard.read(row)).toEqual(rowsOf(id)[row]);
          if (what === "disk") most = Math.max(most, sizeOf(folder));
          await shard.close();
        }
      };
      await Promise.all([reader(), reader(), reader()]);
      if (what === "disk") {
        expect(most).toBeGreaterThan(200_000);
        expect(most).toBeLessThanOrEqual(ROOM);
      }
    });
  });

const sizeOf = (folder: string): number =>
  readdirSync(folder, { withFileTypes: true })
    .filter((one) => one.isFile())
    .reduce((sum, { name }) => {
      const found = statSync(join(folder, name), { throwIfNoEntry: false });
      return sum + (found?.size ?? 0);
    }, 0);

test("memory that was freed is used again: the process does not grow", async () => {
  const store = createMemoryStore({ limit: 20e6 });
  const big = Array.from({ length: 30 }, (_, row) => ({
    key: `${row}`,
    group: "",
    name: "a.jpg",
    bytes: new Uint8Array(200_000).fill(row),
  }));
  const fill = async (from: number, to: number): Promise<void> => {
    for (let id = from; id < to; id++) {
      const shard = await store.open(`${id}`, "one", testFeed(big).make);
      await shard.counted(Number.POSITIVE_INFINITY);
      expect((await shard.read(id % 30)).bytes[199_999]).toBe(id % 30);
      await shard.close();
    }
  };
  await fill(0, 20);
  const before = process.memoryUsage().arrayBuffers;
  await fill(20, 120);
  // what the feed made may not be collected yet; a hundred shards would be 600 MB
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(200e6);
  await store.close();
});

describe("disk: a folder that was used before", () => {
  test("is cut down to the size", async () => {
    const folder = temporaryFolder();
    const first = await disk(folder);
    await put(first, "a", "b", "c");
    await first.close();
    const second = await disk(folder, 220_000);
    expect(await there(second, "abc")).toHaveLength(2);
    expect(sizeOf(folder)).toBeLessThanOrEqual(220_000);
  });

  test("knows the order of shards that another process stored", async () => {
    const folder = temporaryFolder();
    const first = await disk(folder);
    await put(first, "c", "x", "a");
    const second = await disk(folder);
    second.needs(later);
    await put(second, "b");
    expect(await there(second, "abcx")).toBe("abc");
    await put(second, "d");
    expect(await there(second, "abcd")).toBe("abd");
  });

  test("keeps what another store has open, and says that there is no room", async () => {
    const folder = temporaryFolder();
    const [first, second] = [await disk(folder), await disk(folder)];
    const open = [await load(first, "x"), await load(first, "y"), await load(first, "z")];
    const shard = await second.open("a", "one", testFeed(rowsOf("a")).make);
    await expect(shard.counted(9)).rejects.toMatchObject({ code: "CACHE" });
    await shard.close();
    await open[1]!.close();
    await put(second, "a");
    expect(await there(second, "axyz")).toBe("axz");
    await first.close();
    await put(second, "b", "c");
    expect(sizeOf(folder)).toBeLessThanOrEqual(ROOM);
  });
});
