/** libarchive as an oracle, both ways: CMake brings it along on every machine; where there is a bsdtar, that too. */
import { spawnSync } from "node:child_process";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join as joinPath } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { tarEnd, tarHeader } from "../../src/shards/write.ts";
import { packFolder } from "../../src/sources/pack.ts";
import {
  readTar,
  splitName,
  type WriteWebDatasetOptions,
  writeTar,
  writeWebDataset,
} from "../../src/webdataset.ts";
import { inChunks, split } from "../fixtures/chunks.ts";
import { collect, noise, output, temporaryFolder } from "../fixtures/files.ts";
import { testPython } from "../fixtures/serve.ts";
import { endOfArchive, join, paxRecord, rawMember, readAll } from "../fixtures/tar.ts";

interface Archiver {
  /** With its version, for the names of tests. */
  readonly name: string;
  /** Standard output; throws where it fails or warns of anything. */
  run(folder: string, ...given: readonly string[]): string;
}

function archiver(program: string, before: readonly string[] = []): Archiver {
  return {
    name: /^.*?[\d.]+/.exec(output(program, ["--version"]))![0],
    run(folder, ...given) {
      const { status, error, stdout, stderr } = spawnSync(program, [...before, ...given], {
        cwd: folder,
        encoding: "utf8",
        maxBuffer: 1 << 26,
        env: { ...process.env, LC_ALL: "C.UTF-8" },
      });
      if (error) throw error;
      if (status !== 0 || stderr !== "")
        throw new Error(`${program} ${given.join(" ")}: exit code ${status}: ${stderr}`);
      return stdout;
    },
  };
}

const cmake = joinPath(
  output(testPython(), ["-c", "import cmake; print(cmake.CMAKE_BIN_DIR)"]).trim(),
  "cmake",
);
const isThere = (program: string): boolean => !spawnSync(program, ["--version"]).error;
const archivers = [archiver(cmake, ["-E", "tar"])];
if (isThere("bsdtar")) archivers.push(archiver("bsdtar"));

const endings = ["tar", "tar.gz", "tar.zst"] as const;
const packed = archivers.flatMap((one) =>
  endings.map((ending) => [one.name, ending, one] as const),
);
const cases = packed.flatMap(([name, ending, one]) =>
  ["gnutar", "pax", "paxr"].map((format) => [name, format, ending, one] as const),
);

type Files = { readonly [name: string]: Uint8Array };

const sizes = [0, 1, 511, 512, 513, 1_025];
const odd: Files = Object.fromEntries(
  [
    "-dash.jpg",
    "B.seg.png",
    "a.jpg",
    "quote\"'.jpg",
    "ü/図 .jpg",
    "😀/ñandú.json",
    `${"n".repeat(95)}.jpg`,
    `${"n".repeat(96)}.jpg`,
    `${"n".repeat(97)}.jpg`,
    `${"x".repeat(200)}.jpg`,
    `${"f".repeat(100)}/${"n".repeat(96)}.jpg`,
    `${"p".repeat(155)}/x.jpg`,
    `${"p".repeat(156)}/x.jpg`,
    `${"é".repeat(60)}.jpg`,
    `${"folder-with-a-long-name/".repeat(12)}${"é".repeat(100)}.jpg`,
  ].map((name, i) => [name, noise(sizes[i % sizes.length]!, i)]),
);
const many: Files = Object.fromEntries([
  ["large.jpg", noise(2_500_003, 1)],
  ...Array.from({ length: 150 }, (_, i) => [`many/${i}.jpg`, noise(i % 40, i)] as const),
]);
const few: Files = {
  "a.jpg": noise(513, 1),
  [`ü/${"n".repeat(150)}.jpg`]: noise(512, 2),
  "z.json": noise(0, 3),
};

const textOf = (data: Uint8Array): string => Buffer.from(data).toString("latin1");
const textsOf = (files: Files): Record<string, string> =>
  Object.fromEntries(Object.entries(files).map(([name, data]) => [name, textOf(data)]));

const linesOf = (text: string): readonly string[] => text.split("\n").slice(0, -1);

/** An archive of these files, a folder that is empty and a link, and its names in order as libarchive lists them. */
function theirs(
  one: Archiver,
  format: string,
  ending: string,
  files: Files,
): { readonly bytes: Uint8Array; readonly names: readonly string[] } {
  const folder = temporaryFolder(files);
  mkdirSync(joinPath(folder, "empty"));
  symlinkSync("a.jpg", joinPath(folder, "link.jpg"));
  const archive = joinPath(temporaryFolder(), `x.${ending}`);
  const flags = ending === "tar.gz" ? ["czf", archive] : ["cf", archive];
  if (ending === "tar.zst") flags.push("--zstd");
  one.run(folder, ...flags, `--format=${format}`, "--", ...readdirSync(folder));
  return {
    bytes: new Uint8Array(readFileSync(archive)),
    names: linesOf(one.run(folder, "tf", archive)),
  };
}

