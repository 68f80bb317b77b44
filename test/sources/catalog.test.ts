import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { StreamError } from "../../src/errors.ts";
import { createCatalog } from "../../src/sources/catalog.ts";
import { openSource } from "../../src/sources/open.ts";
import type { Notes } from "../../src/shards/notes.ts";
import type { Row, Shard, Source } from "../../src/sources/source.ts";
import { openDescriptors, temporaryFolder } from "../fixtures/files.ts";
import { endOfArchive, entry, join as joinBytes, rawMember, tarOf } from "../fixtures/tar.ts";

interface Watched {
  readonly source: Source;
  /** Shards opened so far, in order. */
  readonly opened: number[];
  /** Shards open now. */
  readonly open: Set<number>;
  /** Holds back opens and reads while closed. */
  gate: Promise<void>;
  fail: Set<number>;
  rows: (shard: number) => number;
}

/** A source of `shards` shards that shows what is asked of it. A read of a closed shard is caught. */
function watched(shards: number, notes?: Notes): Watched {
  const opened: number[] = [];
  const open = new Set<number>();
  const state: Watched = {
    opened,
    open,
    gate: Promise.resolve(),
    fail: new Set(),
    rows: (shard) => shard + 1,
    source: {
      address: "memory",
      cheap: true,
      countable: true,
      inPlace: true,
      list: async () =>
        Array.from({ length: shards }, (_, i) => ({
          name: `${i}.tar`,
          size: i,
          ...(i === 1 && { hash: "h" }),
        })),
      async open(shard, signal): Promise<Shard> {
        opened.push(shard);
        await state.gate;
        if (signal?.aborted) throw new StreamError("ABORTED", "given up");
        if (state.fail.has(shard))
          throw new StreamError("SHARD_CORRUPT", `${shard}.tar: broken`, {
            context: { shard: `${shard}.tar`, offset: 7 },
          });
        expect(open.has(shard)).toBe(false);
        open.add(shard);
        let live = true;
        return {
          rows: state.rows(shard),
          complete: true,
          counted: () => Promise.resolve(),
          ...(notes && { notes }),
          async read(row): Promise<Row> {
            await state.gate;
            if (!live) throw new Error("read of a closed shard");
            return { key: `${shard}/${row}`, group: "", name: "", bytes: new Uint8Array(0) };
          },
          async close() {
            live = false;
            open.delete(shard);
          },
        };
      },
    },
  };
  return state;
}

