import { readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join as joinPath } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { createDiskStore } from "../../src/cache/disk.ts";
import { openFile, type File } from "../../src/shards/bytes.ts";
import type { Row, Shard } from "../../src/shards/feed.ts";
import { createPace } from "../../src/shards/pace.ts";
import { openLocalTar } from "../../src/sources/local-tar.ts";
import { createSupplies, type Supplies } from "../../src/sources/supplies.ts";
import { openTar, type TarOptions } from "../../src/sources/tar-shard.ts";
import { openDescriptors, temporaryFolder } from "../fixtures/files.ts";
import { endOfArchive, join, paxRecord, rawMember } from "../fixtures/tar.ts";

const ROWS = 2_100;

/** Photos with their JSON, one in ten with a further file; a global header in the midst, a link and a hidden file to be noted. */
function tar(rows: number): Uint8Array {
  const filler = "x".repeat(900);
  const members = Array.from({ length: rows }, (_, row) => {
    const name = `p/${row}`;
    return [
      rawMember({ name: `${name}.jpg` }, `${row}${filler}`),
      rawMember({ name: `${name}.json` }, JSON.stringify({ group: `g${row % 7}` })),
      ...(row % 10 === 0 ? [rawMember({ name: `${name}.cls` }, "1")] : []),
      ...(row === 9 ? [rawMember({ name: "a-link.jpg", type: "2" })] : []),
      ...(row === 11 ? [rawMember({ type: "g" }, paxRecord("comment", "c"))] : []),
    ];
  });
  return join([...members.flat(), rawMember({ name: ".hidden.jpg" }, "h"), endOfArchive]);
}

const large = tar(ROWS);
const pace = createPace();
const PATIENT = { interval: 1, timeout: 20_000 };

interface Place {
  readonly folder: string;
  readonly cache: string;
  readonly path: string;
  readonly supplies: Supplies;
}

function place(bytes: Uint8Array = large): Place {
  const folder = temporaryFolder({ "x.tar": bytes });
  const cache = joinPath(temporaryFolder(), "cache");
  const supplies = createSupplies({
    net: () => Promise.reject(new Error("there is no network")),
    store: () => createDiskStore({ folder: cache, size: 100e6 }),
    note: () => undefined,
    folder: cache,
  });
  onTestFinished(() => supplies.close());
  return { folder, cache, path: joinPath(folder, "x.tar"), supplies };
}

interface Opened {
  readonly shard: Shard;
  /** Bytes of the tar that were read for opening it. */
  readonly read: number;
}

async function open(
  { path, supplies }: Place,
  options: TarOptions = { group: "group" },
): Promise<Opened> {
  const file = await openFile(path, "x.tar", pace);
  let read = 0;
  const counted: File & { path: string } = {
    ...file,
    path,
    read: (at, length, room) => ((read += length), file.read(at, length, room)),
  };
  const shard = await openLocalTar(counted, "x.tar", options, { supplies, pace });
  return { shard, read };
}

async function plain({ path }: Place, options: TarOptions = { group: "group" }): Promise<Shard> {
  return openTar(await openFile(path, "x.tar", pace), "x.tar", options);
}

async function rowsOf(shard: Shard): Promise<Row[]> {
  const rows: Row[] = [];
  for (let row = shard.rows - 1; row >= 0; row -= 13) rows.push(await shard.read(row));
  return rows;
}

const tables = ({ cache }: Place): string[] =>
  readdirSync(cache).filter((name) => name.endsWith(".table"));

/** The table is written behind who opened the shard. */
const written = (at: Place, count = 1): Promise<void> =>
  vi.waitFor(() => expect(tables(at)).toHaveLength(count), PATIENT);

async function same(at: Place, { shard }: Opened, options?: TarOptions): Promise<void> {
  const expected = await plain(at, options);
  expect(shard.rows).toBe(expected.rows);
  expect(shard.notes?.problems).toEqual(expected.notes?.problems);
  expect(shard.notes?.skipped).toEqual(expected.notes?.skipped);
  expect(await rowsOf(shard)).toEqual(await rowsOf(expected));
  await Promise.all([shard.close(), expected.close()]);
}

test("the first who opens a large tar scans it, the next reads none of it, and rows and notes are the same", async () => {
  const at = place();
  const first = await open(at);
  expect(first.read).toBeGreaterThan(ROWS * 512);
  await written(at);
  await same(at, first);
  const second = await open(at);
  expect(second.read).toBe(0);
  await same(at, second);
  await at.supplies.close();
  expect(openDescriptors(at.folder) + openDescriptors(at.cache)).toBe(0);
});

test("who has it open keeps nothing in memory once the table is there, and reads what is right where it is damaged then", async () => {
  const at = place();
  const { shard } = await open(at);
  const expected = await plain(at);
  await written(at);
  const [name = ""] = tables(at);
  const path = joinPath(at.cache, name);
  await vi.waitFor(async () => {
    // in the same file, which is open
    writeFileSync(path, readFileSync(path).fill(7, 4096), { flag: "r+" });
    expect(await shard.read(2_000)).toEqual(await expected.read(2_000));
  }, PATIENT);
  expect(await rowsOf(shard)).toEqual(await rowsOf(expected));
  await Promise.all([shard.close(), expected.close()]);
});

test("another image field, time or place of the file is another table", async () => {
  const at = place();
  await (await open(at)).shard.close();
  await written(at);
  const other = await open(at, { image: "cls" });
  expect(other.shard.rows).toBe(ROWS / 10);
  await same(at, other, { image: "cls" });
  utimesSync(at.path, 1, 1);
  const later = await open(at);
  expect(later.read).toBeGreaterThan(ROWS * 512);
  await written(at, 2);
  await same(at, later);
});

test.each([
  ["cut", (bytes: Buffer) => bytes.subarray(0, bytes.length - 1)],
  ["empty", () => Buffer.alloc(0)],
  ["of another version", (bytes: Buffer) => Buffer.from(bytes).fill(9, 7, 8)],
  [
    "with other notes",
    (bytes: Buffer) =>
      Buffer.from(bytes.toString("latin1").replace("problems", "Problems"), "latin1"),
  ],
  ["zeros, after a power failure", (bytes: Buffer) => Buffer.alloc(bytes.length)],
  ["zeros in its rows", (bytes: Buffer) => Buffer.from(bytes).fill(0, bytes.length - 40_000)],
])("a table that is %s is never trusted, and made anew", async (_, damage) => {
  const at = place();
  await (await open(at)).shard.close();
  await written(at);
  const path = joinPath(at.cache, tables(at)[0]!);
  const whole = readFileSync(path);
  writeFileSync(path, damage(whole));
  await same(at, await open(at));
  await vi.waitFor(() => expect(readFileSync(path).equals(whole)).toBe(true), PATIENT);
});

test("small tars, and those of a stream without a cache, leave nothing", async () => {
  const small = place(tar(300));
  await same(small, await open(small));
  expect(() => readdirSync(small.cache)).toThrow("ENOENT");
  const at = place();
  const { folder: _, ...none } = at.supplies;
  await same(at, await open({ ...at, supplies: { ...none, folder: undefined } }));
  expect(() => readdirSync(at.cache)).toThrow("ENOENT");
});

test("a cache that can't be used costs nothing but time", async () => {
  const at = place();
  const supplies = { ...at.supplies, store: () => Promise.reject(new Error("read-only")) };
  await same(at, await open({ ...at, supplies }));
  await same(at, await open({ ...at, supplies }));
});
