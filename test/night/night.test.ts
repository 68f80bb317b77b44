import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { batchDigest } from "../../src/digest.ts";
import { createStream } from "../../src/loader.ts";
import type { StreamOptions } from "../../src/options.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { startHub, type Hub } from "../fixtures/hub.ts";
import type { Repo } from "../fixtures/hub-repo.ts";
import { cheap, makePhotos, type Form, type Photos } from "./photos.ts";
import { badWeather, fastClock, type Weather } from "./weather.ts";

const BATCHES = 1000;
/** Where room is short. */
const LESS = 400;
/** Entries on a page of the listing. */
const PAGE = 5;

let photos: Photos;
let local: Run;

beforeAll(async () => {
  photos = makePhotos(12, 64);
  local = await run({ source: photos.path("tar") }, BATCHES);
});
afterAll(() => photos.remove());

interface Run {
  readonly digests: readonly string[];
  readonly skipped: object;
  readonly failed: number;
}

async function run(
  options: StreamOptions,
  batches: number,
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
      if (digests.length === batches) break;
    }
    return { digests, failed, skipped: stream.info().skipped };
  } finally {
    await stream.close();
  }
}

/** A Hub with the shards of this form, private, and one that was moved meanwhile to other data. */
async function hubWith(form: Form): Promise<{ hub: Hub; repo: Repo }> {
  const token = "hf_night";
  const hub = await startHub({ page: PAGE, tokens: { [token]: ["me/cuts"] } });
  onTestFinished(() => hub.close());
  const { env } = process;
  onTestFinished(() => {
    process.env = env;
  });
  process.env = { ...env, HF_ENDPOINT: hub.url, HF_TOKEN: token };
  const repo = hub.create("me/cuts", { private: true });
  repo.commit({ "README.md": "cuts", ...photos.files(form) });
  return { hub, repo };
}

/** The branch moves: all shards but one are gone, that one is another. */
function moveBranch(repo: Repo, form: Form): void {
  const [first = "", ...others] = Object.keys(photos.files(form));
  const gone = Object.fromEntries(others.map((name) => [name, null]));
  repo.commit({ ...gone, [first]: new Uint8Array(100_000) });
}

/**
 * Requests without which it can't be done: what a run needs where nothing goes wrong, which is one for the commit, one for each page of the listing, two for
 * each download (the Hub redirects to where the bytes are), of which a tar needs one and a Parquet file, whose footer comes first, two; and one more for each
 * fault after which something must be asked for again. An address that has expired costs two: it was asked in vain, and there must be a new one. An address that has expired costs two: it was asked in vain, and there must be a new one.
 */
function least(form: Form, { hub, weather }: Night): number {
  const expired = hub.requests.filter(({ kind, status }) => kind === "file" && status === 403);
  const entries = photos.shards + 1;
  const downloads = photos.shards * (form === "parquet" ? 2 : 1);
  return 1 + Math.ceil(entries / PAGE) + 2 * (downloads + expired.length) + weather.costly;
}

/** The weather, and things that happen while batches are made. */
async function night(form: Form, seed: number): Promise<Night> {
  const { hub, repo } = await hubWith(form);
  const weather = badWeather(hub, seed, Object.values(photos.files(form)));
  return {
    hub,
    weather,
    onStep(step) {
      if (step === 1) moveBranch(repo, form);
      if (step === 5) hub.expireLinks();
    },
  };
}

interface Night {
  readonly hub: Hub;
  readonly weather: Weather;
  readonly onStep: (step: number) => void;
}

const source = "hf://datasets/me/cuts";

describe("a night of faults", () => {
  for (const [seed, form] of (["tar", "gz", "parquet"] as const).entries()) {
    test(`${form}: the batches of the local run, hardly a request too many`, async () => {
      const outside = await night(form, 20 + seed);
      const batches = await run({ source, cache: temporaryFolder() }, BATCHES, outside.onStep);
      expect(batches).toEqual(local);
      expect(outside.hub.violations).toEqual([]);
      expect(outside.weather.costly).toBeGreaterThan(photos.shards);
      expect(outside.hub.requests.length).toBeLessThanOrEqual(1.1 * least(form, outside));
    });
  }

  test("a cache for half of the data: shards come again, and the batches stay", async () => {
    const outside = await night("tar", 7);
    const room = { cache: temporaryFolder(), cacheSize: "1500kB" };
    const { digests, failed } = await run({ source, ...room }, LESS, outside.onStep);
    expect(digests).toEqual(local.digests.slice(0, LESS));
    expect(failed).toBe(0);
    expect(outside.hub.violations).toEqual([]);
    expect(outside.hub.requests.length).toBeGreaterThan(least("tar", outside));
  });

  for (const form of ["gz", "parquet"] as const) {
    test(`${form}: memory for half of the data, no cache`, async () => {
      const outside = await night(form, 8);
      const room = { cache: "none", memoryLimit: "2500kB" };
      const { digests, failed } = await run({ source, ...room }, LESS, outside.onStep);
      expect(digests).toEqual(local.digests.slice(0, LESS));
      expect(failed).toBe(0);
      expect(outside.hub.violations).toEqual([]);
      expect(outside.hub.requests.length).toBeGreaterThan(least(form, outside));
    });
  }
});
