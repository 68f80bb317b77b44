import { once } from "node:events";
import { createReadStream, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join as joinPath } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  createNotebook,
  readTar,
  readWebDataset,
  splitName,
  StreamError,
  writeWebDataset,
  type NewSample,
  type WebDatasetSample,
} from "../src/webdataset.ts";
import { packCommand } from "../src/cli/pack.ts";
import { inChunks, split, watched } from "./fixtures/chunks.ts";
import { collect, noise, output, temporaryFolder } from "./fixtures/files.ts";
import { lines, root, testPython } from "./fixtures/serve.ts";
import { endOfArchive, entry, join, paxRecord, rawMember, tarOf } from "./fixtures/tar.ts";

async function written(
  samples: Parameters<typeof writeWebDataset>[0],
  options: Parameters<typeof writeWebDataset>[1] = {},
): Promise<Uint8Array> {
  return join(await collect(writeWebDataset(samples, options)));
}

const short = ({ key, members }: WebDatasetSample): unknown => [
  key,
  members.map(({ extension, data }) => [extension, Buffer.from(data).toString("latin1")]),
];

const samples: readonly NewSample[] = [
  { key: "a", members: [{ extension: "jpg", data: noise(700, 1) }] },
  {
    key: "b.c/d e",
    members: [
      { extension: "seg.png", data: noise(512, 2) },
      { extension: "json", data: '{"ü":1}' },
      { extension: "cls", data: "" },
    ],
  },
  { key: `ü/${"long".repeat(60)}`, members: [{ extension: "JPG", data: noise(3, 3) }] },
];

describe("samples", () => {
  test("have all their members, in order, with names, offsets and memory of their own", async () => {
    const bytes = await written(samples);
    const found = await collect(readWebDataset(inChunks(bytes, [100])));
    expect(found.map(short)).toEqual(
      samples.map(({ key, members }) => [
        key,
        members.map(({ extension, data }) => [extension, Buffer.from(data).toString("latin1")]),
      ]),
    );
    for (const { key, members } of found)
      for (const { extension, name, data, offset } of members) {
        expect(splitName(name)).toEqual({ key, extension });
        expect(Buffer.compare(bytes.subarray(offset, offset + data.length), data)).toBe(0);
        expect(data.buffer.byteLength).toBe(data.length);
      }
  });

  test("what was read can be written, and is the same bytes again", async () => {
    const bytes = await written(samples);
    expect(await written(readWebDataset(inChunks(bytes)))).toEqual(bytes);
    const packed = await written(samples, { compress: "gz" });
    expect(await written(readWebDataset(inChunks(packed)), { compress: "gz" })).toEqual(packed);
  });

  test("of a web stream, of Node's streams, of the body of a response", async () => {
    const bytes = new Uint8Array(await written(samples));
    const folder = temporaryFolder({ "x.tar": bytes });
    const expected = (await collect(readWebDataset(inChunks(bytes)))).map(short);
    for (const input of [
      new Blob([bytes]).stream(),
      new Response(bytes).body!,
      createReadStream(joinPath(folder, "x.tar"), { highWaterMark: 77 }),
    ])
      expect((await collect(readWebDataset(input))).map(short)).toEqual(expected);
  });

  test("packed shards are told by their first bytes", async () => {
    const bytes = await written(samples);
    const expected = (await collect(readWebDataset(inChunks(bytes)))).map(short);
    for (const packed of [gzipSync(bytes), zstdCompressSync(bytes)])
      for (const at of [0, 1, 3, 10, 200])
        expect((await collect(readWebDataset(split(packed, at)))).map(short)).toEqual(expected);
  });

  test("any samples: written and read again they are the same, under any chunks", async () => {
    const part = fc
      .string({ minLength: 1, maxLength: 70, unit: "binary" })
      .filter((text) => !/[/\0.]/.test(text) && text.isWellFormed());
    const members = fc.uniqueArray(
      fc.record({
        extension: fc.oneof(part, fc.constantFrom("jpg", "seg.png", "JPG", "a.b.c")),
        data: fc.uint8Array({ maxLength: 600 }),
      }),
      { minLength: 1, maxLength: 3, selector: ({ extension }) => extension },
    );
    const keys = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
    const lists = fc.uniqueArray(fc.record({ key: keys, members }), {
      maxLength: 4,
      selector: ({ key }) => key,
    });
    await fc.assert(
      fc.asyncProperty(
        // a name that begins with a dot is hidden, and none of these does
        lists,
        fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1, maxLength: 3 }),
        fc.constantFrom(undefined, "gz", "zst"),
        async (list, lengths, compress) => {
          const bytes = await written(list, compress === undefined ? {} : { compress });
          const found = await collect(readWebDataset(inChunks(bytes, lengths)));
          expect(
            found.map(({ key, members: all }) => ({
              key,
              members: all.map(({ extension, data }) => ({ extension, data })),
            })),
          ).toEqual(list);
        },
      ),
      { numRuns: 150, seed: 5 },
    );
  });

  test("what is of no sample is noted", async () => {
    const bytes = join([
      rawMember({ name: "d/", type: "5" }),
      rawMember({ name: "../a.jpg" }, "label"),
      rawMember({ name: "._b.jpg" }, "apple"),
      rawMember({ name: "b.jpg", type: "2", link: "/etc/passwd" }),
      rawMember({ name: "/c.jpg" }, "label"),
      rawMember({ name: "LICENSE" }, "x"),
      endOfArchive,
    ]);
    const notes = createNotebook();
    const found = await collect(readWebDataset(inChunks(bytes), { notes, name: "s.tar" }));
    expect(found.map(({ key }) => key)).toEqual(["../a", "/c"]);
    expect(notes.skipped).toEqual({ directory: 1, hidden: 1, link: 1, "no extension": 1 });
    expect(notes.problems).toEqual([
      { shard: "s.tar", key: "b.jpg", offset: 2_560, reason: "link" },
    ]);
  });
});

