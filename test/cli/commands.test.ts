import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { expect, test } from "vitest";
import { temporaryFolder } from "../fixtures/files.ts";
import { open, samples } from "../loader/streams.ts";
import { run } from "./run.ts";

const small = [samples, "--seed", "7", "--batch", "10", "--workers", "1"];

test("digest: one line a step, in the order asked for", () => {
  const { status, out, err } = run(["digest", ...small, "--steps", "1,0", "--json"]);
  expect(status).toBe(0);
  expect(out).toMatch(
    /^\{"step":1,"digest":"sha256:[0-9a-f]{64}"\}\n\{"step":0,"digest":"sha256:[0-9a-f]{64}"\}\n$/,
  );
  expect(err).toMatch(/^fingerprint sha256:[0-9a-f]{64}\n$/);
  const plain = run(["digest", ...small, "--steps", "0"]);
  expect(plain.out).toMatch(/^0 sha256:[0-9a-f]{64}\n$/);
  expect(out).toContain(plain.out.slice(2).trim());
});

test("digest of a finite stream ends where the stream does", () => {
  const finite = ["--batch", "40", "--partitions", "1", "--entries", "rotation", "--passes", "1"];
  const { status, out, err } = run(["digest", samples, ...finite, "--steps", "0..5"]);
  expect(status).toBe(1);
  expect(out.trim().split("\n")).toHaveLength(2); // 68 images
  expect(err).toContain("STEP_OUT_OF_RANGE");
});

test("batch: JSON with everything, and PNG files with the very pixels", async () => {
  const folder = join(temporaryFolder(), "deep", "batch");
  const { status, out } = run(["batch", ...small, "--step", "1", "--out", folder, "--json"]);
  expect(status).toBe(0);
  const stream = await open({ seed: 7, batch: 10 });
  const batch = await stream.get(1);
  const { fingerprint } = stream.info();
  const images = batch.puzzles.reduce((sum, puzzle) => sum + puzzle.images.length, 0);
  expect(JSON.parse(out)).toEqual({ out: folder, step: 1, fingerprint, puzzles: 10, images });
  const written = JSON.parse(readFileSync(join(folder, "batch.json"), "utf8")) as {
    puzzles: { images: string[] }[];
  };
  const names = written.puzzles.flatMap((puzzle) => puzzle.images);
  expect(new Set(names).size).toBe(images);
  expect(readdirSync(folder).sort()).toEqual(["batch.json", ...names].sort());
  expect(written).toEqual({
    step: 1,
    fingerprint,
    failed: [],
    puzzles: batch.puzzles.map((puzzle, at) => ({
      ...puzzle,
      images: written.puzzles[at]!.images,
    })),
  });
  for (const [at, puzzle] of batch.puzzles.entries())
    for (const [number, image] of puzzle.images.entries()) {
      const file = readFileSync(join(folder, written.puzzles[at]!.images[number]!));
      const { data, info } = await sharp(file).raw().toBuffer({ resolveWithObject: true });
      expect(info).toMatchObject({ width: image.width, height: image.height, channels: 3 });
      expect(Buffer.compare(data, image.data)).toBe(0);
    }
});

test("preview: one page that loads nothing, with the answers folded away", () => {
  const page = join(temporaryFolder(), "page.html");
  const { status, out } = run(["preview", ...small, "--step", "2", "--out", page, "--json"]);
  expect(status).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ out: page, step: 2, puzzles: 10 });
  const html = readFileSync(page, "utf8");
  const text = html.replaceAll(/data:image\/jpeg;base64,[A-Za-z0-9+/=]+/g, "data:image");
  expect(text).not.toMatch(/https?:|\bsrc="(?!data:)|\bhref=|@import|url\(/);
  expect(text.match(/<img [^>]*src="data:image"/g)!.length).toBeGreaterThanOrEqual(20);
  expect(text.match(/<article /g)).toHaveLength(10);
  expect(text.match(/<details>/g)).toHaveLength(10);
  expect(text).not.toMatch(/<details[^>]+open/);
  const shown = text.replaceAll(/<details>.*?<\/details>/gs, "");
  expect(shown).not.toContain('class="answer"');
  expect(shown).not.toContain("photos-0000"); // nor the recipe
});

test("inspect: JSON lines", () => {
  const { status, out } = run(["inspect", samples, "--json"]);
  expect(status).toBe(0);
  const lines = out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { samples?: number });
  expect(lines.length).toBeGreaterThanOrEqual(3);
  expect(out).toContain("photos-000001.tar");
  expect(run(["inspect", join(samples, "photos-000000.tar")]).status).toBe(0);
});

test("score: a line for a line; what can't be scored has status 2", () => {
  const good = { completion: "<think>x</think>\\boxed{C}", answer: "C" };
  const bad = { completion: "<think>x</think>\\boxed{B}", answer: "C" };
  const input = `${[good, bad].map((line) => JSON.stringify(line)).join("\n")}\n`;
  const { status, out, err } = run(["score", "--json"], input);
  expect({ status, err }).toEqual({ status: 0, err: "" });
  expect(
    out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as object),
  ).toMatchObject([
    { accuracy: 1, format: 1, total: 2 },
    { accuracy: 0, format: 1, total: 1 },
  ]);
  const weighted = run(["score", "--accuracy-weight", "0.5", "--json"], input);
  expect(JSON.parse(weighted.out.split("\n")[0]!)).toMatchObject({ total: 1.5 });
  expect(run(["score", "--accuracy-weight", "much"], input)).toMatchObject({ status: 2 });
  expect(run(["score", "--partial", "some"], input)).toMatchObject({ status: 2 });
  expect(run(["score", "--json"], "not json\n")).toMatchObject({ status: 2 });
  expect(run(["score", "/nowhere.jsonl"])).toMatchObject({ status: 2 });
});

test("bench: JSON of finite numbers", () => {
  const { status, out } = run(["bench", ...small, "--batches", "2", "--warmup", "1", "--json"]);
  expect(status).toBe(0);
  const result = JSON.parse(out) as Record<string, unknown>;
  expect(result).toMatchObject({ puzzles: 20, format: "raw" });
  for (const name of ["puzzles_per_second", "puzzles_per_cpu_second", "mebibytes_per_puzzle"])
    expect(result[name]).toBeGreaterThan(0);
  expect(run(["bench", ...small, "--batches", "0"]).status).toBe(2);
});

test("version and help", () => {
  expect(run(["--version"])).toMatchObject({ status: 0 });
  const { status, out } = run(["--help"]);
  expect(status).toBe(0);
  for (const verb of ["serve", "batch", "preview", "digest", "inspect", "score", "bench"])
    expect(out).toContain(`\n  ${verb} `);
});

test("a folder that can't be written is told of before anything is left half done", () => {
  const folder = temporaryFolder({ file: "in the way" });
  const out = join(folder, "file", "batch");
  const ended = run(["batch", ...small, "--step", "0", "--out", out]);
  expect(ended).toMatchObject({ status: 2, out: "" });
  expect(ended.err).toContain("file");
  expect(existsSync(out)).toBe(false);
});
