import { readFileSync } from "node:fs";
import { join as joinPath } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StreamError } from "../../src/errors.ts";
import { noise, output, temporaryFolder } from "../fixtures/files.ts";
import {
  endOfArchive,
  entry,
  join,
  paxRecord,
  rawMember,
  readAll,
  tarOf,
} from "../fixtures/tar.ts";

const long = `${"folder-with-a-long-name/".repeat(6)}${"x".repeat(90)}.jpg`;
const tree = {
  "plain.jpg": noise(700, 1),
  "empty.png": "",
  "exactly-a-block.webp": noise(512, 2),
  "sub/dir/übung 図.jpg": noise(1300, 3),
  "sub/name.with.dots.json": "{}",
};

async function corruption(bytes: Uint8Array): Promise<StreamError> {
  const error: unknown = await readAll(bytes).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof StreamError))
    throw new Error(`expected a StreamError, got ${String(error)}`);
  expect(error.code).toBe("SHARD_CORRUPT");
  expect(error.message).toContain("x.tar");
  expect(error.message).toMatch(/byte \d+/);
  expect(error.context["shard"]).toBe("x.tar");
  expect(error.context["offset"]).toBeTypeOf("number");
  return error;
}

function listed(
  bytes: Uint8Array,
  found: Awaited<ReturnType<typeof readAll>>,
): Record<string, string> {
  return Object.fromEntries(
    found
      .filter(({ kind }) => kind === "file")
      .map(({ name, offset, size }) => [
        name,
        Buffer.from(bytes.subarray(offset, offset + size)).toString("hex"),
      ]),
  );
}

const expected = (files: {
  readonly [name: string]: Uint8Array | string;
}): Record<string, string> =>
  Object.fromEntries(
    Object.entries(files).map(([name, data]) => [name, Buffer.from(data).toString("hex")]),
  );

describe("archives by other programs", () => {
  test.each(["v7", "ustar", "oldgnu", "gnu", "posix"])("GNU tar --format=%s", async (format) => {
    const files = { ...tree, ...(format === "v7" ? {} : { [long]: noise(10, 4) }) };
    const folder = temporaryFolder(files);
    output(
      "tar",
      [`--format=${format}`, "-cf", joinPath(folder, "x.tar"), ...Object.keys(files)],
      folder,
    );
    const bytes = readFileSync(joinPath(folder, "x.tar"));
    expect(listed(bytes, await readAll(bytes))).toEqual(expected(files));
  });

  test.each(["USTAR", "GNU", "PAX"])("Python tarfile, %s_FORMAT", async (format) => {
    const files = { ...tree, [long]: noise(10, 4) };
    const folder = temporaryFolder(files);
    const program = `import sys, tarfile
with tarfile.open("x.tar", "w", format=tarfile.${format}_FORMAT) as tar:
    for name in sys.argv[1:]: tar.add(name)`;
    output("python3", ["-c", program, ...Object.keys(files)], folder);
    const bytes = readFileSync(joinPath(folder, "x.tar"));
    expect(listed(bytes, await readAll(bytes))).toEqual(expected(files));
  });

  test("links, folders and devices are told apart and have no contents", async () => {
    const folder = temporaryFolder({ "a.jpg": "one", "d/b.jpg": "two" });
    output("ln", ["-s", "/etc/passwd", "out.jpg"], folder);
    output("ln", ["a.jpg", "hard.jpg"], folder);
    output("mkfifo", ["pipe.jpg"], folder);
    output(
      "tar",
      ["--sort=name", "-cf", "x.tar", "a.jpg", "d", "hard.jpg", "out.jpg", "pipe.jpg"],
      folder,
    );
    const found = await readAll(readFileSync(joinPath(folder, "x.tar")));
    expect(found.map(({ name, kind, size }) => [name, kind, size])).toEqual([
      ["a.jpg", "file", 3],
      ["d/", "directory", 0],
      ["d/b.jpg", "file", 3],
      ["hard.jpg", "link", 0],
      ["out.jpg", "link", 0],
      ["pipe.jpg", "special", 0],
    ]);
  });

  test("a sparse file is refused", async () => {
    for (const [format, version] of [
      ["gnu", []],
      ["posix", ["--sparse-version=0.1"]],
      ["posix", ["--sparse-version=1.0"]],
    ] as const) {
      const folder = temporaryFolder({ start: "x" });
      output("truncate", ["-s", "10M", "hole.jpg"], folder);
      output("dd", ["if=start", "of=hole.jpg", "seek=5000", "conv=notrunc", "status=none"], folder);
      output(
        "tar",
        ["--sparse", `--format=${format}`, ...version, "-cf", "x.tar", "hole.jpg"],
        folder,
      );
      expect((await corruption(readFileSync(joinPath(folder, "x.tar")))).message).toContain(
        "sparse",
      );
    }
  });
});

