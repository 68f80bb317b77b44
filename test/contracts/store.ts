import { describe, expect, onTestFinished, test } from "vitest";
import type { Store } from "../../src/cache/store.ts";
import { StreamError } from "../../src/errors.ts";
import type { Row, Shard } from "../../src/shards/feed.ts";
import { rowsOf, testFeed } from "../cache/feeds.ts";

export interface StoreCase {
  readonly store: Store;
  /** Open descriptors on the store's files, where it has any. */
  readonly handles?: () => number;
}

async function all(shard: Shard): Promise<Row[]> {
  await shard.counted(Number.POSITIVE_INFINITY);
  const rows: Row[] = [];
  for (let row = 0; row < shard.rows; row++) rows.push(await shard.read(row));
  return rows;
}

const whole = Number.POSITIVE_INFINITY;

/** What every store promises. `make` gives one with room for 10 MB, and may use the test's hooks. */
export function storeContract(what: string, make: () => StoreCase | Promise<StoreCase>): void {
  const open = async (): Promise<StoreCase> => {
    const made = await make();
    onTestFinished(() => made.store.close());
    return made;
  };

  describe(`${what}: a store`, () => {
    for (const count of [0, 1, 3, 200])
      for (const counted of [false, true])
        test(`gives the rows as the feed gave them: ${count}, counted ${counted}`, async () => {
          const { store } = await open();
          const rows = rowsOf(count);
          const shard = await store.open("id", "one", testFeed(rows, { counted }).make);
          expect(await all(shard)).toEqual(rows);
          expect(shard.complete).toBe(true);
          expect(shard.notes).toMatchObject({
            problems: [{ shard: "one", reason: "odd" }],
            skipped: { "no image": 1 },
          });
          await shard.close();
        });

    test("the same rows again without asking for the feed, in any order and from two handles", async () => {
      const { store } = await open();
      const rows = rowsOf(20);
      const feed = testFeed(rows);
      const first = await store.open("id", "one", feed.make);
      await first.counted(whole);
      await first.close();
      const [one, other] = await Promise.all([
        store.open("id", "one", feed.make),
        store.open("id", "one", feed.make),
      ]);
      expect([one.rows, one.complete, feed.seen.made]).toEqual([20, true, 1]);
      const numbers = rows.map((_, row) => row).toReversed();
      const found = await Promise.all(numbers.flatMap((row) => [one.read(row), other.read(row)]));
      expect(found).toEqual(numbers.flatMap((row) => [rows[row], rows[row]]));
      await one.close();
      expect(await other.read(0)).toEqual(rows[0]);
      await other.close();
    });

    test("rows can be read while others are still on their way", async () => {
      const { store } = await open();
      const rows = rowsOf(6);
      const feed = testFeed(rows, { free: false });
      const shard = await store.open("id", "one", feed.make);
      expect([shard.rows, shard.complete]).toEqual([0, false]);
      await expect(shard.read(0)).rejects.toMatchObject({ code: "INTERNAL" });
      feed.allow(4);
      await shard.counted(4);
      expect([shard.rows, shard.complete]).toEqual([4, false]);
      expect([await shard.read(3), await shard.read(0)]).toEqual([rows[3], rows[0]]);
      await expect(shard.read(4)).rejects.toMatchObject({ code: "INTERNAL" });
      let counted = false;
      const waiting = shard.counted(100).then(() => (counted = true));
      feed.allow(2);
      await shard.counted(6);
      expect(counted).toBe(false);
      feed.allow(1);
      await waiting;
      expect([shard.rows, shard.complete]).toEqual([6, true]);
      expect(await all(shard)).toEqual(rows);
      await shard.close();
    });

    test("a count that is known beforehand is there at once, and reads wait", async () => {
      const { store } = await open();
      const rows = rowsOf(4);
      const feed = testFeed(rows, { counted: true, free: false });
      const shard = await store.open("id", "one", feed.make);
      expect([shard.rows, shard.complete]).toEqual([4, false]);
      await shard.counted(4);
      const reads = [3, 1, 2].map((row) => shard.read(row));
      await expect(shard.read(4)).rejects.toMatchObject({ code: "INTERNAL" });
      feed.allow(2);
      expect(await reads[1]).toEqual(rows[1]);
      feed.allow(3);
      expect(await Promise.all(reads)).toEqual([rows[3], rows[1], rows[2]]);
      await shard.counted(whole);
      expect(shard.complete).toBe(true);
      await shard.close();
    });

    test("a feed with other rows than it promised is an error", async () => {
      const { store } = await open();
      for (const count of [2, 4]) {
        const feed = async () => ({ ...(await testFeed(rowsOf(3)).make()), count });
        const shard = await store.open(`id ${count}`, "one", feed);
        const failed = { code: "SHARD_CORRUPT", context: { shard: "one" } };
        await expect(shard.counted(whole)).rejects.toMatchObject(failed);
        await shard.close();
        expect(await store.rows(`id ${count}`)).toBeUndefined();
      }
    });

    test("one feed for all who open at once; it goes on when all of them close", async () => {
      const { store } = await open();
      const rows = rowsOf(5);
      const feed = testFeed(rows, { free: false });
      const shards = await Promise.all([1, 2, 3].map(() => store.open("id", "one", feed.make)));
      feed.allow(2);
      await shards[0]!.counted(2);
      for (const shard of shards) await shard.close();
      const again = await store.open("id", "one", feed.make);
      feed.allow(10);
      expect(await all(again)).toEqual(rows);
      await again.close();
      expect(feed.seen).toEqual({ made: 1, taken: 5, ended: 1, running: 0 });
    });

    test("rows are taken from the feed although nobody reads, and are there later", async () => {
      const { store } = await open();
      const rows = rowsOf(50);
      const feed = testFeed(rows);
      await (await store.open("id", "one", feed.make)).close();
      const shard = await store.open("id", "one", feed.make);
      expect(await all(shard)).toEqual(rows);
      expect(feed.seen.made).toBe(1);
      await shard.close();
    });

    test("a failing feed rejects those who wait, and the next open tries again", async () => {
      const { store, handles } = await open();
      const rows = rowsOf(5);
      const feed = testFeed(rows, { counted: true, free: false });
      const shard = await store.open("id", "one", feed.make);
      feed.allow(2);
      expect(await shard.read(1)).toEqual(rows[1]);
      const waiting = [shard.read(2), shard.read(4)].map((read) =>
        expect(read).rejects.toMatchObject({ code: "NETWORK" }),
      );
      feed.fail(new StreamError("NETWORK", "cut"));
      await Promise.all(waiting);
      await expect(shard.read(3)).rejects.toMatchObject({ code: "NETWORK" });
      expect(shard.complete).toBe(false);
      expect(await shard.read(0)).toEqual(rows[0]); // what came is there
      expect(await store.rows("id")).toBeUndefined();
      feed.allow(10);
      const next = await store.open("id", "one", feed.make);
      expect(await all(next)).toEqual(rows);
      expect(feed.seen.made).toBe(2);
      await shard.close();
      await next.close();
      if (handles) expect(handles()).toBe(0);
    });

    test("counted() rejects with the feed's error, also that of a feed that can't be had", async () => {
      const { store } = await open();
      const feed = testFeed(rowsOf(5), { free: false });
      const shard = await store.open("id", "one", feed.make);
      const failed = expect(shard.counted(3)).rejects.toMatchObject({ code: "SHARD_CORRUPT" });
      feed.fail(new StreamError("SHARD_CORRUPT", "cut"));
      await failed;
      await shard.close();
      const none = (): Promise<never> => Promise.reject(new StreamError("NETWORK", "none"));
      await expect(store.open("id", "one", none)).rejects.toMatchObject({ code: "NETWORK" });
      feed.allow(9);
      expect(await all(await store.open("id", "one", feed.make))).toHaveLength(5);
    });

    test("memory is the reader's own, or what it gives", async () => {
      const { store } = await open();
      const rows = rowsOf(8);
      const shard = await store.open("id", "one", testFeed(rows).make);
      await shard.counted(whole);
      const [one, other] = [await shard.read(6), await shard.read(6)];
      expect(one.bytes.buffer).not.toBe(other.bytes.buffer);
      structuredClone(one.bytes.buffer, { transfer: [one.bytes.buffer as ArrayBuffer] });
      expect(other).toEqual(rows[6]);
      expect(await shard.read(6)).toEqual(rows[6]);
      const shared = new Uint8Array(new SharedArrayBuffer(1 << 20));
      let next = 0;
      const room = (length: number): Uint8Array => shared.subarray(next, (next += length));
      const found = await Promise.all([shard.read(7, room), shard.read(2, room)]);
      expect(found.map(({ bytes }) => bytes.buffer)).toEqual([shared.buffer, shared.buffer]);
      const copies = found.map((row) => ({ ...row, bytes: Uint8Array.from(row.bytes) }));
      expect(copies).toEqual([rows[7], rows[2]]);
      await shard.close();
    });

    test("rejects rows that do not exist, and whatever comes after close", async () => {
      const { store, handles } = await open();
      const shard = await store.open("id", "one", testFeed(rowsOf(3)).make);
      await shard.counted(whole);
      for (const row of [-1, 3, 0.5, Number.NaN])
        await expect(shard.read(row)).rejects.toMatchObject({ code: "INTERNAL" });
      await shard.close();
      await shard.close();
      await expect(shard.read(0)).rejects.toMatchObject({ code: "CLOSED" });
      await expect(shard.counted(1)).rejects.toMatchObject({ code: "CLOSED" });
      if (handles) expect(handles()).toBe(0);
    });

    test("rows() says what is there as a whole", async () => {
      const { store } = await open();
      const feed = testFeed(rowsOf(7), { counted: true, free: false });
      expect(await store.rows("id")).toBeUndefined();
      const shard = await store.open("id", "one", feed.make);
      expect(await store.rows("id")).toBeUndefined();
      feed.allow(99);
      await shard.counted(whole);
      await all(shard);
      expect(await store.rows("id")).toBe(7);
      await shard.close();
      expect(await store.rows("id")).toBe(7);
      expect(await store.rows("other")).toBeUndefined();
    });

    test("gives up opening, not the feed", async () => {
      const { store } = await open();
      const feed = testFeed(rowsOf(3));
      const gone = AbortSignal.abort();
      await expect(store.open("id", "one", feed.make, gone)).rejects.toMatchObject({
        code: "ABORTED",
      });
      expect(feed.seen.made).toBe(0);
      const stop = new AbortController();
      const { promise, resolve } = Promise.withResolvers<void>();
      const slow = (): ReturnType<typeof feed.make> => promise.then(feed.make);
      const opening = store.open("id", "one", slow, stop.signal);
      const failed = expect(opening).rejects.toMatchObject({ code: "ABORTED" });
      stop.abort();
      await failed;
      resolve();
      const shard = await store.open("id", "one", feed.make);
      expect(await all(shard)).toHaveLength(3);
      expect(feed.seen.made).toBe(1);
      await shard.close();
    });

    test("close gives up what is under way; what comes later is CLOSED", async () => {
      const { store, handles } = await open();
      const feed = testFeed(rowsOf(5), { counted: true, free: false });
      const shard = await store.open("id", "one", feed.make);
      feed.allow(1);
      await shard.read(0);
      const waiting = [shard.read(3), shard.read(4)].map((read) =>
        expect(read).rejects.toMatchObject({ code: "CLOSED" }),
      );
      await store.close();
      await store.close();
      await Promise.all(waiting);
      expect(feed.seen.running).toBe(0);
      await expect(shard.read(0)).rejects.toMatchObject({ code: "CLOSED" });
      await expect(store.open("id", "one", feed.make)).rejects.toMatchObject({ code: "CLOSED" });
      await shard.close();
      if (handles) expect(handles()).toBe(0);
    });

    test("close also ends a wait for a feed that never comes", async () => {
      const { store } = await open();
      const never = (): Promise<never> => new Promise(() => undefined);
      const failed = expect(store.open("id", "one", never)).rejects.toMatchObject({
        code: "CLOSED",
      });
      await store.close();
      await failed;
    });
  });
}
