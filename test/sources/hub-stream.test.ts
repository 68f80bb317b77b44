import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { temporaryFolder } from "../fixtures/files.ts";
import { startHub, type Hub } from "../fixtures/hub.ts";
import { lines, main, root, testPython } from "../fixtures/serve.ts";

/** Whole streams from a Hub on loopback, through the command line. */

const tars = ["photos-000000.tar", "photos-000001.tar"];
const photo = (name: string): Buffer => readFileSync(join(root, "shards", name));
let hub: Hub;

beforeAll(async () => {
  hub = await startHub();
});
afterAll(() => hub.close());

function digest(
  source: string,
  env: { readonly [name: string]: string } = {},
): Promise<readonly string[]> {
  const own = { HF_ENDPOINT: hub.url, HF_HOME: temporaryFolder(), HF_HUB_DISABLE_XET: "1", ...env };
  const args = [main, "digest", source, "--seed", "7", "--batch", "20", "--steps", "0..2"];
  return lines(process.execPath, args, root, own);
}

/** What was asked for while `work` ran, by kind. */
async function asked(work: () => Promise<unknown>): Promise<Record<string, number>> {
  const before = hub.requests.length;
  await work();
  const kinds: Record<string, number> = {};
  for (const { kind } of hub.requests.slice(before)) kinds[kind] = (kinds[kind] ?? 0) + 1;
  return kinds;
}

describe("what the Python client has downloaded", () => {
  test("is read where it is, online and offline", async () => {
    hub
      .create("me/tars")
      .commit(Object.fromEntries(tars.map((name) => [`data/${name}`, photo(name)])));
    const home = temporaryFolder();
    const env = { HF_ENDPOINT: hub.url, HF_HOME: home, HF_HUB_DISABLE_XET: "1" };
    const download =
      "from huggingface_hub import snapshot_download as s; print(s('me/tars', repo_type='dataset'))";
    await lines(testPython(), ["-c", download], root, env);
    const local = await digest("shards");
    const cache = temporaryFolder();
    expect(
      await asked(async () =>
        expect(
          await digest("hf://datasets/me/tars", { HF_HOME: home, SSL_R1_CACHE: cache }),
        ).toEqual(local),
      ),
    ).toEqual({ info: 1, tree: 1 });
    expect(
      await asked(async () =>
        expect(
          await digest("hf://datasets/me/tars", {
            HF_HOME: home,
            SSL_R1_CACHE: cache,
            HF_HUB_OFFLINE: "1",
          }),
        ).toEqual(local),
      ),
    ).toEqual({});
  });
});

describe("a repo of image files", () => {
  test("is the stream of the folder that it is a copy of; each image is fetched once", async () => {
    const images = temporaryFolder();
    await lines(process.execPath, [
      main,
      "batch",
      "shards",
      "--batch",
      "10",
      "--step",
      "0",
      "--out",
      images,
    ]);
    const batch = JSON.parse(readFileSync(join(images, "batch.json"), "utf8")) as {
      puzzles: { images: string[] }[];
    };
    const names = batch.puzzles.flatMap((puzzle) => puzzle.images).slice(0, 30);
    const folder = temporaryFolder();
    for (const name of names) {
      mkdirSync(join(folder, name, ".."), { recursive: true });
      writeFileSync(join(folder, name), readFileSync(join(images, name)));
    }
    hub
      .create("me/images")
      .commit(Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name))])));
    const cache = temporaryFolder();
    const local = await digest(folder);
    const first = await asked(async () =>
      expect(await digest("hf://datasets/me/images", { SSL_R1_CACHE: cache })).toEqual(local),
    );
    expect(first["resolve"]).toBeLessThanOrEqual(names.length);
    const again = await asked(async () =>
      expect(await digest("hf://datasets/me/images", { SSL_R1_CACHE: cache })).toEqual(local),
    );
    expect(again).toEqual({ info: 1, tree: 1 });
  });
});

describe("a branch that moves", () => {
  test("is another stream when it is opened anew; its old commit is the stream it was", async () => {
    const repo = hub.create("me/moving");
    const commit = repo.commit({ "a.tar": photo(tars[0]!) });
    const cache = { SSL_R1_CACHE: temporaryFolder() };
    const before = await digest("hf://datasets/me/moving", cache);
    repo.commit({ "a.tar": photo(tars[1]!) });
    expect(await digest("hf://datasets/me/moving", cache)).not.toEqual(before);
    expect(await digest(`hf://datasets/me/moving@${commit}`, cache)).toEqual(before);
  });
});

test("no token is wanted, none is sent, and nothing else was done that no client may do", () => {
  expect(hub.violations).toEqual([]);
});
