import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { createDiskStore, type DiskStoreOptions } from "../../src/cache/disk.ts";
import type { Store } from "../../src/cache/store.ts";
import type { Row } from "../../src/shards/feed.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { noise, testFeed } from "./feeds.ts";

/** Six rows, 600 kB. */
const rowsOf = (id: string): Row[] =>
  Array.from({ length: 6 }, (_, row) => ({
    key: `${id}${row}`,
    group: "",
    name: "a.jpg",
    bytes: noise(100_000, row + id.charCodeAt(0)),
  }));

const read = async (store: Store, id: string): Promise<void> => {
  const rows = rowsOf(id);
  const shard = await store.open(id, `shard ${id}`, testFeed(rows).make);
  try {
    await shard.counted(Number.POSITIVE_INFINITY);
    for (const [row, right] of rows.entries()) expect(await shard.read(row)).toEqual(right);
  } finally {
    await shard.close();
  }
};

/** Undefined where this process may not mount anything. */
function smallDisk(): string | undefined {
  const folder = temporaryFolder();
  const mounted = spawnSync("bash", ["-c", `mount -t tmpfs -o size=1600k tmpfs ${folder}`]);
  if (mounted.status !== 0) return undefined;
  onTestFinished(() => void execFileSync("bash", ["-c", `umount --lazy ${folder}`]));
  return folder;
}

/** A disk of 1.6 MB for a cache that may take 100 where that can be had; the same through a limit on file sizes is below. */
async function onSmallDisk(
  work: (
    folder: string,
    open: (more?: Partial<DiskStoreOptions>) => Promise<Store>,
  ) => Promise<void>,
): Promise<void> {
  const folder = smallDisk();
  if (folder === undefined) return;
  const stores: Store[] = [];
  try {
    await work(folder, async (more = {}) => {
      const store = await createDiskStore({ folder, size: 100e6, ...more });
      stores.push(store);
      return store;
    });
  } finally {
    for (const store of stores) await store.close();
  }
}

describe("a full disk", () => {
  test("what is not open goes, although the cache might hold more", () =>
    onSmallDisk(async (folder, open) => {
      const store = await open();
      for (const id of ["a", "b", "c", "d", "b", "a"]) await read(store, id);
      expect(readdirSync(folder).filter((name) => name.endsWith(".rows"))).toHaveLength(2);
    }));

  test("what is open at one time does not fit: an error with the figures, and what is there can be read", () =>
    onSmallDisk(async (folder, open) => {
      const store = await open();
      const shards = [];
      for (const id of ["a", "b"]) {
        const shard = await store.open(id, id, testFeed(rowsOf(id)).make);
        await shard.counted(Number.POSITIVE_INFINITY);
        shards.push(shard);
      }
      const third = await store.open("c", "shard c", testFeed(rowsOf("c")).make);
      const failed = (await third.counted(6).catch((error: unknown) => error)) as Error;
      expect(failed).toMatchObject({ code: "CACHE", context: { shard: "shard c" } });
      expect(failed.message).toMatch(
        /^shard c: the cache's disk is full \(ENOSPC\): \d+ bytes are left, \d+ needed; the cache holds \d+ of the 100000000 bytes/,
      );
      expect(failed.message).not.toContain(folder);
      expect(String(failed.cause)).toContain(folder);
      await third.close();
      for (const shard of shards) {
        expect((await shard.read(5)).bytes).toHaveLength(100_000);
        await shard.close();
      }
      await read(store, "c");
      await store.close();
      const left = readdirSync(folder, { recursive: true, encoding: "utf8" });
      expect(left.filter((name) => !name.endsWith(".rows")).sort()).toEqual(["locks", "users"]);
    }));

  test("whenFull memory: the rest is kept there while it is open, up to the limit", () =>
    onSmallDisk(async (_, open) => {
      const said: string[] = [];
      const log = (line: string): void => void said.push(line);
      const store = await open({ whenFull: "memory", memoryLimit: 700_000, log });
      const open2 = ["a", "b"].map((id) => store.open(id, id, testFeed(rowsOf(id)).make));
      for (const shard of await Promise.all(open2)) await shard.counted(Number.POSITIVE_INFINITY);
      await read(store, "c");
      await read(store, "d");
      expect(said).toEqual(
        ["c", "d"].map((id) =>
          expect.stringMatching(`^shard ${id}: .*ENOSPC.*; the rest of it is kept in memory$`),
        ),
      );
      expect(await store.rows("c")).toBeUndefined();
      const c = await store.open("c", "c", testFeed(rowsOf("c")).make);
      await c.counted(Number.POSITIVE_INFINITY);
      await expect(read(store, "d")).rejects.toMatchObject({ code: "CACHE" });
      expect(await c.read(5)).toEqual(rowsOf("c")[5]);
    }));

  test("a new process finds a place although its cache has filled the disk", () =>
    onSmallDisk(async (folder, open) => {
      const first = await open();
      await read(first, "a");
      await read(first, "b");
      await first.close();
      let left = 1 << 20;
      for (let file = 0; left >= 1; file++) {
        try {
          writeFileSync(join(folder, `other-${file}`), new Uint8Array(left));
        } catch {
          left = Math.floor(left / 2);
        }
      }
      await read(await open(), "b");
    }));
});

test("a limit on the size of files: an error, or memory", () => {
  const script = fileURLToPath(new URL("limited.ts", import.meta.url));
  const run = (how: string): unknown =>
    JSON.parse(
      execFileSync(
        "bash",
        ["-c", `ulimit -f 300; exec "$0" "$@"`, process.execPath, script, temporaryFolder(), how],
        {
          encoding: "utf8",
        },
      ),
    );
  expect(run("error")).toEqual({
    code: "CACHE",
    message: expect.stringMatching(/^one: the cache's disk is full \(EFBIG\)/) as unknown,
    left: ["locks", "users"],
  });
  expect(run("memory")).toEqual({ right: 6, said: 1, left: ["locks", "users"] });
});

describe("a folder that can't be used", () => {
  test("a file is in its place", async () => {
    const folder = join(temporaryFolder({ file: "" }), "file");
    await expect(createDiskStore({ folder, size: 1e6 })).rejects.toMatchObject({
      code: "CACHE",
      message: expect.not.stringContaining(folder) as unknown,
    });
  });

  test("it is taken away in the midst of it", async () => {
    const folder = temporaryFolder();
    const store = await createDiskStore({ folder, size: 10e6 });
    execFileSync("rm", ["-r", folder]);
    const opening = store.open("a", "a", testFeed(rowsOf("a")).make);
    await expect(opening).rejects.toMatchObject({ code: "CACHE" });
    await store.close();
  });
});
