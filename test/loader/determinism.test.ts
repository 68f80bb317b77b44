import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createStream } from "../../src/loader.ts";
import type { Batch } from "../../src/model.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { open, plain, samples, take } from "./streams.ts";

/** A batch whose puzzles must not depend on how it was asked for. */
const options = { seed: 11, batch: 32, partitions: 2 } as const;

async function reference(): Promise<Batch[]> {
  const stream = await createStream({ source: samples, workers: 1, ...options });
  const batches = await take(stream, 3);
  await stream.close();
  return batches;
}
const expected = await reference();
const whole = expected.map(plain);

test("one, two and four workers make the same", async () => {
  for (const workers of [2, 4]) {
    const stream = await open({ ...options, workers });
    expect((await take(stream, 3)).map(plain)).toEqual(whole);
    await stream.close();
  }
});

test("another seed makes another batch", async () => {
  const stream = await open({ ...options, seed: 12 });
  const [batch] = await take(stream, 1);
  expect(plain(batch!)).not.toEqual(whole[0]);
});

test("steps in any order, once and again, by get and by iteration", async () => {
  const stream = await open({ ...options, workers: 2 });
  const order = [2, 0, 1, 1, 0];
  const iterated: object[] = [];
  for await (const batch of stream.batches({ steps: order })) iterated.push(plain(batch));
  expect(iterated).toEqual(order.map((step) => whole[step]));
  const got = await Promise.all(order.map((step) => stream.get(step)));
  expect(got.map(plain)).toEqual(iterated);
  expect(plain((await take(stream.batches({ from: 2 }), 1))[0]!)).toEqual(whole[2]);
});

test("subsets of slots, in the order asked for, are slices of the batch", async () => {
  const stream = await open({ ...options, workers: 2 });
  const slots = Array.from({ length: options.batch }, (_, slot) => slot);
  await fc.assert(
    fc.asyncProperty(
      fc.nat(1),
      fc.shuffledSubarray(slots, { minLength: 1, maxLength: 6 }),
      async (step, asked) => {
        const batch = await stream.get(step, asked);
        expect(batch.puzzles.map(({ slot }) => slot)).toEqual(asked);
        expect(plain(batch).puzzles).toEqual(asked.map((slot) => whole[step]!.puzzles[slot]));
      },
    ),
    { numRuns: 12, seed: 3 },
  );
});

test("every slot alone is the slot of the batch", async () => {
  const stream = await open({ ...options, workers: 2 });
  const alone = await Promise.all(
    expected[0]!.puzzles.map(({ slot }) => stream.get(0, [slot]).then(plain)),
  );
  expect(alone.flatMap(({ puzzles }) => puzzles)).toEqual(whole[0]!.puzzles);
});

test("cells are slices too, in slot order, and only the last says so", async () => {
  const stream = await open({ ...options, workers: 2 });
  const found: object[] = [];
  const lasts: boolean[] = [];
  for await (const cell of stream.cells([{ step: 0 }, { step: 1, slots: [31, 0] }])) {
    found.push(...plain(cell).puzzles);
    lasts.push(cell.last);
    cell.release();
    cell.release();
  }
  const [first, second] = [whole[0]!.puzzles, whole[1]!.puzzles];
  expect(found).toEqual([...first, second[0], second[31]]);
  expect(lasts).toEqual([false, false, false, true, false, true]);
});

test("JPEG and PNG carry the same puzzles", async () => {
  const stream = await open({ ...options, workers: 2 });
  const shape = (batch: Batch): object[] =>
    batch.puzzles.map(({ images, ...puzzle }) => ({
      ...puzzle,
      images: images.map(({ width, height }) => [width, height]),
    }));
  for (const format of ["jpeg", "png"] as const) {
    const batch = await stream.get(1, undefined, { format });
    expect(shape(batch)).toEqual(shape(expected[1]!));
    for (const { images } of batch.puzzles)
      for (const image of images) expect(image.format).toBe(format);
  }
});

test("what failed or was given up before leaves no trace", async () => {
  const stream = await open({ ...options, workers: 2 });
  await expect(stream.get(-1)).rejects.toMatchObject({ code: "STEP_OUT_OF_RANGE" });
  await expect(stream.get(0, [3, 3])).rejects.toMatchObject({ code: "BAD_SLOTS" });
  for (let times = 0; times < 3; times++) {
    const gone = new AbortController();
    const work = stream.get(times, undefined, { signal: gone.signal });
    gone.abort();
    await expect(work).rejects.toMatchObject({ code: "ABORTED" });
    for await (const batch of stream) if (batch.step === 0) break;
  }
  expect(plain(await stream.get(1))).toEqual(whole[1]);
});

test("two consumers at once do not change each other", async () => {
  const stream = await open({ ...options, workers: 2 });
  const runs = await Promise.all([
    take(stream, 2),
    take(stream, 3),
    take(stream.batches({ from: 1 }), 2),
  ]);
  expect(runs.map((run) => run.map(plain))).toEqual([whole.slice(0, 2), whole, whole.slice(1)]);
});

test("the shards copied, or reached through a link, make the same stream", async () => {
  const folder = temporaryFolder();
  cpSync(samples, join(folder, "copy"), { recursive: true });
  symlinkSync(samples, join(folder, "link"));
  for (const name of ["copy", "link"]) {
    const stream = await open({ ...options, source: join(folder, name) });
    expect(plain(await stream.get(0))).toEqual(whole[0]);
    await stream.close();
  }
});

test("a folder of the same images, made in another order, makes the same stream", async () => {
  const folder = temporaryFolder();
  for (const name of ["one", "two"]) mkdirSync(join(folder, name));
  execFileSync("tar", ["-xf", join(samples, "photos-000000.tar"), "-C", join(folder, "one")]);
  for (const name of readdirSync(join(folder, "one")).sort().reverse())
    cpSync(join(folder, "one", name), join(folder, "two", name), { preserveTimestamps: true });
  const [one, two] = await Promise.all(
    ["one", "two"].map((name) => open({ seed: 5, batch: 16, source: join(folder, name) })),
  );
  expect(plain(await two!.get(0))).toEqual(plain(await one!.get(0)));
});

test("numbers of steps far away cost what step 0 costs", async () => {
  const stream = await open({ seed: 1, batch: 8 });
  const step = 2 ** 49;
  const batch = await stream.get(step, [5]);
  expect(batch.puzzles[0]).toMatchObject({ slot: 5, index: step * 8 + 5 });
  await expect(stream.get(2 ** 50)).rejects.toMatchObject({ code: "STEP_OUT_OF_RANGE" });
});
