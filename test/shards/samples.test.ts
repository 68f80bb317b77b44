import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { StreamError } from "../../src/errors.ts";
import { fromBytes } from "../../src/shards/bytes.ts";
import { createNotebook, type Notes } from "../../src/shards/notes.ts";
import { isImageName, samples, splitName, type Sample } from "../../src/shards/samples.ts";
import { members } from "../../src/shards/tar.ts";
import { output, temporaryFolder } from "../fixtures/files.ts";
import { endOfArchive, entry, join, rawMember, tarOf } from "../fixtures/tar.ts";

async function group(
  bytes: Uint8Array,
  image?: string,
): Promise<{ found: Sample[]; notes: Notes }> {
  const notes = createNotebook();
  const found: Sample[] = [];
  const all = members(fromBytes(bytes, "x.tar"), "x.tar");
  for await (const sample of samples(all, "x.tar", notes, image)) found.push(sample);
  return { found, notes };
}

const archive = (...names: string[]): Uint8Array =>
  join([...names.map((name) => rawMember({ name }, name)), endOfArchive]);

const short = ({ key, image, json }: Sample): unknown => [key, image?.name, json?.name];

describe("the key", () => {
  test("is the path up to the first dot of its last component", () => {
    expect(splitName("a/b.c/d.e.jpg")).toEqual({ key: "a/b.c/d", extension: "e.jpg" });
    expect(splitName("./d.jpg")).toEqual({ key: "./d", extension: "jpg" });
    expect(splitName("a.b/c")).toBeUndefined();
  });

  test("agrees with WebDataset's own expression", () => {
    const names = [
      "a.jpg",
      "a/b.jpg",
      "a.b/c.jpg",
      "./a.jpg",
      "../a.jpg",
      "/a.jpg",
      "a.tar.gz.jpg",
      "a/b.c/d.e.f",
      "ü/図.jpg",
      "plain",
      "a.b/plain",
      "a.",
    ];
    const program = `import json, re, sys
keys = [re.match(r"^((?:.*/|)[^.]+)[.]([^/]*)$", name) for name in json.loads(sys.argv[1])]
print(json.dumps([[m.group(1), m.group(2)] if m else None for m in keys]))`;
    const theirs: unknown = JSON.parse(output("python3", ["-c", program, JSON.stringify(names)]));
    const ours = names
      .map((name) => splitName(name))
      .map((parts) => (parts ? [parts.key, parts.extension] : null));
    expect(ours).toEqual(theirs);
  });
});

test("adjacent members of one key are one sample", async () => {
  const { found, notes } = await group(
    archive("a.json", "a.jpg", "a.txt", "b/a.PNG", "b/a.JSON", "c.cls", "d.webp"),
  );
  expect(found.map(short)).toEqual([
    ["a", "a.jpg", "a.json"],
    ["b/a", "b/a.PNG", "b/a.JSON"],
    ["c", undefined, undefined],
    ["d", "d.webp", undefined],
  ]);
  expect(notes.skipped).toEqual({ "no image": 1 });
});

test("the image: the first by whole extension, else by its last part", async () => {
  const { found, notes } = await group(
    archive("a.seg.png", "a.jpg", "a.png", "b.v2.jpg", "b.seg.png", "c.jpg", "c.jpeg"),
  );
  expect(found.map(({ image }) => image?.name)).toEqual(["a.jpg", "b.v2.jpg", "c.jpg"]);
  expect(notes.skipped).toEqual({ "further image": 4 });
});

test("the image the user names: the whole extension, whatever its case, and no other", async () => {
  const bytes = archive(
    "a.jpg",
    "a.SEG.png",
    "a.json",
    "b.png",
    "b.seg.png.txt",
    "c/d.x.seg.png",
    "e.seg.png",
    "e.Seg.Png",
    "f.img",
    "f.jpg",
  );
  const chosen = async (image: string): Promise<unknown> => {
    const { found, notes } = await group(bytes, image);
    return [found.flatMap((sample) => sample.image?.name ?? []), notes.skipped];
  };
  expect(await chosen("seg.png")).toEqual([
    ["a.SEG.png", "e.seg.png"],
    { "no image": 3, "further image": 1 },
  ]);
  expect(await chosen("JPG")).toEqual([["a.jpg", "f.jpg"], { "no image": 3 }]);
  // no name of an image, but the user says that it is one
  expect(await chosen("img")).toEqual([["f.img"], { "no image": 4 }]);
  expect(await chosen("png")).toEqual([["b.png"], { "no image": 4 }]);
});

