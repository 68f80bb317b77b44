import { readFileSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createTarsSource } from "../../src/sources/tars.ts";
import { sourceContract } from "../contracts/source.ts";
import { noise, openDescriptors, output, temporaryFolder } from "../fixtures/files.ts";
import { entry, tarOf } from "../fixtures/tar.ts";

const row = (
  key: string,
  seed: number,
  group = key,
): { key: string; group: string; name: string; bytes: Uint8Array } => ({
  key,
  group,
  name: `${key}.jpg`,
  bytes: noise(seed * 1_000, seed),
});
const shards = [
  [row("a", 1), row("d/b", 2, "crops"), row("c", 3, "crops"), row("é", 0)],
  [row("a", 4)],
  [],
];

function archive(rows: (typeof shards)[number]): Uint8Array {
  return tarOf(
    rows.flatMap(({ key, group, name, bytes }) => [
      ...(group === key ? [] : [entry(`${key}.json`, JSON.stringify({ group }))]),
      entry(name, bytes),
    ]),
  );
}

sourceContract("tars", () => {
  const folder = temporaryFolder(
    Object.fromEntries(shards.map((rows, i) => [`s/${i}.tar`, archive(rows)])),
  );
  const files = shards.map((_, i) => ({ name: `s/${i}.tar`, path: join(folder, "s", `${i}.tar`) }));
  return {
    source: createTarsSource(folder, files, { group: "group" }),
    shards,
    handles: () => openDescriptors(folder),
  };
});

sourceContract("tars by GNU tar", () => {
  const [rows = []] = shards;
  const files = rows.flatMap(({ key, group, name, bytes }): [string, Uint8Array | string][] => [
    [name, bytes],
    [`${key}.json`, JSON.stringify({ group })],
  ]);
  const folder = temporaryFolder(Object.fromEntries(files));
  output("tar", ["--format=posix", "-cf", "x.tar", ...files.map(([name]) => name)], folder);
  return {
    source: createTarsSource(folder, [{ name: "x.tar", path: join(folder, "x.tar") }], {
      group: "group",
    }),
    shards: [rows],
    handles: () => openDescriptors(folder),
  };
});

test("a shard replaced after it was listed is an error, not other images", async () => {
  const folder = temporaryFolder({ "x.tar": archive(shards[0] ?? []) });
  const path = join(folder, "x.tar");
  const source = createTarsSource(folder, [{ name: "x.tar", path }]);
  await source.list();
  const before = readFileSync(path);
  writeFileSync(`${path}.new`, before);
  utimesSync(`${path}.new`, 5, 5);
  renameSync(`${path}.new`, path);
  await expect(source.open(0)).rejects.toMatchObject({
    code: "SHARD_CORRUPT",
    message: "x.tar: changed while in use",
  });
  rmSync(path);
  await expect(source.open(0)).rejects.toMatchObject({ code: "SOURCE_NOT_FOUND" });
  expect(openDescriptors(folder)).toBe(0);
});

test("a damaged shard names itself by its logical name and is closed", async () => {
  const folder = temporaryFolder({ "x.tar": archive(shards[0] ?? []).subarray(0, 5_000) });
  const source = createTarsSource(folder, [{ name: "sub/x.tar", path: join(folder, "x.tar") }]);
  await expect(source.open(0)).rejects.toMatchObject({
    code: "SHARD_CORRUPT",
    message: expect.stringMatching(/^sub\/x\.tar: .* at byte \d+/),
  });
  expect(openDescriptors(folder)).toBe(0);
});
