import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openSource } from "../../src/sources/open.ts";
import { createSupplies } from "../../src/sources/supplies.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { entry, tarOf } from "../fixtures/tar.ts";

const tar = tarOf([entry("a.json", '{"group":"g"}'), entry("a.jpg")]);

async function names(address: string): Promise<string[]> {
  return Array.from(await (await openSource(address)).list(), ({ name }) => name);
}

describe("an address", () => {
  test("a folder of images, in the order asked for", async () => {
    const folder = temporaryFolder({ "a.jpg": "1", "b/c.png": "2", "README.md": "3" });
    const source = await openSource(folder, { order: () => Uint32Array.of(1, 0) });
    expect(source.address).toBe(folder);
    const shard = await source.open(0);
    expect([(await shard.read(0)).key, (await shard.read(1)).key]).toEqual(["b/c", "a"]);
  });

  test("a folder with .tar files, below it, too; other files do not matter", async () => {
    const folder = temporaryFolder({
      "b.tar": tar,
      "a.TAR": tar,
      "c/d.tar": tar,
      "README.md": "x",
      ".x.tar": "x",
    });
    expect(await names(folder)).toEqual(["a.TAR", "b.tar", "c/d.tar"]);
    expect(await names(`${folder}/`)).toEqual(["a.TAR", "b.tar", "c/d.tar"]);
  });

  test("one .tar file; the field of the group is passed on", async () => {
    const folder = temporaryFolder({ "x/photos{1}.tar": tar });
    const source = await openSource(join(folder, "x/photos{1}.tar"), { group: "group" });
    expect([...(await source.list())]).toEqual([{ name: "photos{1}.tar", size: tar.length }]);
    const shard = await source.open(0);
    expect((await shard.read(0)).group).toBe("g");
    await shard.close();
  });

  test("braces in the order written, wildcards sorted; names begin after the fixed folder", async () => {
    const folder = temporaryFolder({
      "s/p-08.tar": tar,
      "s/p-09.tar": tar,
      "s/p-10.tar": tar,
      "s/sub/q.tar": tar,
    });
    expect(await names(`${folder}/s/p-{08..10}.tar`)).toEqual(["p-08.tar", "p-09.tar", "p-10.tar"]);
    expect(await names(`${folder}/s/{sub/q,p-09}.tar`)).toEqual(["sub/q.tar", "p-09.tar"]);
    expect(await names(`${folder}/s/*.tar`)).toEqual(["p-08.tar", "p-09.tar", "p-10.tar"]);
    expect(await names(`${folder}/*/**/*.tar`)).toEqual([
      "s/p-08.tar",
      "s/p-09.tar",
      "s/p-10.tar",
      "s/sub/q.tar",
    ]);
  });
});

describe("what can't be opened", () => {
  const folder = (): string =>
    temporaryFolder({
      "both/a.tar": tar,
      "both/a.jpg": "x",
      "text/a.txt": "x",
      "a.jpg": "x",
      "b.tar": tar,
      "forms/a.parquet": "x",
      "forms/b.tar.gz": "x",
    });

  test.each([
    ["nothing", "SOURCE_NOT_FOUND", "nothing"],
    ["a.jpg/x", "SOURCE_NOT_FOUND", "a.jpg/x"],
    ["b-{0..1}.tar", "SOURCE_NOT_FOUND", "b-0.tar"],
    ["*.tgz.tar", "SOURCE_NOT_FOUND", "*.tgz.tar"],
    ["bo*", "SOURCE_NOT_FOUND", "bo*"],
    ["text", "SOURCE_EMPTY", "text"],
    ["both", "BAD_OPTION", "both shards (1) and images (1)"],
    ["a.jpg", "BAD_OPTION", "expected a folder, a tar"],
    ["a*.jpg", "BAD_OPTION", "is neither a tar nor a Parquet file"],
    ["{b,b}.tar", "BAD_OPTION", "twice"],
    ["{b}.tar", "BAD_OPTION", "neither a range"],
    ["forms/*", "BAD_OPTION", "both tars and Parquet files"],
  ])("%s: %s", async (address, code, message) => {
    await expect(openSource(join(folder(), address))).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });

  test.each([
    "ftp://host/a.tar",
    "s3://bucket/a.tar",
    "https://user:secret@host/a.tar",
    "https://host/a.zip",
    "https://host/",
  ])("%s", async (address) => {
    const supplies = createSupplies({
      net: () => Promise.reject(new Error("not asked for")),
      store: () => Promise.reject(new Error("not asked for")),
      note: () => undefined,
    });
    const opened = openSource(address, { supplies });
    await expect(opened).rejects.toMatchObject({ code: "BAD_OPTION" });
    await expect(opened).rejects.not.toThrow("secret");
  });

  test("an empty address", async () => {
    await expect(openSource("")).rejects.toMatchObject({ code: "BAD_OPTION" });
  });
});