describe("headers", () => {
  test("a base-256 size, as GNU writes above 8 GiB", async () => {
    const size = Uint8Array.from([0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3]);
    const data = noise(515, 5);
    const bytes = join([rawMember({ size }, data), endOfArchive]);
    expect(await readAll(bytes)).toMatchObject([{ name: "a.jpg", size: 515, offset: 512 }]);
  });

  test.each([
    ["negative base-256", Uint8Array.from(Array.from({ length: 12 }, () => 0xff))],
    ["base-256 beyond 2^53", Uint8Array.from([0x80, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])],
    ["no octal digits", "0000000008a\0"],
    ["a sign", "-0000000001\0"],
  ])("a size field with %s is damage", async (_what, size) => {
    expect((await corruption(join([rawMember({ size }), endOfArchive]))).message).toContain("size");
  });

  test("size fields with spaces, without an end, and empty", async () => {
    for (const [size, length] of [
      ["         17 ", 15],
      ["000000000017", 15],
      ["17\0", 15],
      ["", 0],
    ] as const) {
      const bytes = join([rawMember({ size }, "x".repeat(length)), endOfArchive]);
      expect((await readAll(bytes))[0]?.size).toBe(length);
    }
  });

  test("a checksum over signed bytes, as some old archivers have it", async () => {
    const name = "\xe9t\xe9.jpg";
    for (const checksum of ["signed", "unsigned"] as const) {
      const bytes = join([
        rawMember({ name: Buffer.from(name, "latin1"), checksum }, "x"),
        endOfArchive,
      ]);
      expect((await readAll(bytes))[0]?.name).toBe(name);
    }
  });

  test("names that are not UTF-8 stay different", async () => {
    const bytes = join([
      rawMember({ name: Uint8Array.of(0xe8, 0x2e, 0x61) }),
      rawMember({ name: Uint8Array.of(0xe9, 0x2e, 0x61) }),
      endOfArchive,
    ]);
    expect(new Set((await readAll(bytes)).map(({ name }) => name)).size).toBe(2);
  });

  test("the prefix counts in POSIX archives only: GNU keeps times there", async () => {
    const posix = rawMember({ prefix: "p", name: "posix.jpg" });
    const gnu = rawMember({ prefix: "14072164517", name: "gnu.jpg", magic: "ustar  \0" });
    const v7 = rawMember({ prefix: "p", name: "v7.jpg", magic: "", type: "\0" });
    expect((await readAll(join([posix, gnu, v7, endOfArchive]))).map(({ name }) => name)).toEqual([
      "p/posix.jpg",
      "gnu.jpg",
      "v7.jpg",
    ]);
  });

  test("a name of v7 that ends in a slash is a folder", async () => {
    const bytes = join([rawMember({ name: "d.jpg/", magic: "", type: "\0" }), endOfArchive]);
    expect((await readAll(bytes))[0]?.kind).toBe("directory");
  });

  test("long names of GNU and PAX; the header offset is that of the first block", async () => {
    const first = rawMember({ name: "first.jpg" }, "1");
    const gnu = join([
      rawMember({ type: "K", name: "././@LongLink" }, "target\0"),
      rawMember({ type: "L", name: "././@LongLink" }, `${long}\0`),
      rawMember({ name: "cut" }, "2"),
    ]);
    const pax = join([
      rawMember(
        { type: "x", name: "PaxHeader" },
        paxRecord("mtime", "1.5") + paxRecord("path", `ü/${long}`),
      ),
      rawMember({ name: "cut" }, "3"),
    ]);
    const found = await readAll(join([first, gnu, pax, first, endOfArchive]));
    expect(found.map(({ name }) => name)).toEqual(["first.jpg", long, `ü/${long}`, "first.jpg"]);
    expect(found.map(({ header }) => header)).toEqual([
      0,
      first.length,
      first.length + gnu.length,
      first.length + gnu.length + pax.length,
    ]);
  });

  test("PAX size wins over the field, the later record over the earlier, an empty one takes it back", async () => {
    const sized = join([
      rawMember({ type: "x" }, paxRecord("size", "5") + paxRecord("size", "3")),
      rawMember({ size: "00000000000 " }, "abc"),
    ]);
    const named = join([
      rawMember({ type: "x" }, paxRecord("path", "no") + paxRecord("path", "")),
      rawMember({ name: "yes.jpg" }),
    ]);
    const found = await readAll(join([sized, named, endOfArchive]));
    expect(found.map(({ name, size }) => [name, size])).toEqual([
      ["a.jpg", 3],
      ["yes.jpg", 0],
    ]);
  });

  test("global PAX records hold from where they stand, until the next", async () => {
    const global = (path: string): Uint8Array =>
      rawMember(
        { type: "g", name: "pax_global_header" },
        paxRecord("comment", "x") + paxRecord("path", path),
      );
    const found = await readAll(
      join([
        rawMember({ name: "1" }),
        global("all"),
        rawMember({ name: "2" }),
        global(""),
        rawMember({ name: "3" }),
        endOfArchive,
      ]),
    );
    expect(found.map(({ name }) => name)).toEqual(["1", "all", "3"]);
  });

  test.each([
    "5 a=b\n",
    "6 a=b\n\n",
    "06 a=b\n",
    "x a=b\n",
    "6 ab==",
    "999 path=x\n",
    "4 a\n",
    " \n",
    paxRecord("size", "-1"),
    paxRecord("size", "1e3"),
    paxRecord("size", "9".repeat(16)),
  ])("bad PAX records %j", async (record) => {
    expect(
      (await corruption(join([rawMember({ type: "x" }, record), rawMember({}), endOfArchive])))
        .message,
    ).toContain("PAX");
  });

  test("an extension of more than a mebibyte, an extension without its member", async () => {
    await corruption(
      join([rawMember({ type: "L" }, new Uint8Array(2 << 20)), rawMember({}), endOfArchive]),
    );
    await corruption(join([rawMember({ type: "x" }, paxRecord("path", "x")), endOfArchive]));
    await corruption(rawMember({ type: "L" }, "name\0"));
  });
});

