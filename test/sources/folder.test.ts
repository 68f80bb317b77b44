import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createFolderSource, listFolder, sortUtf8 } from "../../src/sources/folder.ts";
import { isImageName } from "../../src/shards/samples.ts";
import type { Source } from "../../src/sources/source.ts";
import { sourceContract } from "../contracts/source.ts";
import { noise, openDescriptors, output, temporaryFolder } from "../fixtures/files.ts";

// in the order of their bytes, which is neither that of a locale nor that of UTF-16
const names = [
  "A.PNG",
  "a-b.jpg",
  "a.jpg",
  "a/z.webp",
  "ab.jpg",
  "dir.d/x.y.jpeg",
  "é.jpg",
  "\u{ff5e}.jpg",
  "\u{1f600}.jpg",
];
const rows = names.map((name, i) => {
  const key = name.slice(0, name.lastIndexOf("."));
  return { key, group: key, name, bytes: noise(i * 700, i) };
});
const files = Object.fromEntries(rows.map(({ name, bytes }) => [name, bytes]));

async function keys(source: Source): Promise<string[]> {
  const shard = await source.open(0);
  const found = await Promise.all(Array.from({ length: shard.rows }, (_, row) => shard.read(row)));
  return found.map(({ key }) => key);
}

sourceContract("a folder", () => {
  const folder = temporaryFolder({ ...files, "README.md": "text" });
  return {
    source: createFolderSource(folder),
    shards: [rows],
    handles: () => openDescriptors(folder),
  };
});

sourceContract("a folder in another order", () => {
  const folder = temporaryFolder(files);
  const order = (count: number): Uint32Array =>
    Uint32Array.from({ length: count }, (_, i) => (i * 2 + 1) % count);
  const shuffled = rows.map((_, i) => rows[(i * 2 + 1) % rows.length] as (typeof rows)[number]);
  return {
    source: createFolderSource(folder, { order }),
    shards: [shuffled],
    handles: () => openDescriptors(folder),
  };
});

describe("the listing", () => {
  test("is sorted as Python sorts the encoded names", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.string({ minLength: 1, unit: "grapheme" }), { maxLength: 20 }),
        async (list) => {
          const byBytes = list.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
          expect(sortUtf8(list.slice())).toEqual(byBytes);
        },
      ),
      { seed: 3 },
    );
    const theirs = output("python3", [
      "-c",
      "import json, sys; print(json.dumps(sorted(json.loads(sys.argv[1]), key=lambda s: s.encode())))",
      JSON.stringify(names),
    ]);
    expect(JSON.parse(theirs)).toEqual(names);
  });

  test("does not depend on the order in which files were made, and its hash tells names and sizes", async () => {
    const one = [...(await createFolderSource(temporaryFolder(files)).list())];
    const other = await createFolderSource(
      temporaryFolder(Object.fromEntries(Object.entries(files).toReversed())),
    ).list();
    expect(other).toEqual(one);
    expect(one[0]?.size).toBe(rows.reduce((sum, { bytes }) => sum + bytes.length, 0));
    for (const changed of [
      { ...files, "b.jpg": "" },
      { ...files, "a.jpg": "x" },
    ]) {
      expect((await createFolderSource(temporaryFolder(changed)).list()).at(0)?.hash).not.toBe(
        one[0]?.hash,
      );
    }
  });

  test("skips hidden and other files, and says how many", async () => {
    const folder = temporaryFolder({
      "a.jpg": "1",
      ".b.jpg": "2",
      "._a.jpg": "3",
      ".cache/c.jpg": "4",
      "notes.txt": "5",
      "d/e.JPG": "6",
    });
    output("mkfifo", ["pipe.jpg"], folder);
    const found = await listFolder(folder, isImageName);
    expect(Array.from({ length: found.count }, (_, i) => found.name(i))).toEqual([
      "a.jpg",
      "d/e.JPG",
    ]);
    expect(found.skipped).toEqual({ hidden: 3, "not an image": 1, "special file": 1 });
  });

  test("follows links to files inside only; reports the others", async () => {
    const outside = temporaryFolder({ "secret.jpg": "secret", "d/x.jpg": "x" });
    const folder = temporaryFolder({ "a.jpg": "1", "d/b.jpg": "2" });
    mkdirSync(`${folder}-sibling`);
    writeFileSync(`${folder}-sibling/near.jpg`, "near");
    symlinkSync("../a.jpg", join(folder, "d/inside.jpg"));
    symlinkSync(join(outside, "secret.jpg"), join(folder, "leaves.jpg"));
    symlinkSync(`${folder}-sibling/near.jpg`, join(folder, "near.jpg"));
    symlinkSync(outside, join(folder, "folder.jpg"));
    symlinkSync("d", join(folder, "loop"));
    symlinkSync("nowhere.jpg", join(folder, "broken.jpg"));
    const source = createFolderSource(folder);
    expect(await keys(source)).toEqual(["a", "d/b", "d/inside"]);
    const { notes } = await source.open(0);
    rmSync(`${folder}-sibling`, { recursive: true });
    const byKey = Object.fromEntries(
      (notes?.problems ?? []).map(({ key, reason }) => [key, reason]),
    );
    expect(byKey).toEqual({
      "leaves.jpg": "link leaves the folder",
      "near.jpg": "link leaves the folder",
      "folder.jpg": "link leaves the folder",
      loop: "link to what is no file",
      "broken.jpg": "broken link: ENOENT",
    });
    expect(notes?.skipped).toEqual({ link: 5 });
  });

  test("a folder that is itself reached by a link", async () => {
    const folder = temporaryFolder({ "real/a.jpg": "1", "real/b.jpg": "2" });
    symlinkSync("real", join(folder, "link"));
    symlinkSync("a.jpg", join(folder, "real/c.jpg"));
    expect(await keys(createFolderSource(join(folder, "link")))).toEqual(["a", "b", "c"]);
  });

  test("a name that is not UTF-8 is reported, not lost in silence", async () => {
    const folder = temporaryFolder({ "a.jpg": "1" });
    writeFileSync(
      Buffer.concat([Buffer.from(`${folder}/b`), Buffer.from([0xff]), Buffer.from(".jpg")]),
      "2",
    );
    const source = createFolderSource(folder);
    expect(await keys(source)).toEqual(["a"]);
    const { notes } = await source.open(0);
    expect(notes?.skipped).toEqual({ "unreadable name": 1 });
    expect(notes?.problems).toMatchObject([{ reason: expect.stringContaining("UTF-8") }]);
  });

  test("keeps no string a row", async () => {
    const found = await listFolder(temporaryFolder(files), isImageName);
    const kept = Object.values(found).filter((value) => typeof value === "object");
    for (const value of kept)
      expect(Array.isArray(value) ? value.length : "flat").toBe(Array.isArray(value) ? 0 : "flat");
  });
});

