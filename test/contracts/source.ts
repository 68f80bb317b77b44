import { describe, expect, test } from "vitest";
import type { Row, Source } from "../../src/sources/source.ts";

export interface ExpectedRow {
  readonly key: string;
  readonly group: string;
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface SourceCase {
  readonly source: Source;
  /** Rows of each shard, in order. At least one shard and three rows in the first. */
  readonly shards: readonly (readonly ExpectedRow[])[];
  /** Open descriptors on the source's files, where that can be seen. */
  readonly handles?: () => number;
}

/** What every source promises. `make` is called in each test and may use its hooks. */
export function sourceContract(what: string, make: () => SourceCase | Promise<SourceCase>): void {
  describe(`${what}: a source`, () => {
    test("lists its shards: relative logical names, all different, whole sizes, the same each time", async () => {
      const { source, shards } = await make();
      const list = [...(await source.list())];
      expect(list).toHaveLength(shards.length);
      expect([...(await source.list())]).toEqual(list);
      expect(new Set(list.map(({ name }) => name)).size).toBe(list.length);
      for (const { name, size, hash } of list) {
        expect(name).not.toMatch(/^\/|\\|(^|\/)\.\.?(\/|$)/);
        expect(name).not.toBe("");
        expect(Number.isSafeInteger(size) && size >= 0).toBe(true);
        expect(["undefined", "string"]).toContain(typeof hash);
      }
    });

    test("opens without being listed first", async () => {
      const { source, shards } = await make();
      const shard = await source.open(0);
      expect(shard.rows).toBe(shards[0]?.length);
      await shard.close();
    });

    test("reads every row of every shard", async () => {
      const { source, shards } = await make();
      for (const [number, rows] of shards.entries()) {
        const shard = await source.open(number);
        expect(shard.rows).toBe(rows.length);
        const found: Row[] = [];
        for (let row = 0; row < shard.rows; row++) found.push(await shard.read(row));
        expect(found).toEqual(rows);
        await shard.close();
      }
    });

    test("gives the same rows backwards, at once, and from two handles", async () => {
      const { source, shards } = await make();
      const [one, other] = await Promise.all([source.open(0), source.open(0)]);
      const numbers = (shards[0] ?? []).map((_, row) => row).toReversed();
      const rows = await Promise.all(numbers.flatMap((row) => [one.read(row), other.read(row)]));
      expect(rows).toEqual(numbers.flatMap((row) => [shards[0]?.[row], shards[0]?.[row]]));
      await one.close();
      expect(await other.read(0)).toEqual(shards[0]?.[0]);
      await other.close();
    });

    test("gives memory of its own each time", async () => {
      const { source } = await make();
      const shard = await source.open(0);
      const [one, other] = [await shard.read(0), await shard.read(0)];
      expect(one.bytes.buffer).not.toBe(other.bytes.buffer);
      // Perhaps a little more than the image, but nobody else's: the caller may transfer it.
      const copy = one.bytes.slice();
      structuredClone(one.bytes.buffer, { transfer: [one.bytes.buffer as ArrayBuffer] });
      expect(other.bytes).toEqual(copy);
      await shard.close();
    });

    test("reads into the memory it is given", async () => {
      const { source, shards } = await make();
      const shard = await source.open(0);
      const shared = new Uint8Array(new SharedArrayBuffer(1 << 22));
      let next = 0;
      const room = (length: number): Uint8Array => shared.subarray(next, (next += length));
      const rows = await Promise.all([shard.read(0, room), shard.read(1, room)]);
      expect(rows.map(({ bytes }) => bytes.buffer)).toEqual([shared.buffer, shared.buffer]);
      for (const [number, { bytes, ...row }] of rows.entries()) {
        const expected = shards[0]?.[number];
        expect({ ...row, bytes: Uint8Array.from(bytes) }).toEqual(expected);
      }
      await shard.close();
    });

    test("rejects rows that do not exist, and reads after close", async () => {
      const { source, handles } = await make();
      const shard = await source.open(0);
      for (const row of [-1, shard.rows, 0.5, Number.NaN])
        await expect(shard.read(row)).rejects.toMatchObject({ code: "INTERNAL" });
      await shard.close();
      await shard.close();
      await expect(shard.read(0)).rejects.toMatchObject({ code: "CLOSED" });
      if (handles) expect(handles()).toBe(0);
    });

    test("rejects shards that do not exist", async () => {
      const { source, shards } = await make();
      for (const number of [-1, shards.length, 0.5])
        await expect(source.open(number)).rejects.toMatchObject({ code: "INTERNAL" });
    });

    test("rejects with ABORTED once given up, and works for the next", async () => {
      const { source, shards, handles } = await make();
      const signal = AbortSignal.abort();
      await expect(source.list(signal)).rejects.toMatchObject({ code: "ABORTED" });
      await expect(source.open(0, signal)).rejects.toMatchObject({ code: "ABORTED" });
      if (handles) expect(handles()).toBe(0);
      const shard = await source.open(0);
      expect(await shard.read(0)).toEqual(shards[0]?.[0]);
      await shard.close();
    });
  });
}