describe("refused", () => {
  test.each([
    ["cut between members", tarOf([entry("a.jpg"), entry("b.jpg")]).subarray(0, 1_024), 1_024],
    ["cut in a member", tarOf([entry("a.jpg"), entry("b.jpg")]).subarray(0, 1_540), 1_024],
    ["joined archives", join([tarOf([entry("a.jpg")]), tarOf([entry("b.jpg")])]), 2_048],
    ["parts apart", tarOf([entry("a.jpg"), entry("b.jpg"), entry("a.json")]), 2_048],
    ["a member twice", tarOf([entry("a.jpg"), entry("a.json"), entry("a.jpg")]), 2_048],
    ["no tar", noise(2_000, 1), 0],
    ["nothing", new Uint8Array(0), 0],
  ])("%s: SHARD_CORRUPT with name and offset", async (_what, bytes, offset) => {
    await expect(
      collect(readWebDataset(inChunks(bytes, [300]), { name: "s.tar" })),
    ).rejects.toMatchObject({
      code: "SHARD_CORRUPT",
      message: expect.stringMatching(/^s\.tar: .* at byte \d+$/),
      context: { shard: "s.tar", offset },
    });
  });

  test("a sample too large for memory, before memory is taken", async () => {
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield rawMember({ name: "a.txt" }, "x");
      yield rawMember({ name: "a.bin", size: "77777777777\0" });
      throw new Error("read on");
    }
    await expect(collect(readWebDataset(endless()))).rejects.toMatchObject({
      code: "LIMIT",
      context: { key: "a", offset: 1_024 },
    });
    const many = tarOf(Array.from({ length: 100 }, (_, i) => entry(`a.${i}`, "")));
    await expect(
      collect(readWebDataset(inChunks(many), { largestSample: 20_000 })),
    ).rejects.toMatchObject({ code: "LIMIT" });
    expect(await collect(readWebDataset(inChunks(many), { largestSample: 51_200 }))).toHaveLength(
      1,
    );
  });

  test("any flipped bit of any header, or it changes nothing", async () => {
    const bytes = join([
      rawMember({ name: "a.jpg" }, "1"),
      rawMember({ name: "d.jpg", magic: "" }, "2"),
      endOfArchive,
    ]);
    const listed = async (input: Uint8Array): Promise<unknown> => {
      const all = [];
      for await (const { name, kind, size, offset } of readTar(inChunks(input, [700])))
        all.push([name, kind, size, offset]);
      return all;
    };
    const expected = await listed(bytes);
    let refused = 0;
    for (const header of [0, 1_024])
      for (let at = header; at < header + 512; at++) {
        const bad = new Uint8Array(bytes);
        bad[at] = bad[at]! ^ (1 << (at % 8));
        const found: unknown = await listed(bad).catch((error: unknown) => error);
        if (!(found instanceof StreamError)) expect(found).toEqual(expected);
        else {
          refused++;
          expect(found).toMatchObject({ code: "SHARD_CORRUPT", context: { offset: header } });
        }
      }
    // but for the padding of the checksum itself
    expect(refused).toBeGreaterThan(2 * 500);
  });

  test("chunks that are no bytes", async () => {
    async function* text(): AsyncGenerator<Uint8Array> {
      yield "text" as unknown as Uint8Array;
    }
    await expect(collect(readTar(text()))).rejects.toMatchObject({ code: "BAD_OPTION" });
  });

  const jpg = [{ extension: "jpg", data: "x" }];
  test.each<[string, readonly NewSample[]]>([
    ["a key that leaves the folder", [{ key: "../a", members: jpg }]],
    ["an absolute key", [{ key: "/a", members: jpg }]],
    ["a key with a dot", [{ key: "a.b", members: jpg }]],
    ["a key that is a folder", [{ key: "a/", members: jpg }]],
    ["no key", [{ key: "", members: jpg }]],
    ["a key with a NUL", [{ key: "a\0", members: jpg }]],
    [
      "a key twice",
      [
        { key: "a", members: jpg },
        { key: "b", members: jpg },
        { key: "a", members: jpg },
      ],
    ],
    ["no members", [{ key: "a", members: [] }]],
    ["no extension", [{ key: "a", members: [{ extension: "", data: "" }] }]],
    ["an extension with a slash", [{ key: "a", members: [{ extension: "a/b", data: "" }] }]],
    ["a member twice", [{ key: "a", members: [...jpg, ...jpg] }]],
  ])("by the writer: %s", async (_what, list) => {
    await expect(written(list)).rejects.toMatchObject({ code: "BAD_OPTION" });
    await expect(written(list, { compress: "zst" })).rejects.toMatchObject({ code: "BAD_OPTION" });
  });
});