describe("failures", () => {
  test("empty, missing, a file", async () => {
    await expect(
      createFolderSource(temporaryFolder({ "a.txt": "x" })).list(),
    ).rejects.toMatchObject({ code: "SOURCE_EMPTY" });
    const folder = temporaryFolder({ "a.jpg": "x" });
    for (const path of [join(folder, "b"), join(folder, "a.jpg")])
      await expect(createFolderSource(path).list()).rejects.toMatchObject({
        code: "SOURCE_NOT_FOUND",
      });
  });

  test("a folder that is there the next time is listed then", async () => {
    const folder = temporaryFolder();
    const source = createFolderSource(join(folder, "later"));
    await expect(source.list()).rejects.toMatchObject({ code: "SOURCE_NOT_FOUND" });
    mkdirSync(join(folder, "later"));
    writeFileSync(join(folder, "later/a.jpg"), "x");
    expect(await source.list()).toHaveLength(1);
  });

  test.each<[string, (path: string) => void]>([
    ["is written again", (path) => writeFileSync(path, "other")],
    ["has other contents of the same length", (path) => writeFileSync(path, noise(500, 2))],
    ["is removed", (path) => rmSync(path)],
    ["becomes a folder", (path) => (rmSync(path), mkdirSync(path))],
    [
      "is exchanged",
      (path) => (writeFileSync(`${path}2`, noise(500, 3)), renameSync(`${path}2`, path)),
    ],
  ])("a file that %s: SHARD_CORRUPT", async (_what, change) => {
    const folder = temporaryFolder({ "a.jpg": noise(500, 1), "b.jpg": "b" });
    utimesSync(join(folder, "a.jpg"), 1_000, 1_000);
    const shard = await createFolderSource(folder).open(0);
    change(join(folder, "a.jpg"));
    await expect(shard.read(0)).rejects.toMatchObject({
      code: "SHARD_CORRUPT",
      message: expect.stringContaining("a.jpg"),
    });
    expect((await shard.read(1)).key).toBe("b");
    expect(openDescriptors(folder)).toBe(0);
  });
});
