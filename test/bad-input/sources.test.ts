import { copyFileSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createStream } from "../../src/loader.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { entry, tarOf } from "../fixtures/tar.ts";
import { open, samples } from "../loader/streams.ts";
import { photos } from "./folders.ts";

const refused = async (source: string, code: string, text: RegExp, options = {}): Promise<void> => {
  const error: unknown = await createStream({ source, workers: 1, ...options }).catch(
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ name: "StreamError", code });
  expect((error as Error).message).toMatch(text);
};

test("nothing there, an empty folder, a folder without images, tars without images", async () => {
  const folder = temporaryFolder();
  await refused(join(folder, "nothing"), "SOURCE_NOT_FOUND", /nothing/);
  await refused(folder, "SOURCE_EMPTY", /neither an image nor a tar/);
  writeFileSync(join(folder, "notes.txt"), "no image");
  await refused(folder, "SOURCE_EMPTY", /neither an image nor a tar/);
  writeFileSync(join(folder, "a.tar"), tarOf([entry("a.txt"), entry("b.json", "{}")]));
  await refused(folder, "SOURCE_EMPTY", /no image in 1 shard/);
});

test("a truncated shard is named with the place, wherever it is cut", async () => {
  const folder = temporaryFolder();
  const size = readFileSync(join(samples, "photos-000001.tar")).length;
  copyFileSync(join(samples, "photos-000000.tar"), join(folder, "photos-000000.tar"));
  for (const length of [1, 700, Math.floor(size / 2), size - 20_000]) {
    copyFileSync(join(samples, "photos-000001.tar"), join(folder, "photos-000001.tar"));
    truncateSync(join(folder, "photos-000001.tar"), length);
    const error: unknown = await createStream({ source: folder, workers: 1 }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({
      code: "SHARD_CORRUPT",
      context: { shard: "photos-000001.tar", offset: expect.any(Number) as number },
    });
    expect((error as Error).message).toContain("photos-000001.tar");
  }
});

test("too few images for the partitions: how many would do is told, and does", async () => {
  const folder = photos(15);
  await refused(folder, "TOO_FEW_ROWS", /set partitions to 2/, { batch: 40, partitions: 5 });
  const stream = await open({ source: folder, batch: 40, partitions: 2, entries: ["rotation"] });
  expect((await stream.get(0)).puzzles).toHaveLength(40);
  await refused(photos(3), "TOO_FEW_ROWS", /add images/);
});

test("partitions of different sizes are told", async () => {
  const stream = await open({ source: photos(9), batch: 8, partitions: 2 });
  expect(stream.statistics.warnings).toEqual([
    expect.stringMatching(/^partitions hold 4 to 5 images.* 1\.25 times/) as string,
  ]);
});

test("a shard that is replaced under a running stream is noticed", async () => {
  const folder = temporaryFolder();
  const shard = join(folder, "photos-000000.tar");
  copyFileSync(join(samples, "photos-000000.tar"), shard);
  const stream = await open({ source: folder, batch: 8 });
  const [puzzle] = (await stream.get(0, [0])).puzzles;
  expect(puzzle).toBeDefined();
  truncateSync(shard, 10_000);
  await expect(stream.get(5)).rejects.toMatchObject({ code: "SHARD_CORRUPT" });
});