/** As our reader has it. */
async function read(
  chunks: AsyncIterable<Uint8Array>,
): Promise<{ names: string[]; files: Record<string, string>; others: Record<string, string> }> {
  const names: string[] = [];
  const files: Record<string, string> = {};
  const others: Record<string, string> = {};
  for await (const member of readTar(chunks)) {
    names.push(member.name);
    if (member.kind === "file") files[member.name] = textOf(await member.bytes());
    else others[member.name] = member.kind;
  }
  return { names, files, others };
}

describe("what libarchive writes, we read", () => {
  test.each(cases)(
    "%s, %s, %s: the same names and bytes, under any chunks",
    async (_, format, ending, one) => {
      for (const [files, chunkings] of [
        [odd, [[1], [511], [512], [513], [7, 1, 4_096], [65_536]]],
        [many, [[65_536], [1_000_003]]],
      ] as const) {
        const { bytes, names } = theirs(one, format, ending, files);
        expect(names.length).toBeGreaterThan(Object.keys(files).length + 1);
        for (const lengths of chunkings) {
          const found = await read(inChunks(bytes, lengths));
          expect(found.names).toEqual(names);
          expect(found.files).toEqual(textsOf(files));
          expect(found.others).toMatchObject({ "empty/": "directory", "link.jpg": "link" });
        }
        if (ending !== "tar") continue;
        // the reader of files that are at hand, which jumps over contents
        const members = await readAll(bytes);
        expect(members.map(({ name }) => name)).toEqual(names);
        for (const { name, kind, offset, size } of members)
          if (kind === "file")
            expect(Buffer.compare(bytes.subarray(offset, offset + size), files[name]!)).toBe(0);
      }
    },
  );

  test.each(cases)("%s, %s, %s: the same, split anywhere", async (_, format, ending, one) => {
    const { bytes, names } = theirs(one, format, ending, few);
    const right = await read(inChunks(bytes));
    expect(right).toMatchObject({ names, files: textsOf(few) });
    const text = JSON.stringify(right);
    const wrong: number[] = [];
    for (let at = 1; at < bytes.length; at++)
      if (JSON.stringify(await read(split(bytes, at))) !== text) wrong.push(at);
    expect(wrong).toEqual([]);
  });
});

const packing = (ending: (typeof endings)[number]): WriteWebDatasetOptions =>
  ending === "tar" ? {} : { compress: ending === "tar.gz" ? "gz" : "zst" };

/** That libarchive finds these files in the archive, in this order, and no more. */
function expectTheirs(one: Archiver, path: string, files: Files): void {
  expect(linesOf(one.run(".", "tf", path))).toEqual(Object.keys(files));
  const out = temporaryFolder();
  one.run(out, "xf", path);
  const extracted = readdirSync(out, { recursive: true, withFileTypes: true })
    .filter((found) => !found.isDirectory())
    .map(({ parentPath, name }) => joinPath(parentPath, name))
    .map((file) => [file.slice(out.length + 1), textOf(readFileSync(file))]);
  expect(Object.fromEntries(extracted)).toEqual(textsOf(files));
}

describe("what we write, libarchive reads", () => {
  test.each(packed)("%s, %s: samples", async (_, ending, one) => {
    for (const files of [odd, many]) {
      const samples = Object.entries(files).map(([name, data]) => {
        const { key, extension } = splitName(name)!;
        return { key, members: [{ extension, data }] };
      });
      const bytes = join(await collect(writeWebDataset(samples, packing(ending))));
      const folder = temporaryFolder({ [`x.${ending}`]: bytes });
      expectTheirs(one, joinPath(folder, `x.${ending}`), files);
    }
  });

  test.each(packed)("%s, %s: a folder that was packed", async (_, ending, one) => {
    const photos = Object.fromEntries(
      Object.entries({ ...odd, ...many }).filter(([name]) => name.endsWith(".jpg")),
    );
    const out = temporaryFolder();
    const { shards } = await packFolder(temporaryFolder(photos), out, {
      name: "shard",
      shardSize: 1e6,
      ...packing(ending),
    });
    expect(shards.length).toBeGreaterThan(1);
    const found: string[] = [];
    for (const { shard } of shards) {
      const names = linesOf(one.run(out, "tf", shard));
      expectTheirs(
        one,
        joinPath(out, shard),
        Object.fromEntries(names.map((name) => [name, photos[name]!])),
      );
      found.push(...names);
    }
    expect(found.sort()).toEqual(Object.keys(photos).sort());
  });

  test.each(archivers)("$name: a name that is any text", async (one) => {
    const part = fc
      .string({ minLength: 1, maxLength: 60, unit: "binary" })
      .filter((text) => !/[/\0]|^\.{1,2}$/.test(text) && text.isWellFormed());
    const lists = fc.uniqueArray(
      fc.record({ name: part, data: fc.uint8Array({ maxLength: 600 }) }),
      { maxLength: 20, selector: ({ name }) => name },
    );
    await fc.assert(
      fc.asyncProperty(lists, async (list) => {
        const folder = temporaryFolder({ "x.tar": join(await collect(writeTar(list))) });
        const out = temporaryFolder();
        one.run(out, "xf", joinPath(folder, "x.tar"));
        expect(readdirSync(out)).toHaveLength(list.length);
        for (const { name, data } of list)
          expect(new Uint8Array(readFileSync(joinPath(out, name)))).toEqual(data);
      }),
      { numRuns: 40, seed: 1 },
    );
  });

  test.each(archivers)("$name: PAX records whose length gets a digit more", async (one) => {
    const folders = `é${"f".repeat(198)}/`.repeat(4);
    const files = Object.fromEntries(
      ["é", folders].flatMap((begin) =>
        Array.from({ length: 200 }, (_, i) => [begin + "n".repeat(i + 1), noise(i, i)]),
      ),
    );
    const entries = Object.entries(files).map(([name, data]) => ({ name, data }));
    const folder = temporaryFolder({ "x.tar": join(await collect(writeTar(entries))) });
    expectTheirs(one, joinPath(folder, "x.tar"), files);
  });

  test.each(archivers)("$name: sizes beyond eight gibibytes", (one) => {
    const size = 8 ** 11 + 5;
    const path = joinPath(temporaryFolder(), "x.tar");
    const head = tarHeader("a.jpg", size);
    const end = head.length + Math.ceil(size / 512) * 512;
    // a hole in the file, which takes no room
    writeFileSync(path, head);
    truncateSync(path, end);
    writeFileSync(path, join([tarHeader("b.jpg", 0), tarEnd()]), { flag: "a" });
    expect(linesOf(one.run(".", "tf", path))).toEqual(["a.jpg", "b.jpg"]);
    expect(one.run(".", "tvf", path)).toContain(` ${size} `);
  });
});

