import { execFile } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { temporaryFolder } from "../fixtures/files.ts";
import { startHub } from "../fixtures/hub.ts";
import { main } from "../fixtures/serve.ts";
import { serveFiles } from "./file-server.ts";
import { forms, makePhotos, type Form, type Photos } from "./photos.ts";

let photos: Photos;
beforeAll(() => {
  photos = makePhotos(4, 48);
});
afterAll(() => photos.remove());

const execute = promisify(execFile);

interface Ended {
  readonly out: string;
  readonly err: string;
  readonly status: number;
}

/** The command line, as users run it; not in one process with the servers, which must go on. */
async function cli(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Ended> {
  try {
    const { stdout, stderr } = await execute(process.execPath, [main, ...args], {
      env: { ...process.env, ...env },
      maxBuffer: 2 ** 26,
    });
    return { out: stdout, err: stderr, status: 0 };
  } catch (error) {
    const { stdout, stderr, code } = error as { stdout: string; stderr: string; code: number };
    return { out: stdout, err: stderr, status: code };
  }
}

const digest =
  "digest --seed 7 --batch 8 --window 64 --workers 1 --entries rotation,inpainting".split(" ");

async function servers(): Promise<{
  readonly web: (form: Form) => string;
  readonly hub: (form: Form) => string;
  readonly env: NodeJS.ProcessEnv;
  readonly violations: readonly string[];
}> {
  const all = forms.flatMap((form) => Object.entries(photos.files(form)));
  const files = await serveFiles(Object.fromEntries(all));
  const hub = await startHub({ tokens: { hf_forms: [] } });
  onTestFinished(() => hub.close());
  for (const form of forms) hub.create(`me/${form}`).commit(photos.files(form));
  const endings = { tar: "tar", gz: "tar.gz", zst: "tar.zst", parquet: "parquet" };
  return {
    web: (form) => `${files.url}/cuts-{000000..000003}.${endings[form]}`,
    hub: (form) => `hf://datasets/me/${form}`,
    env: { HF_ENDPOINT: hub.url, HF_TOKEN: "hf_forms", SSL_R1_CACHE: temporaryFolder() },
    violations: hub.violations,
  };
}

/** Two at a time. */
async function each<In, Out>(
  items: readonly In[],
  work: (item: In) => Promise<Out>,
): Promise<Out[]> {
  const results: Out[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at < items.length; at = next++) results[at] = await work(items[at]!);
  };
  await Promise.all([worker(), worker()]);
  return results;
}

describe("the same shards", () => {
  test("in four forms, on this machine, behind http and on a Hub: the same digests", async () => {
    const { web, hub, env, violations } = await servers();
    const sources = forms.flatMap((form) => [photos.path(form), web(form), hub(form)]);
    const results = await each(sources, (source) =>
      cli([...digest, source, "--steps", "0..3,9,2"], env),
    );
    const [first] = results;
    expect(first).toMatchObject({ status: 0 });
    expect(first!.out.trim().split("\n")).toHaveLength(6);
    expect(results.map(({ out }) => out)).toEqual(sources.map(() => first!.out));
    expect(violations).toEqual([]);
  });

  test("inspect lists the same samples", async () => {
    const { web, hub, env, violations } = await servers();
    const sources = [
      ...forms.flatMap((form) => [photos.path(form), hub(form)]),
      web("zst"),
      web("parquet"),
    ];
    const results = await each(sources, (source) =>
      cli(["inspect", source, "--json", "--samples"], env),
    );
    const samples = results.map(({ out }) =>
      out
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as { sha256?: string; shard: string; problem?: string })
        .filter((line) => line.sha256 !== undefined || line.problem !== undefined)
        .map((line) => ({ ...line, shard: line.shard.split(".")[0] })),
    );
    expect(samples[0]).toHaveLength(photos.shards * photos.rows);
    expect(samples[0]![49]).toEqual({
      shard: "cuts-000001",
      key: "0010001",
      image: "0010001.jpg",
      bytes: expect.any(Number),
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    for (const other of samples) expect(other).toEqual(samples[0]);
    expect(violations).toEqual([]);
  });
});

describe("a jump on a machine that never counted", () => {
  const far = ["--steps", "100000"];

  test("names the shards and downloads nothing; with counts from elsewhere it is the local batch", async () => {
    const files = await serveFiles(photos.files("gz"));
    const source = `${files.url}/cuts-{000000..000003}.tar.gz`;
    const here = { SSL_R1_CACHE: temporaryFolder() };
    const refused = await cli([...digest, source, ...far], here);
    expect(refused).toMatchObject({ status: 1, out: "" });
    expect(refused.err).toMatch(/NEEDS_INDEX: step 100000: 4 shards .*cuts-00000\d\.tar\.gz/);
    expect(files.seen.filter((line) => !line.startsWith("HEAD"))).toEqual([]);

    const counts = join(temporaryFolder(), "counts.json");
    const elsewhere = { SSL_R1_CACHE: temporaryFolder() };
    expect(await cli(["index", source, "--out", counts], elsewhere)).toMatchObject({
      status: 0,
      out: expect.stringContaining(`${photos.shards * photos.rows} images in 4 of 4 shards`),
    });
    const [counted, local] = await each(
      [[source, "--counts", counts], [photos.path("tar")]],
      (more) => cli([...digest, ...far, ...more], here),
    );
    expect(counted).toMatchObject({ status: 0, out: local!.out });
    expect(local!.out).toMatch(/^100000 sha256:/);
  });

  test("what a stream has counted is known to the next process, also when the cache was emptied", async () => {
    const files = await serveFiles(photos.files("tar"));
    const source = `${files.url}/cuts-{000000..000003}.tar`;
    const cache = temporaryFolder();
    const env = { SSL_R1_CACHE: cache };
    // each of the two entries reads 4 of its rows in a batch
    expect(await cli([...digest, source, "--steps", "0..60"], env)).toMatchObject({ status: 0 });
    for (const name of readdirSync(cache)) if (name.endsWith(".rows")) rmSync(join(cache, name));
    const [again, local] = await each([source, photos.path("tar")], (one) =>
      cli([...digest, one, ...far], env),
    );
    expect(again).toMatchObject({ status: 0, out: local!.out });
  });
});
