import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createCountsKeeper, readCounts, writeCounts } from "../../src/sources/counts.ts";
import { temporaryFolder } from "../fixtures/files.ts";

const list = [
  { name: "a.tar", size: 10, hash: "sha256:1" },
  { name: "b.tar", size: 20, hash: "sha256:2" },
  { name: "c.tar", size: 30 },
];

test("what is written is read, for shards of the same name, size and hash", async () => {
  const path = join(temporaryFolder({}), "deep", "counts.json");
  const shards = list.map((info, at) => ({ ...info, rows: at + 5 }));
  await writeCounts(path, { version: 1, image: null, shards });
  expect([...readCounts(path, list, undefined)]).toEqual([
    [0, 5],
    [1, 6],
    [2, 7],
  ]);
  const others = [{ ...list[1]!, size: 21 }, list[2]!, { ...list[0]!, hash: "sha256:3" }];
  expect([...readCounts(path, others, undefined)]).toEqual([[1, 7]]);
  expect(readCounts(path, list, "png").size).toBe(0);
});

test("a file that is none is told by name", () => {
  const bad = ["", "[]", "null", "{}", '{"version":2,"image":null,"shards":[]}'];
  const badShards = [
    '{"name":"a"}',
    '{"name":"a","size":1,"rows":-1}',
    '{"name":1,"size":1,"rows":1}',
    "null",
  ];
  for (const text of [
    ...bad,
    ...badShards.map((one) => `{"version":1,"image":null,"shards":[${one}]}`),
  ]) {
    const path = join(temporaryFolder({ "counts.json": text }), "counts.json");
    expect(() => readCounts(path, list, undefined)).toThrow(/^counts: .*counts\.json/);
  }
  expect(() => readCounts("/nowhere/counts.json", list, undefined)).toThrow("ENOENT");
});

test("streams keep what they learn of shards with a hash, and add to it", async () => {
  const folder = temporaryFolder({});
  const keeper = createCountsKeeper(folder, undefined);
  expect((await keeper.learnt(list)).size).toBe(0);
  await keeper.keep(list, (shard) => (shard === 1 ? undefined : 7));
  expect([...(await keeper.learnt(list))]).toEqual([[0, 7]]);
  await keeper.keep(list, (shard) => (shard === 1 ? 8 : undefined));
  expect([...(await createCountsKeeper(folder, undefined).learnt(list))]).toEqual([
    [0, 7],
    [1, 8],
  ]);
  expect((await createCountsKeeper(folder, "png").learnt(list)).size).toBe(0);
  const [name = ""] = readdirSync(join(folder, "counts"));
  expect(readdirSync(join(folder, "counts"))).toEqual([name]);
  const path = join(folder, "counts", name);
  for (const broken of [
    readFileSync(path).subarray(0, 20),
    "null",
    '{"version":2,"rows":[7,8,null]}',
    '{"version":1,"rows":[7,8]}',
    '{"version":1,"rows":[7,-8,null]}',
  ]) {
    writeFileSync(path, broken);
    expect((await keeper.learnt(list)).size).toBe(0);
  }
});