describe("damage", () => {
  const archive = tarOf([
    entry("a.jpg", noise(600, 1)),
    entry(`${"ü".repeat(60)}.png`, noise(40, 2)),
    entry("b.json", "{}"),
  ]);
  // the archive ends in two zero blocks, one is enough to know that it is whole
  const whole = archive.length - 512;

  test("cut anywhere, it is an error, never a shorter archive", async () => {
    const all = await readAll(archive);
    for (let block = 0; block <= archive.length; block += 512) {
      for (const end of [block - 1, block, block + 1, block + 100].filter(
        (one) => one >= 0 && one <= archive.length,
      )) {
        const cut = archive.subarray(0, end);
        if (end >= whole) expect(await readAll(cut)).toEqual(all);
        else await corruption(cut);
      }
    }
  });

  test("joined archives are an error: the second would be lost", async () => {
    expect((await corruption(join([archive, archive]))).message).toContain("after the end");
    expect(
      (await corruption(join([archive, new Uint8Array(3 << 20), Uint8Array.of(1)]))).context[
        "offset"
      ],
    ).toBe(archive.length + (3 << 20));
    expect(await readAll(join([archive, new Uint8Array(9_000)]))).toHaveLength(3);
  });

  test("no flipped bit of a header goes unnoticed", async () => {
    const [first] = await readAll(archive);
    for (let at = 0; at < 512; at++) {
      const flipped = archive.slice();
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
      const found = await readAll(flipped).catch((error: unknown) => error);
      if (!(found instanceof StreamError)) {
        // padding of the checksum field itself says nothing
        expect([at >= 148 && at < 156, found]).toEqual([true, await readAll(archive)]);
      }
    }
    expect(first?.name).toBe("a.jpg");
  });

  test("the offset named is that of the bad header", async () => {
    const found = await readAll(archive);
    const header = found[2]?.header ?? 0;
    const broken = archive.slice();
    broken[header + 3] = 0xff;
    expect((await corruption(broken)).context["offset"]).toBe(header);
  });

  test("any bytes: members within the file, or SHARD_CORRUPT; never anything else", async () => {
    const header = fc.record({
      name: fc.oneof(
        fc.string({ maxLength: 99 }).map((name) => name.replaceAll(/[^\x20-\x7e]/g, "_")),
        fc.uint8Array({ maxLength: 100 }),
      ),
      size: fc.oneof(
        fc.uint8Array({ minLength: 12, maxLength: 12 }),
        fc.nat(2_000).map((n) => `${n.toString(8).padStart(11, "0")} `),
      ),
      type: fc.constantFrom(...Array.from("012345678gxLKSVMDNX\0Zz")),
      magic: fc.constantFrom("ustar\x0000", "ustar  \0", ""),
    });
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 700 }),
      fc.string().map((value) => paxRecord("path", value)),
    );
    const parts = fc.array(fc.tuple(header, body), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(parts, fc.boolean(), async (list, ended) => {
        const bytes = join([
          ...list.map(([one, data]) => rawMember(one, data)),
          ...(ended ? [endOfArchive] : []),
        ]);
        try {
          let last = 0;
          for (const { header: from, offset, size } of await readAll(bytes)) {
            expect(from).toBeGreaterThanOrEqual(last);
            expect(offset).toBeGreaterThanOrEqual(from + 512);
            last = offset + size;
            expect(last).toBeLessThan(bytes.length);
          }
        } catch (error) {
          if (!(error instanceof StreamError)) throw error;
          expect(error.code).toBe("SHARD_CORRUPT");
        }
      }),
      { numRuns: 400, seed: 1 },
    );
  });
});
