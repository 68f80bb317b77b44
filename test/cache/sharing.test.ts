import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { createDiskStore } from "../../src/cache/disk.ts";
import { createLocks } from "../../src/cache/lock.ts";
import { createPresence, type Presence } from "../../src/cache/presence.ts";
import type { Store } from "../../src/cache/store.ts";
import { StreamError } from "../../src/errors.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { rowsOf, testFeed } from "./feeds.ts";

const open = async (folder: string): Promise<Store> => {
  const store = await createDiskStore({ folder, size: 10e6 });
  onTestFinished(() => store.close());
  return store;
};

/** All files of the folder but the whole ones. */
const left = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((one) => one.isFile() && !one.name.endsWith(".rows"))
    .map(({ name }) => name);

/** A process that fetches "id" up to its fifth row and then sleeps. */
async function sleeper(folder: string): Promise<{ kill(): Promise<void> }> {
  const child = fork(fileURLToPath(new URL("sleeper.ts", import.meta.url)), [folder]);
  onTestFinished(() => void child.kill("SIGKILL"));
  const exit = once(child, "exit");
  await once(child, "message");
  return {
    async kill() {
      child.kill("SIGKILL");
      await exit;
    },
  };
}

describe("stores of one folder", () => {
  const rows = rowsOf(10);

  test("one fetches, the other reads along and keeps on reading from the whole file", async () => {
    const folder = temporaryFolder();
    const [first, second] = [await open(folder), await open(folder)];
    const [feed, none] = [testFeed(rows, { free: false }), testFeed(rows)];
    const one = await first.open("id", "one", feed.make);
    const other = await second.open("id", "one", none.make);
    expect([other.rows, other.complete]).toEqual([0, false]);
    feed.allow(4);
    await other.counted(4);
    expect(await other.read(3)).toEqual(rows[3]);
    await expect(other.read(4)).rejects.toMatchObject({ code: "INTERNAL" });
    const waiting = other.counted(99);
    feed.allow(99);
    await waiting;
    expect([other.rows, other.complete]).toEqual([10, true]);
    expect(other.notes).toMatchObject({ skipped: { "no image": 1 } });
    for (const [row, right] of rows.entries()) expect(await other.read(row)).toEqual(right);
    expect([feed.seen.made, none.seen.made]).toEqual([1, 0]);
    await one.close();
    await first.close();
    expect(await other.read(0)).toEqual(rows[0]);
    await second.close();
    expect(left(folder)).toEqual([]);
  });

  test("a count that the first knows beforehand, the second knows too", async () => {
    const folder = temporaryFolder();
    const [first, second] = [await open(folder), await open(folder)];
    const feed = testFeed(rows, { free: false, counted: true });
    await first.open("id", "one", feed.make);
    const other = await second.open("id", "one", testFeed(rows).make);
    expect([other.rows, other.complete]).toEqual([10, false]);
    const read = other.read(9);
    feed.allow(99);
    expect(await read).toEqual(rows[9]);
  });

  test("when the first fails or closes, the second fetches itself", async () => {
    const folder = temporaryFolder();
    const second = await open(folder);
    for (const how of ["fails", "closes"]) {
      const first = await open(folder);
      const [feed, own] = [testFeed(rows, { free: false }), testFeed(rows)];
      const one = await first.open(how, "one", feed.make);
      feed.allow(6);
      await one.counted(6);
      const other = await second.open(how, "one", own.make);
      await other.counted(6);
      expect(own.seen.made).toBe(0);
      if (how === "fails") feed.fail(new StreamError("NETWORK", "cut"));
      else await first.close();
      await other.counted(99);
      for (const [row, right] of rows.entries()) expect(await other.read(row)).toEqual(right);
      expect(own.seen.made).toBe(1);
      await other.close();
      await one.close();
      await first.close();
    }
    await second.close();
    expect(left(folder)).toEqual([]);
  });

  test("when a process is killed, the one that waits takes over; rows never become fewer", async () => {
    const folder = temporaryFolder();
    const store = await open(folder);
    const child = await sleeper(folder);
    const own = testFeed(rows, { free: false });
    const shard = await store.open("id", "one", own.make);
    await shard.counted(5);
    expect(await shard.read(4)).toEqual(rows[4]);
    await child.kill();
    await expect.poll(() => own.seen.made).toBe(1);
    expect(shard.rows).toBe(5);
    const read = shard.read(3);
    own.allow(2);
    expect(await shard.read(1)).toEqual(rows[1]);
    expect(shard.rows).toBe(5);
    own.allow(99);
    expect(await read).toEqual(rows[3]);
    await shard.counted(99);
    expect(shard.rows).toBe(10);
    await store.close();
    expect(left(folder)).toEqual([]);
  });

  test("what a killed process left is cleared by the next", async () => {
    const folder = temporaryFolder();
    const child = await sleeper(folder);
    expect(left(folder)).toHaveLength(3); // its name, a lock, a part
    await child.kill();
    expect(left(folder)).toHaveLength(3);
    await (await open(folder)).close();
    expect(left(folder)).toEqual([]);
  });

  test("nobody is fed what a dead process only began to fetch", async () => {
    const folder = temporaryFolder();
    const store = await open(folder);
    const [first, second] = [testFeed(rows, { free: false }), testFeed(rows)];
    const other = await open(folder);
    await store.open("id", "one", first.make);
    const gone = new AbortController();
    const opening = other.open("id", "one", second.make, gone.signal);
    await store.close();
    const shard = await opening;
    await shard.counted(99);
    expect(await shard.read(9)).toEqual(rows[9]);
  });
});

