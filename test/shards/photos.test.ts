import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { expect, test } from "vitest";
import { inspectSource, type SampleLine } from "../../src/sources/inspect.ts";
import { createCatalog } from "../../src/sources/catalog.ts";
import { openSource } from "../../src/sources/open.ts";
import { collect, output } from "../fixtures/files.ts";

const folder = join(import.meta.dirname, "../../shards");
const free = new Set([
  "Public domain",
  "CC0-1.0",
  "CC-BY-2.0",
  "CC-BY-3.0",
  "CC-BY-4.0",
  "CC-BY-SA-4.0",
]);

test("the sample shards: enough different photographs of useful sizes, none damaged", async () => {
  const catalog = await createCatalog(await openSource(folder, { group: "group" }));
  const groups = new Set<string>();
  const keys: string[] = [];
  for (let shard = 0; shard < catalog.shards; shard++) {
    for (let row = 0; row < (await catalog.count(shard)); row++) {
      const { key, group, bytes } = await catalog.read(shard, row);
      groups.add(group);
      keys.push(key);
      const { width, height, exif, icc } = await sharp(bytes).metadata();
      expect([
        key,
        Math.max(width, height) <= 640,
        Math.min(width, height) >= 280,
        exif,
        icc,
      ]).toEqual([key, true, true, undefined, undefined]);
      await sharp(bytes, { failOn: "warning" }).stats();
    }
  }
  expect(catalog.shards).toBeGreaterThanOrEqual(2);
  expect(keys.length).toBeGreaterThanOrEqual(48);
  expect(new Set(keys).size).toBe(keys.length);
  expect(groups.size).toBeGreaterThanOrEqual(24);
  expect(groups.size).toBeLessThan(keys.length);
  expect(catalog.problems).toEqual([]);
  await catalog.close();
});

test("each sample says where it is from, under a licence that allows it, and the page lists it", () => {
  const page = readFileSync(join(folder, "README.md"), "utf8");
  const listed = page
    .split("\n")
    .flatMap((line) =>
      /^\| (?!sample|-)/.test(line)
        ? (line.split("|")[1] ?? "").split(",").map((key) => key.trim())
        : [],
    );
  const found: string[] = [];
  for (const name of readdirSync(folder).filter((one) => one.endsWith(".tar"))) {
    const program = `import json, sys, tarfile
tar = tarfile.open(sys.argv[1])
print(json.dumps({m.name[:-5]: json.load(tar.extractfile(m)) for m in tar if m.name.endswith(".json")}))`;
    const records = JSON.parse(output("python3", ["-c", program, join(folder, name)])) as Record<
      string,
      Record<string, string>
    >;
    for (const [key, { group, title, author, licence, source }] of Object.entries(records)) {
      found.push(key);
      expect([key, free.has(licence ?? "")]).toEqual([key, true]);
      for (const field of [group, title, author, source]) expect(field).toBeTruthy();
      expect(source).toMatch(/^https:\/\//);
    }
  }
  expect(found.toSorted()).toEqual(listed.toSorted());
});

test("they stay small", () => {
  const total = readdirSync(folder).reduce(
    (sum, name) => sum + statSync(join(folder, name)).size,
    0,
  );
  expect(total).toBeLessThan(6e6);
});

test("the hashes of the report are those of the members", async () => {
  const lines = (await collect(inspectSource(await openSource(folder), { samples: true }))).filter(
    (line): line is SampleLine => "sha256" in line,
  );
  const program = `import hashlib, json, sys, tarfile
print(json.dumps([[m.name, hashlib.sha256(t.extractfile(m).read()).hexdigest()] for t in map(tarfile.open, sys.argv[1:]) for m in t if not m.name.endswith(".json")]))`;
  const tars = readdirSync(folder)
    .filter((name) => name.endsWith(".tar"))
    .map((name) => join(folder, name));
  expect(lines.map(({ image, sha256 }) => [image, sha256])).toEqual(
    JSON.parse(output("python3", ["-c", program, ...tars])),
  );
});