describe("members", () => {
  const bytes = join([
    rawMember({ name: "d/", type: "5" }),
    rawMember({ name: "a.jpg" }, noise(1_300, 1)),
    rawMember({ name: "l", type: "2", link: "a.jpg" }),
    rawMember({ type: "x" }, paxRecord("path", "ü.bin")),
    rawMember({ name: "cut" }, noise(600, 2)),
    endOfArchive,
  ]);

  test("of all kinds, read, read in part or left out", async () => {
    const seen: unknown[] = [];
    for await (const member of readTar(inChunks(bytes, [333]))) {
      const { name, kind, size, header, offset } = member;
      seen.push([name, kind, size, header, offset]);
      if (name === "ü.bin") expect(await member.bytes()).toEqual(noise(600, 2));
      if (name !== "a.jpg") continue;
      let length = 0;
      for await (const piece of member.pieces()) {
        expect(Buffer.compare(piece, noise(1_300, 1).subarray(length, length + piece.length))).toBe(
          0,
        );
        length += piece.length;
        if (length > 400) break;
      }
    }
    expect(seen).toEqual([
      ["d/", "directory", 0, 0, 512],
      ["a.jpg", "file", 1_300, 512, 1_024],
      ["l", "link", 0, 2_560, 3_072],
      ["ü.bin", "file", 600, 3_072, 4_608],
    ]);
  });

  test("are there once, and before the next", async () => {
    const held = [];
    for await (const member of readTar(inChunks(bytes))) {
      await member.bytes();
      await expect(member.bytes()).rejects.toMatchObject({ code: "CLOSED" });
      held.push(member);
    }
    await expect(held[1]!.bytes()).rejects.toMatchObject({ code: "CLOSED" });
    await expect(collect(held[1]!.pieces())).rejects.toMatchObject({ code: "CLOSED" });
  });

  test("nothing is read before it is asked for; leaving closes the input", async () => {
    const { bytes: input, closed, asked } = watched(inChunks(bytes, [512]));
    const found = readTar(input);
    expect(asked()).toBe(0);
    for await (const { name } of found) if (name === "a.jpg") break;
    expect([closed(), asked()]).toEqual([true, 2]);
  });

  test("a size beyond eight gibibytes, in base 256 and in PAX records, passes by in constant memory", async () => {
    const size = 8 ** 11 + 1_000;
    const base256 = Buffer.alloc(12);
    base256[0] = 0x80;
    base256.writeBigUInt64BE(BigInt(size), 4);
    const zeros = new Uint8Array(1 << 26);
    async function* huge(headers: Uint8Array): AsyncGenerator<Uint8Array> {
      yield headers;
      for (let left = Math.ceil(size / 512) * 512; left > 0; left -= zeros.length)
        yield zeros.subarray(0, Math.min(left, zeros.length));
      yield tarOf([entry("z.jpg", "last")]);
    }
    for (const headers of [
      rawMember({ name: "a.bin", size: base256 }),
      join([
        rawMember({ type: "x" }, paxRecord("size", String(size))),
        rawMember({ name: "a.bin" }),
      ]),
    ]) {
      const found = [];
      for await (const { name, size: length } of readTar(huge(headers))) found.push([name, length]);
      expect(found).toEqual([
        ["a.bin", size],
        ["z.jpg", 4],
      ]);
      await expect(
        collect(readTar(inChunks(join([headers, new Uint8Array(5_000)])))),
      ).rejects.toMatchObject({ code: "SHARD_CORRUPT", context: { offset: 0 } });
    }
  });

  test("ten thousand samples pass in little memory", async () => {
    async function* many(): AsyncGenerator<NewSample> {
      for (let i = 0; i < 10_000; i++)
        yield { key: `folder/${i}`, members: [{ extension: "jpg", data: noise(64, i) }] };
    }
    let count = 0;
    let most = 0;
    for await (const { members } of readWebDataset(writeWebDataset(many()))) {
      count += members.length;
      if (count % 1_000 === 0) most = Math.max(most, process.memoryUsage().arrayBuffers);
    }
    expect(count).toBe(10_000);
    expect(most).toBeLessThan(100 << 20);
  });
});

