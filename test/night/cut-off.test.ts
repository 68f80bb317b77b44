/** Servers that stop, fail for ever, or are left in the middle; processes that are killed. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { batchDigest } from "../../src/digest.ts";
import { createStream, type Stream } from "../../src/loader.ts";
import type { StreamOptions } from "../../src/options.ts";
import { connect } from "../../src/transport/client.ts";
import { createServer } from "../../src/transport/server.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { main } from "../fixtures/serve.ts";
import { serveFiles, type FileServer } from "./file-server.ts";
import { makePhotos, type Photos } from "./photos.ts";
import { fastClock } from "./weather.ts";

const ROWS = 150;
const WAIT = { timeout: 20_000 };
const leaver = fileURLToPath(new URL("leaver.ts", import.meta.url));

let photos: Photos;
beforeAll(() => {
  photos = makePhotos(2, ROWS);
});
afterAll(() => photos.remove());

const options = { seed: 3, batch: 8, window: 64, workers: 1, entries: ["rotation"], retryFor: 60 };

/** Closed after the test. */
async function open(given: StreamOptions): Promise<Stream> {
  const stream = await createStream({ ...options, ...given }, { clock: fastClock });
  onTestFinished(() => stream.close());
  return stream;
}

async function digests(stream: Stream, count: number): Promise<string[]> {
  const found: string[] = [];
  for await (const batch of stream.batches()) {
    found.push(batchDigest(batch));
    if (found.length === count) break;
  }
  return found;
}

/** Of both shards: their size, and where the tars' rows begin. */
function sourceOf(server: FileServer): string {
  return `${server.url}/cuts-{000000..000001}.tar`;
}

/** Bytes of each tar up to the header of this row, which shows that the one before is over. */
function bytesOf(rows: number): number {
  const ends = Object.entries(photos.files("tar")).map(([name, bytes]) => {
    const row = `${name.slice(8, 11)}${String(rows).padStart(4, "0")}.jpg`;
    return Buffer.from(bytes).indexOf(row) + 512;
  });
  return Math.max(...ends);
}

describe("a server that stops", () => {
  test("after the first window's bytes: the first batches come", async () => {
    const server = await serveFiles(photos.files("tar"));
    server.hold = bytesOf(64);
    const stream = await open({ source: sourceOf(server), cache: temporaryFolder() });
    const local = await open({ source: photos.path("tar") });
    // all of the window, and not one row more
    const batches = 64 / options.batch;
    expect(await digests(stream, batches)).toEqual(await digests(local, batches));
    expect(server.held).toBeGreaterThan(0);
    const next = stream.get(batches);
    server.release();
    expect(batchDigest(await next)).toBe(batchDigest(await local.get(batches)));
  });

  test("in a shard that was counted before: steps whose images are here are served meanwhile", async () => {
    const server = await serveFiles(photos.files("tar"));
    const cache = temporaryFolder();
    const given = { source: sourceOf(server), cache, prefetch: 0 };
    const before = await open(given);
    await digests(before, 40);
    await before.close();
    const wholes = (): string[] => readdirSync(cache).filter((name) => name.endsWith(".rows"));
    for (const name of wholes()) rmSync(join(cache, name));

    const stream = await open(given);
    const local = await open({ source: photos.path("tar") });
    const check = async (step: number): Promise<void> => {
      expect(batchDigest(await stream.get(step))).toBe(batchDigest(await local.get(step)));
    };
    await check(0);
    await vi.waitUntil(() => wholes().length > 0, WAIT);
    server.hold = 1000;
    const waiting = [16, 17, 18, 19, 20, 21].map(check);
    await vi.waitUntil(() => server.held > 0, WAIT);
    await Promise.all([2, 3, 4, 5, 6].map(check));
    server.release();
    await Promise.all(waiting);
  });
});

/** What processes may leave in a cache: whole files and counts. */
function leftovers(cache: string): string[] {
  return readdirSync(cache, { recursive: true, encoding: "utf8" }).filter((name) =>
    /\.part-|^(locks|users)\//.test(name),
  );
}

/** Standard output and how it ended. */
async function ended(child: ChildProcess): Promise<{ out: string; status: unknown }> {
  let out = "";
  child.stdout!.on("data", (chunk: Buffer) => (out += chunk.toString()));
  const status = await new Promise((resolve) => {
    child.once("close", (code, signal) => resolve(code ?? signal));
  });
  return { out, status };
}

