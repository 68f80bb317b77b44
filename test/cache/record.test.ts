import fc from "fast-check";
import { expect, test } from "vitest";
import { createPool } from "../../src/cache/chunks.ts";
import { packHead, seedOf, unpack } from "../../src/cache/record.ts";
import { createMemoryRows } from "../../src/cache/rows.ts";
import type { Row } from "../../src/shards/feed.ts";

/** Any UTF-16, half pairs too: a group comes from JSON. */
const text = fc.array(fc.nat(0xffff)).map((units) => String.fromCharCode(...units));
const anyRow = fc.record({
  key: text,
  group: text,
  name: fc.string(),
  bytes: fc.uint8Array({ maxLength: 300 }),
});

/** As read into the middle of other memory. */
function packed(row: Row, number: number, id: string): Uint8Array {
  const head = packHead(row, number, seedOf(id));
  const memory = new Uint8Array(head.length + row.bytes.length + 20).fill(0xaa);
  memory.set(head, 7);
  memory.set(row.bytes, 7 + head.length);
  return memory.subarray(7, 7 + head.length + row.bytes.length);
}

test("a record gives back its row, and only as that row of that file", () => {
  fc.assert(
    fc.property(anyRow, fc.nat(1e9), fc.string(), (row, number, id) => {
      const record = packed(row, number, id);
      expect(unpack(record, number, seedOf(id))).toEqual(row);
      expect(unpack(record, number + 1, seedOf(id))).toBeUndefined();
      expect(unpack(record, number, seedOf(`${id}x`))).toBeUndefined();
    }),
  );
});

test("a record with any bit wrong, cut or longer is none", () => {
  fc.assert(
    fc.property(anyRow, fc.nat(), fc.nat(7), (row, at, bit) => {
      const record = packed(row, 3, "id");
      expect(unpack(record.subarray(0, at % record.length), 3, seedOf("id"))).toBeUndefined();
      expect(unpack(Uint8Array.of(...record, 0), 3, seedOf("id"))).toBeUndefined();
      record[at % record.length]! ^= 1 << bit;
      expect(unpack(record, 3, seedOf("id"))).toBeUndefined();
    }),
  );
});

test("rows in memory, in pieces of any size: what was put in comes out; freed memory is used again", () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(anyRow, { maxLength: 20 }), { maxLength: 5 }),
      fc.integer({ min: 64, max: 20_000 }),
      (blocks, limit) => {
        const pool = createPool(limit);
        const held = blocks.map((rows) => {
          const kept = createMemoryRows(pool);
          const stored: Row[] = [];
          for (const row of rows) if (kept.append(row)) stored.push(row);
          return { kept, stored };
        });
        expect(pool.used).toBeLessThanOrEqual(limit);
        for (const { kept, stored } of held) {
          expect(kept.rows).toBe(stored.length);
          for (const [row, right] of stored.entries()) expect(kept.read(row)).toEqual(right);
        }
        for (const { kept } of held) kept.free();
        expect(pool.used).toBe(0);
        // all of it is there again
        const last = createMemoryRows(pool);
        const row = {
          key: "",
          group: "",
          name: "",
          bytes: new Uint8Array(
            Math.floor(limit * 0.9) - 32 > 0 ? Math.floor(limit * 0.9) - 32 : 0,
          ),
        };
        expect(last.append(row)).toBe(true);
      },
    ),
  );
});
