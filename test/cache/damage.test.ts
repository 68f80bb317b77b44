import {
  openSync,
  closeSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createDiskStore } from "../../src/cache/disk.ts";
import { followPart } from "../../src/cache/growing.ts";
import type { Store } from "../../src/cache/store.ts";
import { createPace } from "../../src/shards/pace.ts";
import type { Row, Shard } from "../../src/shards/feed.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { rowsOf, testFeed, type TestFeed } from "./feeds.ts";

const rows = rowsOf(3, 0, 10);

async function all(shard: Shard): Promise<Row[]> {
  await shard.counted(Number.POSITIVE_INFINITY);
  return Promise.all(Array.from({ length: shard.rows }, (_, row) => shard.read(row)));
}

interface Stored {
  readonly store: Store;
  readonly folder: string;
  /** The file of "id" and its bytes. */
  readonly path: string;
  readonly bytes: Buffer;
  readonly said: string[];
}

async function stored(feed: TestFeed = testFeed(rows)): Promise<Stored> {
  const folder = temporaryFolder();
  const said: string[] = [];
  const store = await createDiskStore({ folder, size: 1e6, log: (line) => said.push(line) });
  onTestFinished(() => store.close());
  const shard = await store.open("id", "one", feed.make);
  await shard.counted(Number.POSITIVE_INFINITY);
  await shard.close();
  const name = readdirSync(folder).find((one) => one.endsWith(".rows"))!;
  const path = join(folder, name);
  return { store, folder, path, bytes: readFileSync(path), said };
}

/** Rows come before the file has its name. */
const whole = (store: Store): Promise<void> =>
  expect.poll(() => store.rows("id"), { interval: 1 }).toBe(rows.length);

test("a file that ends at any byte is fetched again", async () => {
  const { store, path, bytes } = await stored();
  const feed = testFeed(rows);
  for (let length = 0; length < bytes.length; length++) {
    writeFileSync(path, bytes.subarray(0, length));
    if (length % 2 === 0) expect(await store.rows("id")).toBeUndefined();
    const shard = await store.open("id", "one", feed.make);
    expect(await all(shard)).toEqual(rows);
    await shard.close();
    expect(feed.seen.made).toBe(length + 1);
  }
  expect(readFileSync(path)).toEqual(bytes);
});

test("a file with any bit wrong, or more bytes than it should have, is fetched again", async () => {
  const { store, path, bytes } = await stored();
  const feed = testFeed(rows);
  for (let at = 0; at <= bytes.length; at++) {
    const wrong = at === bytes.length ? Buffer.concat([bytes, Buffer.of(0)]) : Buffer.from(bytes);
    if (at < bytes.length) wrong[at]! ^= 1 << (at % 8);
    writeFileSync(path, wrong);
    const shard = await store.open("id", "one", feed.make);
    expect(await all(shard)).toEqual(rows);
    await shard.close();
    await whole(store);
    expect(feed.seen.made).toBe(at + 1);
  }
});

test("the file of another identity is not taken for this one", async () => {
  const { store, path, bytes, folder } = await stored();
  const feed = testFeed(rowsOf(2));
  const shard = await store.open("other", "two", feed.make);
  expect(await all(shard)).toHaveLength(2);
  await shard.close();
  const other = readdirSync(folder).find((one) => one.endsWith(".rows") && !path.endsWith(one))!;
  writeFileSync(join(folder, other), bytes);
  const again = await store.open("other", "two", feed.make);
  expect(await all(again)).toEqual(rowsOf(2));
  expect(feed.seen.made).toBe(2);
  await again.close();
});

test("of a part that ends at any byte whole rows are seen, and they are right", async () => {
  const { bytes, folder } = await stored();
  const path = join(folder, "a-part");
  let most = 0;
  for (let length = 0; length <= bytes.length; length++) {
    writeFileSync(path, bytes.subarray(0, length));
    const part = await followPart(path, "id", createPace());
    if (!part) {
      expect(length).toBeLessThan(32);
      continue;
    }
    const seen = (await part.look())!;
    expect(seen).toBeGreaterThanOrEqual(most);
    most = seen;
    for (let row = 0; row < seen; row++) expect(await part.read(row)).toEqual(rows[row]);
    expect(await part.look()).toBe(0);
    await part.close();
  }
  expect(most).toBe(rows.length);
  expect(await followPart(path, "another", createPace())).toBeUndefined();
});

test("bytes that change while the shard is open: fetched once more, for all who read", async () => {
  const { store, path, said } = await stored();
  const feed = testFeed(rows);
  const shard = await store.open("id", "one", feed.make);
  const other = await store.open("id", "one", feed.make);
  expect(await shard.read(0)).toEqual(rows[0]);
  const { mtime, size } = statSync(path);
  const file = openSync(path, "r+");
  for (let at = 32; at < size / 2; at += 40) writeSync(file, Buffer.of(0xff, 0x01), 0, 2, at);
  closeSync(file);
  utimesSync(path, mtime, mtime); // nothing but the CRC can tell
  expect([shard.complete, shard.rows]).toEqual([true, 3]);
  const found = await Promise.all([all(shard), all(other), shard.read(0)]);
  expect(found).toEqual([rows, rows, rows[0]]);
  expect(feed.seen.made).toBe(1);
  expect(said).toEqual([
    expect.stringMatching(/^one: row \d is damaged in the cache; the shard is fetched once more$/),
  ]);
  await whole(store);
  truncateSync(path, 50);
  expect(await all(other)).toEqual(rows);
  expect(feed.seen.made).toBe(2);
  await shard.close();
  await other.close();
});

test("what is damaged each time is an error", async () => {
  const { store, folder } = await stored();
  const feed = testFeed(rows);
  const shard = await store.open("id", "one", feed.make);
  const room = (length: number): Uint8Array => {
    // whole or part
    const path = join(
      folder,
      readdirSync(folder).find((name) => name.includes("-id."))!,
    );
    const file = openSync(path, "r+");
    const { mtime } = statSync(path);
    writeSync(file, Buffer.of(0xff, 0x01), 0, 2, 40);
    closeSync(file);
    utimesSync(path, mtime, mtime);
    return new Uint8Array(length);
  };
  await expect(shard.read(0, room)).rejects.toMatchObject({
    code: "SHARD_CORRUPT",
    context: { shard: "one" },
  });
  expect(await shard.read(0)).toEqual(rows[0]);
  await shard.close();
});
