import { execFileSync, spawnSync } from "node:child_process";
import type * as fs from "node:fs";
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { createDiskStore, type DiskStoreOptions } from "../../src/cache/disk.ts";
import type { Store } from "../../src/cache/store.ts";
import type { StreamError } from "../../src/errors.ts";
import type { Row } from "../../src/shards/feed.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { noise, testFeed } from "./feeds.ts";
import { insertDisk } from "./small-disk.ts";

vi.mock(import("node:fs"), async (original) => {
  const real = await original();
  const { onDisk } = await import("./small-disk.ts");
  return { ...real, ...onDisk(real).sync };
});
vi.mock(import("node:fs/promises"), async (original) => {
  const real = await original();
  const { onDisk } = await import("./small-disk.ts");
  return { ...real, ...onDisk(await vi.importActual<typeof fs>("node:fs")).promises };
});

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

/** For a cache that may take 100 MB. Bytes. */
const SIZE = 1_600 << 10;

const shell = (command: string, folder: string): boolean =>
  spawnSync("bash", ["-c", command, folder]).status === 0;
/** False where this process may not mount anything. */
const mountAt = (folder: string): boolean =>
  shell(`mount -t tmpfs -o size=${SIZE} tmpfs "$0"`, folder);
const unmount = (folder: string): void => {
  if (!shell('umount --lazy "$0"', folder)) throw new Error(`${folder} stays mounted`);
};

function mayMount(): boolean {
  const folder = mkdtempSync(join(tmpdir(), "ssl-r1-"));
  const mounted = mountAt(folder);
  if (mounted) unmount(folder);
  rmSync(folder, { recursive: true });
  return mounted;
}

/** Each makes a folder a small disk's until the test is done; the first on every machine. */
const mounting = mayMount();
const disks: (readonly [string, (folder: string) => void])[] = [
  [
    mounting ? "made up" : "made up, since none may be mounted here",
    (folder) => onTestFinished(insertDisk(folder, SIZE)),
  ],
];
if (mounting)
  disks.push([
    "mounted",
    (folder) => {
      if (!mountAt(folder)) throw new Error("mounted once, and not again");
      onTestFinished(() => unmount(folder));
    },
  ]);

describe.each(disks)("a full disk, %s", (_, insert) => {
  async function onSmallDisk(
    work: (
      folder: string,
      open: (more?: Partial<DiskStoreOptions>) => Promise<Store>,
    ) => Promise<void>,
  ): Promise<void> {
    const folder = temporaryFolder();
    insert(folder);
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
      const failed = (await third.counted(6).catch((error: unknown) => error)) as StreamError;
      expect(failed).toMatchObject({ code: "CACHE", context: { shard: "shard c" } });
      expect(failed.message).toMatch(
        /^shard c: the cache's disk is full \(ENOSPC\): \d+ bytes are left, \d+ needed; the cache holds \d+ of the 100000000 bytes/,
      );
      const { left: room, needed } = failed.context;
      expect(room).toBeLessThan(needed as number);
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
      await c.close();
      await read(store, "d");
    }));

  test.each([0, 1])(
    "a new process finds a place although its cache has filled the disk but for %i pages",
    (pages) =>
      onSmallDisk(async (folder, open) => {
        const first = await open();
        await read(first, "a");
        await read(first, "b");
        await first.close();
        const other = openSync(join(folder, "other"), "w");
        const page = new Uint8Array(4_096);
        let size = 0;
        expect(() => {
          while (size < 100e6) size += writeSync(other, page, 0, undefined, size);
        }).toThrow("ENOSPC");
        ftruncateSync(other, size - pages * page.length);
        closeSync(other);
        const store = await open();
        const [user = ""] = readdirSync(join(folder, "users"));
        // all the room that it will ever need
        expect(statSync(join(folder, "users", user)).size).toBe(8_192);
        await read(store, "b");
      }),
  );
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
