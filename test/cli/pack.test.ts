import {
  createReadStream,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { Command } from "commander";
import { describe, expect, test, vi } from "vitest";
import { packCommand } from "../../src/cli/pack.ts";
import { packFolder } from "../../src/sources/pack.ts";
import { createTarsSource } from "../../src/sources/tars.ts";
import { readWebDataset } from "../../src/webdataset.ts";
import { noise, temporaryFolder } from "../fixtures/files.ts";

const photos = {
  "a.JPG": noise(3_000, 1),
  "b.tar.gz.png": noise(0, 2),
  "cats/2020.01/x.jpeg": noise(513, 3),
  "cats/y.jpg": noise(90_000, 4),
  "ü/図.webp": noise(10, 5),
};
const members = ["a.jpg", "b_tar_gz.png", "cats/2020_01/x.jpeg", "cats/y.jpg", "ü/図.webp"];
const files = { ...photos, "notes.txt": "no image", ".hidden.jpg": "x" };

/** What the command prints. */
async function pack(...args: readonly string[]): Promise<readonly string[]> {
  const printed: string[] = [];
  const spy = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    printed.push(String(text));
    return true;
  });
  try {
    const program = new Command().exitOverride().addCommand(packCommand().exitOverride());
    await program.parseAsync(["pack", ...args], { from: "user" });
  } finally {
    spy.mockRestore();
  }
  return printed.join("").trim().split("\n");
}

async function found(folder: string): Promise<[string, string][]> {
  const all: [string, string][] = [];
  for (const shard of readdirSync(folder).sort())
    for await (const sample of readWebDataset(createReadStream(join(folder, shard))))
      for (const { name, data } of sample.members)
        all.push([name, Buffer.from(data).toString("hex")]);
  return all;
}

const hexOf = (data: Uint8Array | string): string => Buffer.from(data).toString("hex");
const inOrder = members.map((name, i) => [name, hexOf(Object.values(photos)[i]!)]);

function bytesOf(folder: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(folder)
      .sort()
      .map((name) => [
        name,
        createHash("sha256")
          .update(readFileSync(join(folder, name)))
          .digest("hex"),
      ]),
  );
}

describe("the shards", () => {
  test("hold every image under a key that every reader takes for the same, in order", async () => {
    const folder = temporaryFolder(files);
    const out = join(temporaryFolder(), "deep/out");
    const printed = await pack(folder, out, "--json");
    expect(readdirSync(out)).toEqual(["shard-000000.tar"]);
    expect(await found(out)).toEqual(inOrder);
    const tar = readFileSync(join(out, "shard-000000.tar"));
    expect(printed.map((line): unknown => JSON.parse(line))).toEqual([
      {
        shard: "shard-000000.tar",
        samples: 5,
        bytes: tar.length,
        sha256: createHash("sha256").update(tar).digest("hex"),
      },
      {
        summary: true,
        out,
        shards: 1,
        samples: 5,
        bytes: tar.length,
        skipped: { hidden: 1, "not an image": 1 },
      },
    ]);
  });

  test.each([[], ["--compress", "gz"], ["--compress", "zst"]])(
    "are the same bytes from other places at other times %j",
    async (...flags) => {
      const outs: Record<string, string>[] = [];
      for (const time of [1_000, 2_000]) {
        const folder = temporaryFolder(files);
        for (const name of Object.keys(files)) utimesSync(join(folder, name), time, time);
        const out = temporaryFolder();
        await pack(folder, out, "--count", "2", "--group-by", "folder", "--name", "x.y", ...flags);
        outs.push(bytesOf(out));
      }
      expect(outs[0]).toEqual(outs[1]);
      const ending = flags[1] === undefined ? "tar" : `tar.${flags[1]}`;
      expect(Object.keys(outs[0]!)).toEqual([0, 1, 2].map((i) => `x.y-00000${i}.${ending}`));
    },
  );

  test("of --count samples; of --shard-size bytes, and a larger sample alone", async () => {
    const folder = temporaryFolder(files);
    const sizes = async (...flags: readonly string[]): Promise<unknown[]> => {
      const printed = await pack(folder, temporaryFolder(), "--json", ...flags);
      return printed
        .map((line) => JSON.parse(line) as { samples: number; bytes: number; summary?: true })
        .filter(({ summary }) => !summary)
        .map(({ samples, bytes }) => [samples, bytes]);
    };
    expect((await sizes("--count", "1")).length).toBe(5);
    expect(await sizes("--count", "4")).toEqual([
      [4, 1_024 + 4 * 512 + 3_072 + 0 + 1_024 + 90_112],
      [1, expect.any(Number)],
    ]);
    // exactly what the first three need, and one byte less
    const three = 1_024 + 3 * 512 + 3_072 + 0 + 1_024;
    expect(await sizes("--shard-size", String(three))).toEqual([
      [3, three],
      [1, 1_024 + 512 + 90_112],
      [1, expect.any(Number)],
    ]);
    expect((await sizes("--shard-size", String(three - 1)))[0]).toEqual([2, three - 512 - 1_024]);
    expect(await sizes("--shard-size", "0.1MB")).toHaveLength(1);
    expect(await sizes("--shard-size", "90KiB")).toHaveLength(3);
  });

  test("say the folder of each image as its group, which a stream can use", async () => {
    const folder = temporaryFolder(files);
    const out = temporaryFolder();
    await pack(folder, out, "--group-by", "folder");
    const tar = { name: "shard-000000.tar", path: join(out, "shard-000000.tar") };
    const shard = await createTarsSource(out, [tar], { group: "group" }).open(0);
    const rows = await Promise.all(members.map((_, row) => shard.read(row)));
    expect(rows.map(({ group }) => group)).toEqual([".", ".", "cats/2020.01", "cats", "ü"]);
    await shard.close();
  });
});

