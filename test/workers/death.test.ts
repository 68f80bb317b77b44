import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { createStream, type Stream } from "../../src/loader.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { open, plain, samples } from "../loader/streams.ts";
import type { Fault } from "./faulty-worker.ts";

const workerEntry = new URL("faulty-worker.ts", import.meta.url);
const options = { seed: 21, batch: 16, partitions: 2 } as const;
let whole: object[] = [];

beforeAll(async () => {
  const stream = await createStream({ source: samples, workers: 1, ...options });
  whole = (await Promise.all([0, 1].map((step) => stream.get(step)))).map(plain);
  await stream.close();
});

/** A stream whose threads have a fault; threads take their environment from this process when they start. */
async function faulty(fault: Fault, workers = 1): Promise<Stream> {
  process.env["SSL_R1_TEST_FAULT"] = JSON.stringify(fault);
  onTestFinished(() => void delete process.env["SSL_R1_TEST_FAULT"]);
  return open({ ...options, workers }, { workerEntry });
}

for (const kind of ["exit", "throw"] as const)
  for (const workers of [1, 2])
    test(`a thread that dies once (${kind}, ${workers} threads) changes nothing`, async () => {
      const once = join(temporaryFolder(), "died");
      const stream = await faulty({ kind, step: 0, cell: 1, once }, workers);
      const batches = await Promise.all([0, 1].map((step) => stream.get(step)));
      expect(batches.map(plain)).toEqual(whole);
    });

test("a thread that dies after its answer changes nothing", async () => {
  const stream = await faulty({ kind: "late", step: 0, cell: 1 });
  const batches: object[] = [];
  for await (const batch of stream.batches({ steps: [0, 1] })) batches.push(plain(batch));
  expect(batches).toEqual(whole);
});

for (const kind of ["exit", "throw"] as const)
  test(`a cell that always kills its thread (${kind}) is named, and the stream goes on`, async () => {
    const stream = await faulty({ kind, step: 0, cell: 1 });
    await expect(stream.get(0)).rejects.toMatchObject({
      code: "WORKER_DIED",
      message: expect.stringMatching(/cell 1 of step 0.*2 times.*; the last time: \w+/) as string,
      context: { step: 0, cell: 1 },
    });
    expect(plain(await stream.get(1))).toEqual(whole[1]);
    // The other cell of that step, too.
    const [half] = whole as { puzzles: { slot: number }[] }[];
    const asked = [0, 1, 2];
    expect(plain(await stream.get(0, asked)).puzzles).toEqual(half!.puzzles.slice(0, 3));
    // An iteration delivers what comes before it.
    const seen: number[] = [];
    await expect(async () => {
      for await (const { step } of stream.batches({ steps: [1, 1, 0, 1] })) seen.push(step);
    }).rejects.toMatchObject({ code: "WORKER_DIED" });
    expect(seen).toEqual([1, 1]);
  });

for (const workers of [1, 2])
  test(`threads that can't start are told of, not waited for (${workers})`, async () => {
    const stream = await faulty({ kind: "start" }, workers);
    for (let times = 0; times < 2; times++)
      await expect(stream.get(times)).rejects.toMatchObject({
        code: "WORKER_DIED",
        message: expect.stringContaining("this thread does not start") as string,
      });
  });

test("a worker entry that is not there", async () => {
  const stream = await open(options, { workerEntry: new URL("nowhere.ts", import.meta.url) });
  await expect(stream.get(0)).rejects.toMatchObject({
    code: "WORKER_DIED",
    message: expect.stringContaining("nowhere.ts") as string,
  });
});

test("a process that only waits for a replaced thread does not end early", () => {
  const once = join(temporaryFolder(), "died");
  const loader = fileURLToPath(new URL("../../src/loader.ts", import.meta.url));
  const program = `
    import { createStream } from ${JSON.stringify(loader)};
    const stream = await createStream(
      { source: ${JSON.stringify(samples)}, batch: 8, workers: 1 },
      { workerEntry: new URL(${JSON.stringify(workerEntry.href)}) },
    );
    const { puzzles } = await stream.get(0);
    console.log(puzzles.length);
    await stream.close();`;
  const fault: Fault = { kind: "exit", step: 0, cell: 0, once };
  const env = { ...process.env, SSL_R1_TEST_FAULT: JSON.stringify(fault) };
  const run = ["--input-type=module", "--eval", program];
  expect(execFileSync(process.execPath, run, { encoding: "utf8", env })).toBe("8\n");
});