describe("other programs", () => {
  test("GNU tar in all its formats; sparse files are refused", async () => {
    const files = { "a.jpg": noise(700, 1), "d/b.c.png": noise(512, 2), "d/ü.json": "{}" };
    const folder = temporaryFolder({ ...files, start: "x" });
    for (const format of ["v7", "oldgnu", "gnu", "ustar", "posix"])
      for (const [flag, ending] of [
        ["", "tar"],
        ["-z", "tgz"],
        ["--zstd", "tar.zst"],
      ] as const) {
        const name = `x-${format}.${ending}`;
        output(
          "tar",
          [...(flag ? [flag] : []), `--format=${format}`, "-cf", name, ...Object.keys(files)],
          folder,
        );
        const found: unknown[] = [];
        for await (const { key, members } of readWebDataset(
          createReadStream(joinPath(folder, name)),
        ))
          for (const { extension, data } of members)
            found.push([`${key}.${extension}`, Buffer.from(data).toString("hex")]);
        expect(found).toEqual(
          Object.entries(files).map(([file, data]) => [file, Buffer.from(data).toString("hex")]),
        );
      }
    output("truncate", ["-s", "10M", "hole.jpg"], folder);
    output("dd", ["if=start", "of=hole.jpg", "seek=5000", "conv=notrunc", "status=none"], folder);
    for (const format of ["gnu", "posix"]) {
      output("tar", ["--sparse", `--format=${format}`, "-cf", "x.tar", "hole.jpg"], folder);
      await expect(
        collect(readTar(createReadStream(joinPath(folder, "x.tar")))),
      ).rejects.toMatchObject({
        code: "SHARD_CORRUPT",
        message: expect.stringContaining("sparse"),
      });
    }
  });

  test("Python's tarfile in all its formats", async () => {
    const long = `${"folder/".repeat(20)}${"n".repeat(120)}.jpg`;
    const files = { "a.jpg": noise(700, 1), "d/ü.json": "{}", [long]: noise(512, 2) };
    const folder = temporaryFolder(files);
    const program = `import sys, tarfile
for name in ["USTAR", "GNU", "PAX"]:
    for mode in ["w", "w:gz"]:
        with tarfile.open(name + mode[1:].replace(":", "."), mode, format=getattr(tarfile, name + "_FORMAT")) as tar:
            for file in sys.argv[1:]: tar.add(file)`;
    for (const name of ["USTAR", "GNU", "PAX"]) {
      // ustar has no room for a name that long
      const names = Object.keys(files).slice(0, name === "USTAR" ? 2 : 3);
      output(
        "python3",
        ["-c", program.replace('["USTAR", "GNU", "PAX"]', `["${name}"]`), ...names],
        folder,
      );
      for (const ending of ["", ".gz"]) {
        const found: Record<string, Uint8Array> = {};
        for await (const member of readTar(createReadStream(joinPath(folder, name + ending))))
          found[member.name] = await member.bytes();
        expect(Object.keys(found)).toEqual(names);
        for (const one of names)
          expect(Buffer.compare(found[one]!, Buffer.from(files[one as "a.jpg"]))).toBe(0);
      }
    }
  });

  test("Python's webdataset and tarfile, both ways, packed or not", async () => {
    const folder = temporaryFolder({
      "ours/x.tar": await written(samples),
      "ours/x.tar.gz": await written(samples, { compress: "gz" }),
      "theirs/.keep": "",
    });
    const printed = await lines(testPython(), [
      joinPath(root, "test/shards/python_webdataset.py"),
      ...["theirs", "ours/x.tar", "ours/x.tar.gz"].map((name) => joinPath(folder, name)),
    ]);
    const [theirs, ...ours] = printed.map((line): unknown => JSON.parse(line));

    for (const names of [
      ["plain.tar"],
      ["packed.tar.gz"],
      ["many-000000.tar", "many-000001.tar", "many-000002.tar"],
    ]) {
      const found: unknown[] = [];
      for (const name of names)
        for await (const { key, members } of readWebDataset(
          createReadStream(joinPath(folder, "theirs", name)),
        ))
          found.push({ key, members: contents(members) });
      expect(found).toEqual(theirs);
    }

    expect(ours).toHaveLength(2);
    for (const found of ours)
      expect(found).toEqual({
        // its reader takes extensions in lower case
        samples: samples.map(({ key, members }) => ({ key, members: contents(members, true) })),
        members: samples.flatMap(({ key, members }) =>
          members.map(({ extension, data }) => [
            `${key}.${extension}`,
            Buffer.from(data).length,
            0,
            0,
            0o644,
          ]),
        ),
      });
  });

  test("zstd unpacks what is packed here", async () => {
    const folder = temporaryFolder({ "x.tar.zst": await written(samples, { compress: "zst" }) });
    output("zstd", ["-q", "-d", "x.tar.zst"], folder);
    expect(new Uint8Array(readFileSync(joinPath(folder, "x.tar")))).toEqual(await written(samples));
  });
});