describe("refused, and nothing is left behind", () => {
  const refusal = async (args: readonly string[]): Promise<unknown> =>
    pack(...args).then(
      () => undefined,
      (error: unknown) => error,
    );

  test.each([
    [{ "a.jpg": "1", "a.png": "2" }, ["a.jpg", "a.png", "sample a"]],
    [{ "d/a.b.jpg": "1", "d/a_b.jpg": "2" }, ["d/a.b.jpg", "d/a_b.jpg", "sample d/a_b"]],
    [{ "d.e/a.jpg": "1", "d_e/a.gif": "2" }, ["d.e/a.jpg", "d_e/a.gif"]],
  ])("two images that would be one sample: %j", async (two, named) => {
    const out = temporaryFolder();
    const error = await refusal([temporaryFolder(two), out]);
    expect(error).toMatchObject({ code: "BAD_OPTION" });
    for (const text of named) expect((error as Error).message).toContain(text);
    expect(readdirSync(out)).toEqual([]);
  });

  test("to overwrite, unless --force, which takes away all shards of that name", async () => {
    const folder = temporaryFolder(files);
    const out = temporaryFolder({ "shard-x.tar": "other", "shards-000009.tar": "other" });
    await pack(folder, out, "--count", "1", "--compress", "gz");
    const before = bytesOf(out);
    for (const flags of [[], ["--compress", "gz"]])
      expect(await refusal([folder, out, ...flags])).toMatchObject({
        code: "BAD_OPTION",
        message: expect.stringContaining("shard-000000.tar.gz"),
      });
    expect(bytesOf(out)).toEqual(before);
    await pack(folder, out, "--name", "other");
    await pack(folder, out, "--force");
    expect(readdirSync(out).sort()).toEqual([
      "other-000000.tar",
      "shard-000000.tar",
      "shard-x.tar",
      "shards-000009.tar",
    ]);
  });

  test.each([
    [["--shard-size", "many"]],
    [["--shard-size", "0"]],
    [["--count", "0"]],
    [["--count", "-1"]],
    [["--name", "a/b"]],
    [["--name", ""]],
    [["--name", ".x"]],
  ])("%j", async (flags) => {
    const out = temporaryFolder();
    expect(await refusal([temporaryFolder(files), out, ...flags])).toMatchObject({
      code: "BAD_OPTION",
    });
    expect(readdirSync(out)).toEqual([]);
  });

  test("no folder, no image, other words", async () => {
    expect(await refusal([join(temporaryFolder(), "none"), temporaryFolder()])).toMatchObject({
      code: "SOURCE_NOT_FOUND",
    });
    expect(await refusal([temporaryFolder({ "a.txt": "x" }), temporaryFolder()])).toMatchObject({
      code: "SOURCE_EMPTY",
    });
  });

  test("given up, or a file that goes away meanwhile: nothing is in place", async () => {
    const options = { name: "x", shardSize: 1 };
    const out = temporaryFolder();
    const folder = temporaryFolder(files);
    await expect(
      packFolder(folder, out, { ...options, signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ code: "ABORTED" });
    const broken = temporaryFolder(files);
    const late = new AbortController();
    // the listing is made; the first look at the signal comes after it
    const signal = {
      get aborted() {
        writeFileSync(join(broken, "ü/図.webp"), "another length");
        return late.signal.aborted;
      },
    } as AbortSignal;
    await expect(packFolder(broken, out, { ...options, signal })).rejects.toMatchObject({
      code: "SHARD_CORRUPT",
      message: expect.stringContaining("ü/図.webp"),
    });
    expect(readdirSync(out)).toEqual([]);
  });
});

test("a link that leaves the folder is a line of the report", async () => {
  const folder = temporaryFolder(files);
  mkdirSync(join(folder, "links"));
  symlinkSync("/etc/hostname", join(folder, "links/z.jpg"));
  const printed = await pack(folder, temporaryFolder());
  expect(printed.join("\n")).toMatch(/problem {2}links\/z\.jpg: link leaves the folder/);
  expect(printed.at(-1)).toMatch(/: 1 shards, 5 samples, \d+ bytes; .*link: 1 skipped/);
});
