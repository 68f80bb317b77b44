import { appendFileSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join as joinPath } from "node:path";
import { describe, expect, test } from "vitest";
import { fromBytes, openFile, type ByteSource } from "../../src/shards/bytes.ts";
import { openTar } from "../../src/sources/tar-shard.ts";
import { noise, openDescriptors, temporaryFolder } from "../fixtures/files.ts";
import { endOfArchive, entry, join, paxRecord, rawMember, tarOf } from "../fixtures/tar.ts";

describe("opening", () => {
  test("stops when given up, and the file is closed", async () => {
    const folder = temporaryFolder({ "x.tar": tarOf([entry("a.jpg")]) });
    const source = await openFile(joinPath(folder, "x.tar"), "x.tar");
    await expect(openTar(source, "x.tar", { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "ABORTED",
    });
    expect(openDescriptors(folder)).toBe(0);
  });
});

describe("rows", () => {
  const json = (value: unknown): string => JSON.stringify(value);

  test("key, group, name and bytes, in any order", async () => {
    const long = `${"deep/".repeat(40)}ü.jpg`;
    const shard = await openTar(
      fromBytes(
        tarOf([
          entry("a.json", json({ group: "g" })),
          entry("a.jpg", "A"),
          entry("b.txt"),
          entry(long, "L"),
          entry("c.png", ""),
          entry("c.json", json({ group: 7 })),
        ]),
        "x.tar",
      ),
      "x.tar",
      { group: "group" },
    );
    expect(shard.rows).toBe(3);
    const rows = await Promise.all([2, 0, 1].map((row) => shard.read(row)));
    expect(
      rows.map(({ key, group, name, bytes }) => [key, group, name, Buffer.from(bytes).toString()]),
    ).toEqual([
      ["c", "7", "c.png", ""],
      ["a", "g", "a.jpg", "A"],
      [long.slice(0, -4), long.slice(0, -4), long, "L"],
    ]);
  });

  test.each([
    ["{"],
    ["null"],
    ["[]"],
    ["{}"],
    [json({ group: null })],
    [json({ group: ["x"] })],
    [json({ other: "x" })],
    [`{"__proto__":{"group":"x"}}`],
    [" ".repeat(1 << 20) + json({ group: "x" })],
  ])("without a usable field the key is the group: %.30s", async (text) => {
    const shard = await openTar(
      fromBytes(tarOf([entry("a.jpg"), entry("a.json", text)]), "x.tar"),
      "x.tar",
      { group: "group" },
    );
    expect((await shard.read(0)).group).toBe("a");
  });

  test("the field of the group has the name asked for, and none is asked for by default", async () => {
    const source = (): ByteSource =>
      fromBytes(
        tarOf([entry("a.jpg"), entry("a.json", json({ group: "x", "photo id": "y" }))]),
        "x.tar",
      );
    expect((await (await openTar(source(), "x.tar", { group: "photo id" })).read(0)).group).toBe(
      "y",
    );
    expect((await (await openTar(source(), "x.tar")).read(0)).group).toBe("a");
  });

  test("names from long and global headers are read again with the row", async () => {
    const long = "l".repeat(150);
    const bytes = join([
      rawMember({ type: "L" }, `${long}.jpg\0`),
      rawMember({ name: "cut" }, "1"),
      rawMember({ type: "g" }, paxRecord("path", "all.jpg")),
      rawMember({ name: "x" }, "2"),
      rawMember({ type: "g" }, paxRecord("path", "")),
      rawMember({ name: "last.jpg" }, "3"),
      endOfArchive,
    ]);
    const shard = await openTar(fromBytes(bytes, "x.tar"), "x.tar");
    const rows = await Promise.all([0, 1, 2].map((row) => shard.read(row)));
    expect(rows.map(({ name }) => name)).toEqual([`${long}.jpg`, "all.jpg", "last.jpg"]);
  });

  test("names that lead out of the folder are names, nothing else", async () => {
    const folder = temporaryFolder({ "in/x.txt": "x" });
    const names = [
      "../out.jpg",
      "/etc/hostname.jpg",
      "a/../../b.jpg",
      "C:\\c.jpg",
      "nul\u0001.jpg",
    ];
    writeFileSync(
      joinPath(folder, "in/x.tar"),
      join([...names.map((name) => rawMember({ name }, name)), endOfArchive]),
    );
    const shard = await openTar(await openFile(joinPath(folder, "in/x.tar"), "x.tar"), "x.tar");
    const rows = await Promise.all(names.map((_, row) => shard.read(row)));
    expect(rows.map(({ name, bytes }) => [name, Buffer.from(bytes).toString()])).toEqual(
      names.map((name) => [name, name]),
    );
    await shard.close();
    expect(new Set(readdirSync(folder, { recursive: true, encoding: "utf8" }))).toEqual(
      new Set(["in", "in/x.tar", "in/x.txt"]),
    );
  });

  test("an image larger than 256 MiB is unusable, and no memory is asked for", async () => {
    const size = (1 << 28) + 1;
    // a source that says it is large and holds headers only
    const headers = join([
      rawMember({ size: `${size.toString(8).padStart(11, "0")} ` }),
      endOfArchive,
    ]);
    const end = 512 + Math.ceil(size / 512) * 512;
    let reads = 0;
    const source: ByteSource = {
      size: end + 1024,
      async read(at, length) {
        reads++;
        const from = at < end ? at : at - end + 512;
        return Uint8Array.from({ length }, (_, i) => headers[from + i] ?? 0);
      },
      close: async () => undefined,
    };
    const shard = await openTar(source, "x.tar");
    const before = reads;
    await expect(shard.read(0)).rejects.toMatchObject({ code: "IMAGE_UNUSABLE" });
    expect(reads).toBe(before);
  });
});

describe("a file that changes while in use", () => {
  const archive = tarOf([entry("a.jpg", noise(5_000, 1)), entry("b.jpg", noise(5_000, 2))]);

  test.each<[string, (path: string) => void]>([
    ["grows", (path) => appendFileSync(path, new Uint8Array(512))],
    ["is cut", (path) => writeFileSync(path, archive.subarray(0, 3_000))],
    [
      "is written again with other contents",
      (path) =>
        writeFileSync(
          path,
          tarOf([entry("a.jpg", noise(5_000, 3)), entry("b.jpg", noise(5_000, 4))]),
        ),
    ],
    ["gets another time", (path) => utimesSync(path, 1, 1)],
  ])("%s: SHARD_CORRUPT", async (_what, change) => {
    const folder = temporaryFolder({ "x.tar": archive });
    const path = joinPath(folder, "x.tar");
    utimesSync(path, 1_000, 1_000);
    const shard = await openTar(await openFile(path, "x.tar"), "x.tar");
    expect((await shard.read(0)).bytes).toEqual(noise(5_000, 1));
    change(path);
    await expect(shard.read(0)).rejects.toMatchObject({
      code: "SHARD_CORRUPT",
      message: "x.tar: changed while in use",
    });
    await shard.close();
    expect(openDescriptors(folder)).toBe(0);
  });
});

test("a sample is one read where its members lie together, else one a piece", async () => {
  for (const [between, expected] of [
    [100, 1],
    [40_000, 3],
  ] as const) {
    const memory = fromBytes(
      tarOf([
        entry("a.jpg", noise(5_000, 1)),
        entry("a.txt", new Uint8Array(between)),
        entry("a.json", '{"group":"g"}'),
      ]),
      "x.tar",
    );
    let reads = 0;
    const source: ByteSource = {
      ...memory,
      read(at, length) {
        reads++;
        return memory.read(at, length);
      },
    };
    const shard = await openTar(source, "x.tar", { group: "group" });
    reads = 0;
    expect(await shard.read(0)).toEqual({
      key: "a",
      group: "g",
      name: "a.jpg",
      bytes: noise(5_000, 1),
    });
    expect(reads).toBe(expected);
    await shard.close();
  }
});