test("extensions of images, whatever their case", () => {
  for (const name of ["a.jpg", "a.JPEG", "a.Png", "a.webp", "a.avif", "a.gif", "a.tif", "a.TIFF"])
    expect([name, isImageName(name)]).toEqual([name, true]);
  for (const name of ["a.jpgx", "jpg", "a.heic", "a.jpg.txt", "a"])
    expect([name, isImageName(name)]).toEqual([name, name === "jpg"]);
});

test("what is no data is skipped and counted; links are reported, too", async () => {
  const bytes = join([
    rawMember({ name: "d/", type: "5" }),
    rawMember({ name: "a.jpg" }, "1"),
    rawMember({ name: "._a.jpg" }, "apple"),
    rawMember({ name: "d/.hidden.jpg" }, "2"),
    rawMember({ name: "a.json" }, "{}"),
    rawMember({ name: "README" }, "3"),
    rawMember({ name: "b.jpg", type: "2", link: "/etc/passwd" }),
    rawMember({ name: "c.jpg", type: "1", link: "a.jpg" }),
    rawMember({ name: "e.jpg", type: "3" }),
    endOfArchive,
  ]);
  const { found, notes } = await group(bytes);
  expect(found.map(short)).toEqual([["a", "a.jpg", "a.json"]]);
  expect(notes.skipped).toEqual({
    directory: 1,
    hidden: 2,
    "no extension": 1,
    link: 2,
    "special file": 1,
  });
  expect(notes.problems).toEqual([
    { shard: "x.tar", key: "b.jpg", offset: 5_632, reason: "link" },
    { shard: "x.tar", key: "c.jpg", offset: 6_144, reason: "link" },
    { shard: "x.tar", key: "e.jpg", offset: 6_656, reason: "special file" },
  ]);
});

test("problems are kept up to a hundred, counted without end", async () => {
  const { notes } = await group(
    join([
      ...Array.from({ length: 250 }, (_, i) => rawMember({ name: `${i}.jpg`, type: "2" })),
      endOfArchive,
    ]),
  );
  expect([notes.problems.length, notes.skipped["link"]]).toEqual([100, 250]);
});

test.each([
  [["a.jpg", "b.jpg", "a.json"], "sample a"],
  [["a.txt", "d/a.jpg", "a.jpg"], "sample a"],
  [["a.jpg", "a.json", "a.jpg"], "a.jpg stands twice"],
])("%j is damage", async (names, message) => {
  const error: unknown = await group(archive(...names)).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(StreamError);
  expect(error).toMatchObject({
    code: "SHARD_CORRUPT",
    context: { shard: "x.tar", offset: (names.length - 1) * 1024 },
  });
  expect((error as StreamError).message).toContain(message);
});

test("an empty archive has no samples", async () => {
  expect((await group(tarOf([]))).found).toEqual([]);
  expect((await group(tarOf([entry("a.txt")]))).notes.skipped).toEqual({ "no image": 1 });
});

test("a shard made by GNU tar with a sorted file list", async () => {
  const folder = temporaryFolder({
    "1.jpg": "a",
    "1.json": "{}",
    "10.jpg": "b",
    "10.json": "{}",
    "s/1.jpg": "c",
  });
  output(
    "tar",
    ["--sort=name", "-cf", "x.tar", "1.jpg", "1.json", "10.jpg", "10.json", "s"],
    folder,
  );
  const { found } = await group(readFileSync(`${folder}/x.tar`));
  expect(found.map(({ key }) => key)).toEqual(["1", "10", "s/1"]);
});