function contents(members: NewSample["members"], lower = false): { [extension: string]: string } {
  return Object.fromEntries(
    members.map(({ extension, data }) => [
      lower ? extension.toLowerCase() : extension,
      Buffer.from(data).toString("hex"),
    ]),
  );
}

describe("docs/webdataset.md", () => {
  const page = readFileSync(joinPath(root, "docs/webdataset.md"), "utf8");
  const blocks = [...page.matchAll(/^```ts\n(.*?)^```/gms)].map(([, block = ""]) => block);
  const prints: readonly RegExp[] = [
    /^(\S+ \w+ \d+, \w+ \d+\n?){34}$/,
    /^\d{7}$/,
    /^34 \{.*\} \[\]$/,
    /^(\S+\.jpg \d+ [0-9a-f]{64}\n?){33}$/,
    /^written$/,
  ];

  test("has a snippet for each line above", () => {
    expect(blocks).toHaveLength(prints.length);
  });

  test.each(blocks.map((block, at) => [at, block] as const))(
    "snippet %i runs",
    async (at, block) => {
      const folder = temporaryFolder();
      symlinkSync(joinPath(root, "shards"), joinPath(folder, "shards"));
      const server = createServer((_request, response) => {
        response.end(gzipSync(readFileSync(joinPath(root, "shards/photos-000000.tar"))));
      });
      await once(server.listen(0, "127.0.0.1"), "listening");
      onTestFinished(() => void server.close());
      const { port } = server.address() as AddressInfo;
      const file = joinPath(folder, "snippet.mts");
      const source = pathToFileURL(joinPath(root, "src/webdataset.ts")).href;
      writeFileSync(
        file,
        block
          .replaceAll('"ssl-r1-stream/webdataset"', JSON.stringify(source))
          .replaceAll("https://example.com", `http://127.0.0.1:${port}`),
      );
      expect((await lines(process.execPath, [file], folder)).join("\n")).toMatch(prints[at]!);
      if (!block.includes("cats-000000")) return;
      const input = createReadStream(joinPath(folder, "cats-000000.tar.gz"));
      expect((await collect(readWebDataset(input))).map(({ key }) => key)).toEqual(
        [0, 1, 2].map((i) => `cats/${i}`),
      );
    },
  );

  test("the flags of pack are those it has", () => {
    const section = page.slice(page.indexOf("### A folder"), page.indexOf("## Errors"));
    const described = [...section.matchAll(/^\| `(--[a-z-]+)/gm)].map(([, flag]) => flag);
    const flags = packCommand().options.map(({ long }) => long);
    expect(new Set([...described, "--force"])).toEqual(new Set(flags));
  });
});
