import { readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp, { type Sharp } from "sharp";
import { expect, test } from "vitest";
import type { Batch } from "../../src/model.ts";
import { noise, temporaryFolder } from "../fixtures/files.ts";
import { open, plain, take } from "../loader/streams.ts";
import { photos } from "./folders.ts";

const keysOf = ({ puzzles }: Batch): string[] => puzzles.map(({ recipe }) => String(recipe["key"]));
const counted = (skipped: { readonly [reason: string]: number }): number =>
  Object.values(skipped).reduce((sum, count) => sum + count, 0);

test("damaged images among good ones are counted and replaced, the same way each time", async () => {
  const folder = photos(12);
  const [first, second, third] = readdirSync(folder) as [string, string, string];
  truncateSync(join(folder, first), 3000);
  writeFileSync(join(folder, second), "a web page that says 404");
  writeFileSync(join(folder, third), "");
  const bad = [first, second, third].map((name) => name.replace(".jpg", ""));
  const batches: object[][] = [];
  for (const workers of [1, 2]) {
    const stream = await open({ source: folder, seed: 1, batch: 20, partitions: 2, workers });
    const taken = await take(stream, 2);
    batches.push(taken.map(plain));
    for (const batch of taken) {
      expect(batch.failed).toEqual([]);
      expect(batch.puzzles).toHaveLength(20);
      for (const key of keysOf(batch)) expect(bad).not.toContain(key);
    }
    expect(taken.some(({ puzzles }) => puzzles.some(({ recipe }) => recipe["attempt"] !== 0))).toBe(
      true,
    );
    expect(stream.info().skipped["unreadable"]).toBeGreaterThanOrEqual(3);
    await stream.close();
  }
  expect(batches[1]).toEqual(batches[0]);
});

test("a single slot meets the same substitute as in its batch", async () => {
  const folder = photos(10);
  for (const name of readdirSync(folder).slice(0, 5)) writeFileSync(join(folder, name), "bad");
  const stream = await open({ source: folder, seed: 2, batch: 10, partitions: 1, maxSkipShare: 1 });
  const whole = plain(await stream.get(0));
  for (let slot = 0; slot < 10; slot++)
    expect(plain(await stream.get(0, [slot])).puzzles).toEqual([whole.puzzles[slot]]);
});

test("images of every odd kind: each makes a puzzle or is refused for a reason", async () => {
  const folder = photos(6);
  const photo = readFileSync(join(folder, readdirSync(folder)[0]!));
  const small = (): Sharp => sharp(photo).resize(320, 240);
  const raw = (width: number, height: number): Sharp =>
    sharp(noise(width * height * 3, 1), { raw: { width, height, channels: 3 } });
  const good: Record<string, Sharp> = {
    "rotated.jpg": small().withMetadata({ orientation: 6 }).jpeg(),
    "cmyk.jpg": small().toColourspace("cmyk").jpeg(),
    "gray.jpg": small().grayscale().jpeg(),
    "alpha.png": small().ensureAlpha(0.5).png(),
    "deep.png": small().toColourspace("rgb16").png(),
    "gray-deep.png": small().toColourspace("grey16").png(),
    "palette.png": small().png({ palette: true }),
    "web.webp": small().webp(),
    "animated.gif": small().gif(),
    "scan.tif": small().tiff(),
    "modern.avif": small().avif({ effort: 0 }),
    "progressive.jpg": small().jpeg({ progressive: true }),
  };
  const odd: Record<string, Sharp> = {
    "tiny.png": raw(8, 8).png(),
    "dot.png": raw(1, 1).png(),
    "wide.png": raw(10_000, 1).png(),
    "tall.jpg": raw(1, 10_000).jpeg(),
    "flat.png": sharp({
      create: { width: 300, height: 300, channels: 3, background: { r: 90, g: 90, b: 90 } },
    }).png(),
  };
  for (const [name, image] of Object.entries({ ...good, ...odd }))
    await image.toFile(join(folder, name));
  // A drawing that pretends to be a photo must not be drawn.
  writeFileSync(
    join(folder, "drawing.png"),
    '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="300"/>',
  );
  const stream = await open({
    source: folder,
    seed: 3,
    batch: 30,
    partitions: 1,
    preset: "paper",
    entries: ["rotation", "ordering:2x2", "inpainting"],
    maxSkipShare: 1,
    workers: 2,
  });
  expect(stream.info().samples).toBe(24);
  const used = new Set<string>();
  for (const batch of await take(stream, 3)) {
    expect(batch.failed).toEqual([]);
    expect(batch.puzzles).toHaveLength(30);
    for (const key of keysOf(batch)) used.add(key);
    for (const { images } of batch.puzzles)
      for (const { width, height, data } of images) {
        expect(width * height).toBeGreaterThanOrEqual(3136);
        expect(data.length).toBe(width * height * 3);
      }
  }
  for (const name of Object.keys(good)) expect(used).toContain(name.replace(/\.\w+$/, ""));
  for (const name of ["tiny", "dot", "wide", "tall", "drawing"]) expect(used).not.toContain(name);
  const { skipped } = stream.info();
  expect(skipped["unreadable"]).toBeGreaterThanOrEqual(1);
  for (const reason of Object.keys(skipped)) expect(reason).toMatch(/^[a-z][^0-9]{3,80}$/);
  expect(counted(skipped)).toBeGreaterThanOrEqual(5);
});

test("larger than the limit: refused before it is decoded, counted as such", async () => {
  const folder = photos(8);
  const stream = await open({ source: folder, batch: 8, maxInputPixels: 200_000, maxSkipShare: 1 });
  const { puzzles, failed } = await stream.get(0);
  expect(puzzles.length + failed.length).toBe(8);
  expect(Object.keys(stream.info().skipped)).toContain("too-many-pixels");
});

test("a file too large to be read is skipped like any bad image", async () => {
  const folder = photos(6);
  const [first] = readdirSync(folder);
  truncateSync(join(folder, first!), 300 << 20); // a hole: it takes no room on the disk
  const stream = await open({ source: folder, batch: 12, partitions: 1, entries: ["rotation"] });
  const { puzzles, failed } = await stream.get(0);
  expect({ puzzles: puzzles.length, failed }).toEqual({ puzzles: 12, failed: [] });
  expect(stream.info().skipped["too-large"]).toBeGreaterThanOrEqual(1);
});

test("nothing but bad images: every slot says so, then the budget ends the stream", async () => {
  const folder = temporaryFolder(
    Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`${i}.jpg`, `not an image ${i}`])),
  );
  const stream = await open({ source: folder, batch: 8, partitions: 1, entries: ["rotation"] });
  const slot = await stream.get(0, [3]);
  expect(slot.puzzles).toEqual([]);
  expect(slot.failed).toMatchObject([{ slot: 3, index: 3, entry: "rotation", task: "rotation" }]);
  expect(slot.failed[0]!.error.code).toBe("SLOT_FAILED");
  expect(slot.failed[0]!.error.message).toMatch(
    /^no usable image for slot 3 of step 0 after 17 tries; last: folder: \d+: not a JPEG/,
  );
  await expect(take(stream, 20)).rejects.toMatchObject({
    code: "SKIP_BUDGET",
    message: expect.stringMatching(
      /^\d+ of \d+ images tried were unusable, more than maxSkipShare 0\.5 allows; the last: folder: \d+: not a JPEG/,
    ) as string,
  });
  await stream.close();
  const patient = await open({
    source: folder,
    batch: 8,
    partitions: 1,
    entries: ["rotation"],
    maxSkipShare: 1,
  });
  for (const batch of await take(patient, 20)) {
    expect(batch.puzzles).toEqual([]);
    expect(batch.failed.map(({ slot: number }) => number)).toEqual([...Array(8).keys()]);
  }
});

