import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { onTestFinished } from "vitest";
import { batchDigest } from "../../src/digest.ts";
import { createStream } from "../../src/loader.ts";
import type { StreamOptions } from "../../src/options.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { startHub, type Hub } from "../fixtures/hub.ts";
import { cheap, makePhotos, type Form, type Photos } from "./photos.ts";
import { badWeather, fastClock } from "./weather.ts";

const BATCHES = 1000;
const PAGE = 5;

let photos: Photos;
let local: Run;

beforeAll(async () => {
  photos = makePhotos(12, 64);
  local = await run({ source: photos.path("tar") });
});
afterAll(() => photos.remove());

interface Run {
  readonly digests: readonly string[];
  readonly skipped: object;
  readonly failed: number;
}

async function run(
  options: Partial<StreamOptions> & Pick<StreamOptions, "source">,
  onStep: (step: number) => void = () => {},
): Promise<Run> {
  const stream = await createStream({ ...cheap, ...options }, { clock: fastClock });
  try {
    const digests: string[] = [];
    let failed = 0;
    for await (const batch of stream.batches()) {
      onStep(batch.step);
      failed += batch.failed.length;
      digests.push(batchDigest(batch));
      if (digests.length === BATCHES) break;
    }
    return { digests, failed, skipped: stream.info().skipped };
  } finally {
    await stream.close();
  }
}

async function hubWith(form: Form): Promise<Hub> {
  const token = "hf_night";
  const hub = await startHub({ page: PAGE, tokens: { [token]: ["me/cuts"] } });
  onTestFinished(() => hub.close());
  const was = { ...process.env };
  onTestFinished(() => {
    process.env = was;
  });
  process.env["HF_ENDPOINT"] = hub.url;
  process.env["HF_TOKEN"] = token;
  hub.create("me/cuts", { private: true }).commit({ "README.md": "cuts", ...photos.files(form) });
  return hub;
}

/** Requests that a client needs at least where nothing goes wrong: the commit, each page of the listing, and each shard, whose address redirects. */
function leastFor(form: Form): number {
  const entries = photos.shards + 1;
  const eachShard = form === "parquet" ? 4 : 2; // a footer first, and then the columns
  return 1 + Math.ceil(entries / PAGE) + photos.shards * eachShard;
}

describe("little room", () => {
  test("small cache", async () => {
    const hub = await hubWith("tar");
    const weather = badWeather(hub, 7, { longest: 250_000 });
    const night = await run({
      source: "hf://datasets/me/cuts",
      cache: temporaryFolder(),
      cacheSize: "1200kB",
    });
    console.log(weather.met, hub.requests.length);
    expect(night).toEqual(local);
    expect(hub.violations).toEqual([]);
  });
  test("no cache", async () => {
    const hub = await hubWith("gz");
    const weather = badWeather(hub, 8, { longest: 250_000 });
    const night = await run({
      source: "hf://datasets/me/cuts",
      cache: "none",
      memoryLimit: "1500kB",
    });
    console.log(weather.met, hub.requests.length);
    expect(night).toEqual(local);
    expect(hub.violations).toEqual([]);
  });
});

describe("a night of faults", () => {
  for (const [at, form] of (["tar", "gz", "parquet"] as const).entries()) {
    test(form, async () => {
      const hub = await hubWith(form);
      const weather = badWeather(hub, at, { longest: 250_000 });
      const night = await run({
        source: "hf://datasets/me/cuts",
        cache: temporaryFolder(),
      });
      const least = leastFor(form) + weather.costly;
      console.log(form, weather.met, hub.requests.length, least, leastFor(form));
      expect(night).toEqual(local);
      expect(night.failed).toBe(0);
      expect(hub.violations).toEqual([]);
    });
  }
});