function latch(): { gate: Promise<void>; lift: () => void } {
  let lift = (): void => undefined;
  const gate = new Promise<void>((resolve) => (lift = resolve));
  return { gate, lift };
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("counts", () => {
  test("are unknown until a shard is opened, then known for ever", async () => {
    const { source, opened } = watched(3);
    const catalog = await createCatalog(source, { open: 1 });
    expect([catalog.shards, catalog.rows(0), catalog.rows(2), catalog.rows(3)]).toEqual([
      3,
      undefined,
      undefined,
      undefined,
    ]);
    expect(await catalog.count(2)).toBe(3);
    expect((await catalog.read(0, 0)).key).toBe("0/0");
    expect([catalog.rows(0), catalog.rows(1), catalog.rows(2)]).toEqual([1, undefined, 3]);
    expect(await catalog.count(2)).toBe(3);
    expect(opened).toEqual([2, 0]);
    await catalog.close();
  });

  test("that are others when a shard is opened again are an error", async () => {
    const state = watched(2);
    const catalog = await createCatalog(state.source, { open: 1 });
    await catalog.count(0);
    await catalog.count(1);
    state.rows = () => 9;
    await expect(catalog.read(0, 0)).rejects.toMatchObject({
      code: "SHARD_CORRUPT",
      message: expect.stringMatching(/^0.tar: holds \d+ images, \d+ were counted/) as string,
    });
    expect(catalog.rows(0)).toBe(1);
    await catalog.close();
    expect([...state.open]).toEqual([]);
  });
});

describe("open shards", () => {
  test("asked for at once, a shard is opened once", async () => {
    const state = watched(2);
    const { gate, lift } = latch();
    state.gate = gate;
    const catalog = await createCatalog(state.source);
    const reads = Promise.all([catalog.read(0, 0), catalog.count(0), catalog.read(0, 0)]);
    lift();
    await reads;
    expect(state.opened).toEqual([0]);
    await catalog.close();
  });

  test("the one used longest ago is closed first, at most `open` stay", async () => {
    const state = watched(5);
    const catalog = await createCatalog(state.source, { open: 2 });
    for (const shard of [0, 1, 0, 2]) await catalog.read(shard, 0);
    expect([...state.open]).toEqual([0, 2]);
    await catalog.read(1, 0);
    expect([...state.open].toSorted((a, b) => a - b)).toEqual([1, 2]);
    expect(state.opened).toEqual([0, 1, 2, 1]);
    await catalog.close();
    expect([...state.open]).toEqual([]);
  });

  test("one in use is not closed, however many others are asked for", async () => {
    const state = watched(5);
    const catalog = await createCatalog(state.source, { open: 1 });
    await catalog.count(0);
    const { gate, lift } = latch();
    state.gate = gate;
    const reads = [0, 1, 2, 3, 4].map((shard) => catalog.read(shard, 0));
    await settle();
    lift();
    expect((await Promise.all(reads)).map(({ key }) => key)).toEqual([
      "0/0",
      "1/0",
      "2/0",
      "3/0",
      "4/0",
    ]);
    expect(state.open.size).toBe(1);
    await catalog.close();
  });

  test("random reads at once, with room for three: right rows, nothing left open", async () => {
    const state = watched(12);
    const catalog = await createCatalog(state.source, { open: 3 });
    const asked = Array.from({ length: 600 }, (_, i) => (i * i * 31 + i * 7) % 12);
    for (let from = 0; from < asked.length; from += 20) {
      const rows = await Promise.all(
        asked.slice(from, from + 20).map((shard) => catalog.read(shard, 0)),
      );
      expect(rows.map(({ key }) => key)).toEqual(
        asked.slice(from, from + 20).map((shard) => `${shard}/0`),
      );
      expect(state.open.size).toBeLessThanOrEqual(3);
    }
    await catalog.close();
    expect(state.open.size).toBe(0);
  });

  test("descriptors of real files are bounded, too", async () => {
    const folder = temporaryFolder(
      Object.fromEntries(
        Array.from({ length: 10 }, (_, i) => [`${i}.tar`, tarOf([entry(`${i}.jpg`)])]),
      ),
    );
    const catalog = await createCatalog(await openSource(folder), { open: 3 });
    for (let i = 0; i < 10; i++) expect((await catalog.read(i, 0)).key).toBe(String(i));
    // Closing is the system's to finish.
    await vi.waitFor(() => expect(openDescriptors(folder)).toBe(3), { timeout: 10_000 });
    await catalog.close();
    expect(openDescriptors(folder)).toBe(0);
  });
});

describe("problems", () => {
  test("a shard that fails is listed once, and tried anew each time", async () => {
    const state = watched(2);
    state.fail.add(1);
    const catalog = await createCatalog(state.source);
    await expect(catalog.read(1, 0)).rejects.toMatchObject({ code: "SHARD_CORRUPT" });
    await expect(Promise.all([catalog.count(1), catalog.count(1)])).rejects.toMatchObject({
      code: "SHARD_CORRUPT",
    });
    expect(catalog.problems).toEqual([{ shard: "1.tar", offset: 7, reason: "1.tar: broken" }]);
    state.fail.clear();
    expect(await catalog.count(1)).toBe(2);
    expect(state.opened).toEqual([1, 1, 1]);
    await catalog.close();
  });

  test("a source that throws at once is tried anew, too", async () => {
    const state = watched(1);
    let calls = 0;
    const source: Source = {
      ...state.source,
      open(...asked) {
        if (calls++ === 0) throw new Error("no");
        return state.source.open(...asked);
      },
    };
    const catalog = await createCatalog(source);
    await expect(catalog.read(0, 0)).rejects.toThrow("no");
    expect((await catalog.read(0, 0)).key).toBe("0/0");
    await catalog.close();
  });

  test("what shards note is gathered once, however often they are opened", async () => {
    const notes = { problems: [{ shard: "x", reason: "link" }], skipped: { link: 1, hidden: 2 } };
    const catalog = await createCatalog(watched(2, notes).source, { open: 1 });
    for (const shard of [0, 1, 0, 1]) await catalog.read(shard, 0);
    expect(catalog.problems).toHaveLength(2);
    expect(catalog.skipped).toEqual({ link: 2, hidden: 4 });
    await catalog.close();
  });

  test("real shards: counters and problems", async () => {
    const links = joinBytes([
      rawMember({ name: "a.jpg" }, "x"),
      rawMember({ name: "l.jpg", type: "2" }),
      rawMember({ name: ".h" }),
      endOfArchive,
    ]);
    const folder = temporaryFolder({ "0.tar": links, "1.tar": links.subarray(0, 1_000) });
    const catalog = await createCatalog(await openSource(folder));
    expect(await catalog.count(0)).toBe(1);
    await expect(catalog.count(1)).rejects.toMatchObject({ code: "SHARD_CORRUPT" });
    expect(catalog.skipped).toEqual({ link: 1, hidden: 1 });
    expect(catalog.problems).toMatchObject([
      { shard: "0.tar", key: "l.jpg", offset: 1_024, reason: "link" },
      { shard: "1.tar", offset: 0 },
    ]);
    await catalog.close();
  });
});

describe("close", () => {
  test("waits for reads under way; later ones reject", async () => {
    const state = watched(2);
    const catalog = await createCatalog(state.source);
    await catalog.count(0);
    const { gate, lift } = latch();
    state.gate = gate;
    const read = catalog.read(0, 0);
    await settle();
    let done = false;
    const closing = catalog.close().then(() => (done = true));
    await expect(catalog.read(0, 0)).rejects.toMatchObject({ code: "CLOSED" });
    await settle();
    expect(done).toBe(false);
    lift();
    expect((await read).key).toBe("0/0");
    await closing;
    await catalog.close();
    expect(state.open.size).toBe(0);
  });

  test("while a shard is being opened: given up, and nothing stays open", async () => {
    const state = watched(2);
    const { gate, lift } = latch();
    state.gate = gate;
    const catalog = await createCatalog(state.source);
    const read = catalog.read(0, 0);
    read.catch(() => undefined);
    const closing = catalog.close();
    lift();
    await expect(read).rejects.toMatchObject({ code: "ABORTED" });
    await closing;
    expect(catalog.problems).toEqual([]);
    expect(state.open.size).toBe(0);
  });
});

test("the parts of the fingerprint are names, sizes and hashes, before and after counting", async () => {
  const catalog = await createCatalog(watched(3).source);
  const parts = [
    { name: "0.tar", size: 0 },
    { name: "1.tar", size: 1, hash: "h" },
    { name: "2.tar", size: 2 },
  ];
  expect(catalog.fingerprintParts()).toEqual(parts);
  await catalog.count(1);
  expect(catalog.fingerprintParts()).toEqual(parts);
  await catalog.close();
});

test("bad options and shards", async () => {
  for (const open of [0, -1, 1.5, Number.NaN])
    await expect(createCatalog(watched(1).source, { open })).rejects.toMatchObject({
      code: "BAD_OPTION",
    });
  const catalog = await createCatalog(watched(1).source);
  for (const shard of [-1, 1, 0.5])
    await expect(catalog.read(shard, 0)).rejects.toMatchObject({ code: "INTERNAL" });
  await catalog.close();
});

test("a shard that grows between two reads", async () => {
  const archive = tarOf([entry("a.jpg")]);
  const folder = temporaryFolder({ "x.tar": archive });
  const catalog = await createCatalog(await openSource(folder));
  await catalog.read(0, 0);
  writeFileSync(join(folder, "x.tar"), tarOf([entry("a.jpg"), entry("b.jpg")]));
  await expect(catalog.read(0, 0)).rejects.toMatchObject({
    code: "SHARD_CORRUPT",
    message: "x.tar: changed while in use",
  });
  await catalog.close();
});