function start(program: string, args: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  const child = spawn(process.execPath, [program, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

describe("two processes on one cache", () => {
  test("one is killed in the middle of a download: the other goes on and is right", async () => {
    const server = await serveFiles(photos.files("tar"));
    server.hold = bytesOf(100);
    const cache = temporaryFolder();
    const words = "--seed 3 --batch 8 --window 64 --workers 1 --entries rotation --steps 0..30";
    const digest = (source: string): ChildProcess =>
      start(main, ["digest", source, ...words.split(" ")], { SSL_R1_CACHE: cache });
    const users = (): number => readdirSync(join(cache, "users")).length;

    const killed = digest(sourceOf(server));
    const dead = ended(killed);
    await vi.waitUntil(() => server.held > 0, WAIT);
    const other = ended(digest(sourceOf(server)));
    await vi.waitUntil(() => users() === 2, WAIT);
    killed.kill("SIGKILL");
    expect(await dead).toMatchObject({ status: "SIGKILL" });
    server.release();
    const local = await ended(digest(photos.path("tar")));
    expect(await other).toEqual(local);
    expect(local.out.trim().split("\n")).toHaveLength(31);
    expect(leftovers(cache)).toEqual([]);
  });
});

describe("a server that never recovers", () => {
  test("is given up after retryFor: when listed, and by get()", async () => {
    const server = await serveFiles(photos.files("tar"));
    const source = sourceOf(server);
    server.status = 503;
    await expect(open({ source, cache: temporaryFolder() })).rejects.toMatchObject({
      code: "NETWORK",
      message: expect.stringMatching(/cuts-00000\d\.tar: given up after \d+ tries .* 503/),
    });
    server.status = undefined;
    const stream = await open({ source, cache: temporaryFolder() });
    server.status = 500;
    await expect(stream.get(0)).rejects.toMatchObject({ code: "NETWORK" });
    server.status = undefined;
    const local = await open({ source: photos.path("tar") });
    expect(batchDigest(await stream.get(0))).toBe(batchDigest(await local.get(0)));
  });

  test("clients are told NETWORK, and served what is in the cache, and the rest when it is back", async () => {
    const files = await serveFiles(photos.files("tar"));
    const cache = temporaryFolder();
    const stream = await open({ source: sourceOf(files), cache, prefetch: 0 });
    const local = await open({ source: photos.path("tar") });
    const server = await createServer(stream, { listen: "tcp://127.0.0.1:0" });
    onTestFinished(() => server.close());
    const client = await connect(server.address);
    onTestFinished(() => client.close());
    const check = async (step: number): Promise<void> => {
      expect(batchDigest(await client.get(step))).toBe(batchDigest(await local.get(step)));
    };

    await check(0);
    const whole = (): boolean => readdirSync(cache).some((name) => name.endsWith(".rows"));
    await vi.waitUntil(whole, WAIT);
    files.status = 502;
    // windows of 64 rows: the third is the first that reaches into the other shard
    await Promise.all([check(15), check(3)]);
    await expect(client.get(16)).rejects.toMatchObject({ code: "NETWORK" });
    const streamed: number[] = [];
    const streaming = async (): Promise<void> => {
      for await (const { step } of client.stream({ from: 13 })) streamed.push(step);
    };
    await expect(streaming()).rejects.toMatchObject({ code: "NETWORK" });
    expect(streamed).toEqual([13, 14, 15]);
    await check(7);
    files.status = undefined;
    await check(16);
  });
});

describe("left in the middle of a download", () => {
  for (const how of ["close", "abort", "break"]) {
    test(`${how}: nothing is left that keeps the process up, nor in the cache`, async () => {
      const server = await serveFiles(photos.files("tar"));
      server.hold = bytesOf(80);
      const cache = temporaryFolder();
      const child = start(leaver, [sourceOf(server), how], { SSL_R1_CACHE: cache });
      const { out, status } = await ended(child);
      expect(status).toBe(0);
      const { steps, error, took, descriptors } = JSON.parse(out) as Left;
      expect(steps).toBe(8);
      expect(error).toBe({ close: "CLOSED", abort: "ABORTED", break: null }[how]);
      // some milliseconds; what is not stopped goes on for five seconds or more
      expect(took).toBeLessThan(4000);
      expect(descriptors).toBe(0);
      expect(leftovers(cache)).toEqual([]);
      expect(server.held).toBe(0);
    });
  }
});

test("a server of batches ends on SIGTERM while a client waits for a download", async () => {
  const files = await serveFiles(photos.files("tar"));
  files.hold = bytesOf(80);
  const cache = temporaryFolder();
  const words = "--seed 3 --batch 8 --window 64 --workers 1 --entries rotation --json";
  const listen = ["--listen", "tcp://127.0.0.1:0"];
  const args = ["serve", sourceOf(files), ...words.split(" "), ...listen];
  const child = start(main, args, { SSL_R1_CACHE: cache });
  const over = ended(child);
  const [line] = (await once(child.stdout!, "data")) as [Buffer];
  const { listening } = JSON.parse(line.toString()) as { listening: string };
  const client = await connect(listening, { reconnect: 0 });
  onTestFinished(() => client.close());
  const steps: number[] = [];
  const streaming = (async () => {
    for await (const { step } of client.stream()) {
      steps.push(step);
      if (step === 7) setTimeout(() => child.kill("SIGTERM"), 50);
    }
  })();
  await expect(streaming).rejects.toMatchObject({ name: "StreamError" });
  expect(await over).toMatchObject({ status: 0 });
  expect(steps).toHaveLength(8);
  expect(leftovers(cache)).toEqual([]);
});

/** What leaver.ts prints. */
interface Left {
  /** Batches that came. */
  readonly steps: number;
  readonly error: string | null;
  /** Milliseconds from the end of the use to the end of close(). */
  readonly took: number;
  /** Open files of the cache. */
  readonly descriptors: number;
}