describe("presence", () => {
  const present = (folder: string): Presence => {
    const presence = createPresence(folder);
    onTestFinished(() => presence.close());
    return presence;
  };

  test("each has a name of its own, knows the others and what they have open", () => {
    const folder = temporaryFolder();
    const [one, other] = [present(folder), present(folder)];
    expect(one.me).not.toBe(other.me);
    other.mark("a");
    other.mark("a");
    other.mark("b");
    other.unmark("a");
    other.unmark("b");
    other.reserve("c", 12);
    expect(one.others()).toEqual([
      {
        name: other.me,
        files: new Map([
          ["a", 0],
          ["c", 12],
        ]),
      },
    ]);
    expect(one.alive(other.me)).toBe(true);
    for (let many = 0; many < 500; many++) other.mark(`${"long ".repeat(20)}${many}`);
    expect(one.others()[0]!.files.size).toBe(502);
    for (let many = 0; many < 500; many++) other.unmark(`${"long ".repeat(20)}${many}`);
    expect(one.others()[0]!.files.size).toBe(2);
  });

  test("a process that ended is dead, also where its number is another's now", () => {
    const folder = temporaryFolder();
    const one = present(folder);
    const [count, start, pid, ...rest] = one.me.split("-").reverse();
    const named = (...parts: (string | number | undefined)[]): string =>
      [...parts, ...rest].reverse().join("-");
    expect(one.alive(named(count, start, pid))).toBe(true);
    const dead = [named(0, start, 4_194_305), named(0, Number(start) - 1, pid)];
    for (const name of dead) {
      writeFileSync(join(folder, name), `${name}\n`);
      expect(one.alive(name)).toBe(false);
    }
    expect(one.others()).toEqual([]);
    one.sweep();
    expect(readdirSync(folder)).toEqual([one.me]);
  });

  test("of another machine its last sign of life tells, by the file system's clock", () => {
    const folder = temporaryFolder();
    const one = present(folder);
    const name = "far-0badcafe-12-345-0";
    expect(one.alive(name)).toBe(false);
    writeFileSync(join(folder, name), `${name}\n`);
    expect(one.alive(name)).toBe(true);
    const now = one.now() / 1000;
    utimesSync(join(folder, name), now - 50, now - 50);
    expect(one.alive(name)).toBe(true);
    utimesSync(join(folder, name), now - 70, now - 70);
    expect(one.alive(name)).toBe(false);
  });

  test("whoever was taken for dead shows up again", () => {
    const folder = temporaryFolder();
    const [one, other] = [present(folder), present(folder)];
    other.mark("a");
    const path = join(folder, other.me);
    rmSync(path);
    expect(one.others()).toEqual([]);
    other.mark("b");
    expect(one.others()[0]?.files).toEqual(
      new Map([
        ["a", 0],
        ["b", 0],
      ]),
    );
    expect(existsSync(path)).toBe(true);
  });
});

describe("locks", () => {
  test("one holder, and the next when it lets go", () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "l"));
    const [one, other] = [createPresence(join(folder, "u")), createPresence(join(folder, "u"))];
    const [mine, theirs] = [one, other].map((who) => createLocks(join(folder, "l"), who)) as [
      ReturnType<typeof createLocks>,
      ReturnType<typeof createLocks>,
    ];
    const lock = mine.take("a")!;
    expect(lock).toBeDefined();
    expect([theirs.take("a"), mine.take("a")]).toEqual([undefined, undefined]);
    expect([theirs.holder("a"), theirs.holder("b")]).toEqual([one.me, undefined]);
    theirs.take("b")!.release();
    lock.release();
    const next = theirs.take("a")!;
    expect(mine.holder("a")).toBe(other.me);
    next.release();
    expect(readdirSync(join(folder, "l"))).toEqual([]);
    one.close();
    other.close();
  });

  test("that of the dead is taken over by one, however many try", () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "l"));
    const all = Array.from({ length: 5 }, () => createPresence(join(folder, "u")));
    const locks = all.map((who) => createLocks(join(folder, "l"), who));
    writeFileSync(join(folder, "l", "a.0"), "far-0badcafe-12-345-0\nnobody\n");
    writeFileSync(join(folder, "l", "b.7"), "far-0badcafe-12-345-0\nnobody\n");
    expect(locks[0]!.holder("a")).toBeUndefined();
    const taken = locks.map((one) => one.take("a")).filter((lock) => lock !== undefined);
    expect(taken).toHaveLength(1);
    expect(readdirSync(join(folder, "l")).sort()).toEqual(["a.1", "b.7"]);
    locks[1]!.sweep();
    expect(readdirSync(join(folder, "l"))).toEqual(["a.1"]);
    taken[0]!.release();
    expect(readdirSync(join(folder, "l"))).toEqual([]);
    for (const one of all) one.close();
  });

  test("one that says nothing yet is somebody's, for a while", () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "l"));
    const who = createPresence(join(folder, "u"));
    const locks = createLocks(join(folder, "l"), who);
    const path = join(folder, "l", "a.0");
    writeFileSync(path, "");
    expect(locks.take("a")).toBeUndefined();
    const before = who.now() / 1000 - 6;
    utimesSync(path, before, before);
    locks.take("a")!.release();
    expect(readdirSync(join(folder, "l"))).toEqual([]);
    who.close();
  });
});