test("failures come in the order asked for", async () => {
  const folder = temporaryFolder(
    Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`${i}.jpg`, `bad ${i}`])),
  );
  const stream = await open({ source: folder, batch: 8, partitions: 1, maxSkipShare: 1 });
  const { failed } = await stream.get(0, [5, 0, 7]);
  expect(failed.map(({ slot }) => slot)).toEqual([5, 0, 7]);
});

test("similarity with too few other photos: a slot that says so, not a wait", async () => {
  const folder = photos(4);
  const [one] = readdirSync(folder);
  // Four names, one photo: no strangers anywhere.
  for (const name of readdirSync(folder).slice(1))
    writeFileSync(join(folder, name), readFileSync(join(folder, one!)));
  const stream = await open({ source: folder, batch: 4, entries: ["similarity"], maxSkipShare: 1 });
  const { puzzles, failed } = await stream.get(0);
  expect(puzzles).toEqual([]);
  for (const { error } of failed) expect(error.message).toContain("other photos");
});

test("with passes, bad images are left out and counted; the rest comes once", async () => {
  const folder = photos(10);
  const names = readdirSync(folder);
  for (const name of names.slice(0, 3)) writeFileSync(join(folder, name), "bad");
  const options = { source: folder, passes: 1, batch: 4, partitions: 1, entries: ["rotation"] };
  const stream = await open({ ...options, preset: "paper" });
  const keys: string[] = [];
  for await (const batch of stream) keys.push(...keysOf(batch));
  expect(keys.sort()).toEqual(
    names
      .slice(3)
      .map((name) => name.replace(".jpg", ""))
      .sort(),
  );
  expect(stream.info().skipped).toEqual({ unreadable: 3 });
});

test("a file that changes or goes after it was listed stops the batch that needs it: it is no bad image", async () => {
  const folder = photos(8);
  const stream = await open({ source: folder, batch: 8, partitions: 1, preset: "paper" });
  const before = plain(await stream.get(0));
  for (const name of readdirSync(folder)) rmSync(join(folder, name));
  await expect(stream.get(0)).rejects.toMatchObject({ code: "SHARD_CORRUPT" });
  expect(before.failed).toEqual([]);
  expect(stream.info().skipped).toEqual({});
});
