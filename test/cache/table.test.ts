import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { createDiskStore } from "../../src/cache/disk.ts";
import { fileOf } from "../../src/cache/folder.ts";
import { createMemoryStore } from "../../src/cache/memory.ts";
import { openTable, packTable, type TableContent } from "../../src/cache/table.ts";
import { createPace } from "../../src/shards/pace.ts";
import { openDescriptors, temporaryFolder } from "../fixtures/files.ts";

const pace = createPace();
const width = 3;
const contents: fc.Arbitrary<TableContent> = fc
  .tuple(
    fc.array(fc.tuple(fc.double(), fc.double(), fc.double()), { maxLength: 20 }),
    fc.string({ unit: "grapheme" }),
  )
  .map(([rows, notes]) => ({ width, numbers: Float64Array.from(rows.flat()), notes }));

/** What is there; undefined for a row whose bytes are wrong. */
async function contentOf(
  folder: string,
  id: string,
): Promise<{ notes: string; rows: (number[] | undefined)[] } | undefined> {
  const table = await openTable(folder, id, width, pace);
  if (!table) return undefined;
  const { notes } = table;
  const rows: (number[] | undefined)[] = [];
  for (let row = 0; row < table.rows; row++) {
    const numbers = await table.read(row);
    rows.push(numbers && [...numbers]);
  }
  await table.close();
  return { notes, rows };
}

const rowsOf = ({ numbers }: TableContent): number[][] =>
  Array.from({ length: numbers.length / width }, (_, row) => [
    ...numbers.subarray(row * width, (row + 1) * width),
  ]);

test("what was written is read; of damaged bytes no number is believed", async () => {
  const folder = temporaryFolder();
  const path = join(folder, `${fileOf("id")}.table`);
  await fc.assert(
    fc.asyncProperty(
      contents,
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      fc.boolean(),
      async (content, place, change, cut) => {
        const bytes = packTable("id", content)!;
        writeFileSync(path, bytes);
        const whole = { notes: content.notes, rows: rowsOf(content) };
        expect(await contentOf(folder, "id")).toEqual(whole);
        const at = place % bytes.length;
        const damaged = cut ? bytes.subarray(0, at) : Buffer.from(bytes);
        if (!cut) damaged[at]! ^= change;
        writeFileSync(path, damaged);
        const found = await contentOf(folder, "id");
        if (cut) expect(found).toBeUndefined();
        if (!found) return;
        expect(found.notes).toBe(whole.notes);
        for (const [row, numbers] of found.rows.entries())
          if (numbers) expect(numbers).toEqual(whole.rows[row]);
        expect(found.rows.filter((numbers) => !numbers).length).toBeLessThanOrEqual(1);
      },
    ),
    { numRuns: 300 },
  );
  expect(openDescriptors(folder)).toBe(0);
});

test("a table of another identity, width or place is none", async () => {
  const folder = temporaryFolder();
  const bytes = packTable("id", { width, numbers: new Float64Array(6), notes: "n" })!;
  writeFileSync(join(folder, `${fileOf("id")}.table`), bytes);
  writeFileSync(join(folder, `${fileOf("other")}.table`), bytes);
  expect(await contentOf(folder, "id")).toBeDefined();
  expect(await contentOf(folder, "other")).toBeUndefined();
  expect(await contentOf(folder, "nowhere")).toBeUndefined();
  expect(await openTable(folder, "id", 2, pace)).toBeUndefined();
  // a row's numbers at another row's place
  const record = width * 8 + 4;
  const swapped = Buffer.from(bytes);
  bytes.copy(swapped, bytes.length - record, bytes.length - 2 * record, bytes.length - record);
  writeFileSync(join(folder, `${fileOf("id")}.table`), swapped);
  expect((await contentOf(folder, "id"))?.rows).toEqual([[0, 0, 0], undefined]);
  expect(openDescriptors(folder)).toBe(0);
});

const some = (rows: number): TableContent => ({
  width,
  numbers: Float64Array.from({ length: rows * width }, (_, at) => at),
  notes: "",
});

test("stores that keep one table at once leave a whole one, and nothing else", async () => {
  const folder = temporaryFolder();
  const open = () => createDiskStore({ folder, size: 100e6 });
  const stores = await Promise.all([open(), open(), open()]);
  await Promise.all(
    stores.flatMap((store) =>
      Array.from({ length: 20 }, (_, at) => store.keepTable!(`id ${at % 5}`, some(200))),
    ),
  );
  for (let at = 0; at < 5; at++)
    expect((await contentOf(folder, `id ${at}`))?.rows).toEqual(rowsOf(some(200)));
  await Promise.all(stores.map((store) => store.close()));
  const left = readdirSync(folder).filter((name) => !name.endsWith(".table"));
  expect(left.sort()).toEqual(["locks", "users"]);
});

test("tables count in the cache's size, give way to what is needed, and are not kept where nothing may go", async () => {
  const folder = temporaryFolder();
  const size = 200_000;
  const store = await createDiskStore({ folder, size });
  onTestFinished(() => store.close());
  const bytes = packTable("id 0", some(1000))!.length;
  for (let at = 0; at < 20; at++) {
    await store.keepTable!(`id ${at}`, some(1000));
    const files = readdirSync(folder, { withFileTypes: true }).filter((one) => one.isFile());
    const used = files.reduce((sum, { name }) => sum + statSync(join(folder, name)).size, 0);
    expect(used).toBeLessThanOrEqual(size);
  }
  expect(await contentOf(folder, "id 19")).toBeDefined();
  const tables = (): string[] => readdirSync(folder).filter((name) => name.endsWith(".table"));
  expect(tables().length).toBeGreaterThanOrEqual(Math.floor(size / bytes) - 1);
  // larger than all of it: nothing is written, and nobody is told
  await store.keepTable!("huge", some(10_000));
  expect(await contentOf(folder, "huge")).toBeUndefined();
  const row = { key: "a", group: "a", name: "a.jpg", bytes: new Uint8Array(150_000) };
  const feed = async () => ({
    count: 1,
    async *rows() {
      yield row;
    },
  });
  const shard = await store.open("rows", "rows", feed);
  await shard.counted(Infinity);
  expect((await shard.read(0)).bytes.length).toBe(150_000);
  await shard.close();
  expect(tables().length).toBeLessThan(2);
});

test("a store in memory keeps none, nor does one that is closed", async () => {
  const memory = createMemoryStore({ limit: 1e6 });
  expect("keepTable" in memory).toBe(false);
  await memory.close();
  const folder = temporaryFolder();
  const store = await createDiskStore({ folder, size: 1e6 });
  await store.close();
  await store.keepTable!("id", some(10));
  expect(await contentOf(folder, "id")).toBeUndefined();
});
