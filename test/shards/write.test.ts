import { readFileSync, writeFileSync } from "node:fs";
import { join as joinPath } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { tarHeader, writeTar } from "../../src/shards/write.ts";
import { noise, output, temporaryFolder } from "../fixtures/files.ts";
import { entry, join, readAll, tarOf } from "../fixtures/tar.ts";

const component = fc
  .string({ minLength: 1, maxLength: 120, unit: "binary" })
  .filter((part) => !/[/\0]|^\.{1,2}$/.test(part) && part.isWellFormed());
const name = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));

async function written(entries: Parameters<typeof writeTar>[0]): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of writeTar(entries)) parts.push(part);
  return join(parts);
}

describe("an archive", () => {
  test("read again gives the same names and contents", async () => {
    const entries = fc.uniqueArray(fc.record({ name, data: fc.uint8Array({ maxLength: 1_100 }) }), {
      maxLength: 6,
      selector: (one) => one.name,
    });
    await fc.assert(
      fc.asyncProperty(entries, async (list) => {
        const bytes = await written(list);
        expect(bytes.length % 512).toBe(0);
        const found = await readAll(bytes);
        expect(found.map((one) => one.name)).toEqual(list.map((one) => one.name));
        for (const [i, { offset, size }] of found.entries())
          expect(bytes.subarray(offset, offset + size)).toEqual(list[i]?.data);
      }),
      { numRuns: 300, seed: 2 },
    );
  });

  test("is what GNU tar and Python read, too", async () => {
    const names = [
      "a.jpg",
      "ü/図 .jpg",
      `${"f".repeat(100)}/${"n".repeat(100)}`,
      "n".repeat(101),
      `${"p".repeat(156)}/x.jpg`,
      "x".repeat(100),
      `${"é".repeat(60)}.jpg`,
      "-dash",
      "quote\"'.jpg",
    ];
    const folder = temporaryFolder({
      "x.tar": await written(names.map((one, i) => entry(one, noise(i * 300, i)))),
      "out/.keep": "",
    });
    output("tar", ["-xf", joinPath(folder, "x.tar")], joinPath(folder, "out"));
    for (const [i, one] of names.entries())
      expect(new Uint8Array(readFileSync(joinPath(folder, "out", one)))).toEqual(noise(i * 300, i));
    const listing = output(
      "tar",
      ["--numeric-owner", "--full-time", "--utc", "-tvf", "x.tar", "a.jpg"],
      folder,
    );
    expect(listing).toMatch(/^-rw-r--r-- 0\/0 +0 1970-01-01 00:00:00 a\.jpg\n$/);
    const theirs = output(
      "python3",
      [
        "-c",
        'import json, tarfile; print(json.dumps([[m.name, m.size, m.mtime, m.uid, m.mode] for m in tarfile.open("x.tar")]))',
      ],
      folder,
    );
    expect(JSON.parse(theirs)).toEqual(names.map((one, i) => [one, i * 300, 0, 0, 0o644]));
  });

  test("is the same bytes whenever and from whatever iterable", async () => {
    const list = [entry("a.jpg"), entry("ü.jpg")];
    async function* slowly(): AsyncGenerator<(typeof list)[number]> {
      yield* list;
    }
    expect(await written(slowly())).toEqual(await written(list));
    expect(await written(list)).toEqual(tarOf(list));
  });

  test("holds sizes beyond eight gibibytes in PAX records, which Python reads", () => {
    const size = 8 ** 11 + 5;
    const folder = temporaryFolder();
    writeFileSync(joinPath(folder, "x.tar"), tarHeader("a.jpg", size));
    const theirs = output(
      "python3",
      ["-c", 'import tarfile; print(tarfile.TarFile("x.tar").firstmember.size)'],
      folder,
    );
    expect(Number(theirs)).toBe(size);
    expect(tarHeader("a.jpg", size - 6)).toHaveLength(512);
  });
});

test.each(["", "/a.jpg", "a//b.jpg", "../a.jpg", "a/./b.jpg", "a/..", "a\0.jpg", "a/"])(
  "refuses the name %j",
  (bad) => {
    expect(() => tarHeader(bad, 0)).toThrow(expect.objectContaining({ code: "BAD_OPTION" }));
  },
);