describe("headers that others may write", () => {
  const name = fc
    .array(fc.constantFrom("a", "B", "-", "_", "7", "/", "x.y", "n".repeat(40)), {
      minLength: 1,
      maxLength: 5,
    })
    .map((parts) => `d${parts.join("")}`.replaceAll(/\/+/g, "/").replace(/\/$/, ""));

  function sizeField(size: number): fc.Arbitrary<string | Uint8Array> {
    const octal = size.toString(8);
    const binary = Buffer.alloc(12);
    binary[0] = 0x80;
    binary.writeUInt32BE(size, 8);
    return fc.constantFrom<string | Uint8Array>(
      `${octal.padStart(11, "0")}\0`,
      `${octal.padStart(11, "0")} `,
      octal.padStart(12, "0"),
      `${octal.padStart(11, " ")}\0`,
      `${octal.padStart(10, " ")} \0`,
      `${octal} `,
      `${octal}\0`,
      binary,
    );
  }

  const member = fc
    .record({
      name,
      data: fc.uint8Array({ maxLength: 1_100 }),
      type: fc.constantFrom("0", "\0"),
      magic: fc.constantFrom("ustar\x0000", "ustar  \0", ""),
      checksum: fc.constantFrom<"signed" | "unsigned">("signed", "unsigned"),
      place: fc.constantFrom("name", "prefix", "GNU", "GNU without NUL", "PAX", "PAX with size"),
    })
    .chain((given) => sizeField(given.data.length).map((size) => ({ ...given, size })));
  type Given = typeof member extends fc.Arbitrary<infer Value> ? Value : never;

  function written({ data, place, ...header }: Given, at: number): readonly Uint8Array[] {
    const long = `${at}/${"é".repeat(30)}${header.name}`;
    const gnu = { name: "././@LongLink", type: "L", magic: "ustar  \0" };
    const path = paxRecord("path", long);
    const size = paxRecord("size", String(data.length));
    const cut = { ...header, name: "cut" };
    if (place === "GNU") return [rawMember(gnu, `${long}\0`), rawMember(cut, data)];
    if (place === "GNU without NUL") return [rawMember(gnu, long), rawMember(cut, data)];
    if (place === "PAX") return [rawMember({ type: "x" }, path), rawMember(cut, data)];
    if (place === "PAX with size")
      return [rawMember({ type: "x" }, size + path), rawMember({ ...cut, size: "0" }, data)];
    if (place === "name") return [rawMember({ ...header, name: `${at}/${header.name}` }, data)];
    const prefix = `${at}/${"p".repeat(100)}`;
    return [rawMember({ ...header, magic: "ustar\x0000", prefix }, data)];
  }

  test.each(archivers)("$name reads them as we do", async (one) => {
    await fc.assert(
      fc.asyncProperty(fc.array(member, { minLength: 1, maxLength: 12 }), async (list) => {
        const bytes = join([...list.flatMap(written), endOfArchive]);
        const found = await read(inChunks(bytes, [700]));
        expect(Object.values(found.files)).toEqual(list.map(({ data }) => textOf(data)));
        const files = found.names.map((each, i) => [each, list[i]!.data] as const);
        const folder = temporaryFolder({ "x.tar": bytes });
        expectTheirs(one, joinPath(folder, "x.tar"), Object.fromEntries(files));
      }),
      { numRuns: 60, seed: 3 },
    );
  });
});
