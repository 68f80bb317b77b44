import { createHash } from "node:crypto";
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createNet } from "../../src/net/create.ts";
import { openHub, type HubListing } from "../../src/sources/hub.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { startHub, type Hub } from "../fixtures/hub.ts";

interface Cached {
  readonly hub: Hub;
  readonly commit: string;
  /** In the cache of the Python client, of this commit, as the client lays it out. */
  readonly put: (path: string, content: string, blob?: string) => string;
  readonly open: (address: string, offline?: boolean) => Promise<HubListing>;
}

const files = { "train-0.tar": "first", "train-1.tar": "second", "test-0.tar": "third" };

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

async function cached(): Promise<Cached> {
  const home = temporaryFolder();
  const hub = await startHub();
  onTestFinished(() => hub.close());
  const net = createNet();
  onTestFinished(() => net.close());
  const commit = hub.create("o/n").commit(files);
  const folder = join(home, "hub/datasets--o--n");
  return {
    hub,
    commit,
    put(path, content, blob = sha256(content)) {
      const place = join(folder, "snapshots", commit, path);
      const store = join(folder, "blobs", blob);
      for (const one of [place, store, join(folder, "refs/main")])
        mkdirSync(dirname(one), { recursive: true });
      writeFileSync(store, content);
      writeFileSync(join(folder, "refs/main"), commit);
      rmSync(place, { force: true });
      symlinkSync(store, place);
      return place;
    },
    open(address, offline = false) {
      const env = {
        HF_HOME: home,
        HF_ENDPOINT: hub.url,
        ...(offline && { HF_HUB_OFFLINE: "1" }),
      };
      return openHub(address, { net, env, signal: new AbortController().signal });
    },
  };
}

const locals = ({ files: found }: HubListing): unknown[] => found.map(({ local }) => local);

test("a file is taken from the cache where it is the very file", async () => {
  const { put, open } = await cached();
  expect(locals(await open("hf://datasets/o/n"))).toEqual([undefined, undefined]);
  const place = put("train-1.tar", "second");
  const listing = await open("hf://datasets/o/n");
  expect(locals(listing)).toEqual([undefined, place]);
  // nothing that identifies the data changes
  expect(listing.files[1]).toMatchObject({ size: 6, hash: `sha256:${sha256("second")}` });
});

test("a half file, another file and a link without its file are not taken", async () => {
  const { put, open } = await cached();
  const blob = sha256("second");
  put("train-1.tar", "secon", blob);
  expect(locals(await open("hf://datasets/o/n"))).toEqual([undefined, undefined]);
  put("train-1.tar", "other6", sha256("other6"));
  expect(locals(await open("hf://datasets/o/n"))).toEqual([undefined, undefined]);
  const place = put("train-1.tar", "second");
  expect(locals(await open("hf://datasets/o/n"))).toEqual([undefined, place]);
  rmSync(join(dirname(place), "../../blobs", blob));
  expect(locals(await open("hf://datasets/o/n"))).toEqual([undefined, undefined]);
});

test("where there are no links, size and commit must do", async () => {
  const { put, open } = await cached();
  const place = put("train-1.tar", "second");
  rmSync(place);
  writeFileSync(place, "second");
  expect(locals(await open("hf://datasets/o/n"))).toEqual([undefined, place]);
});

test("offline the listing is that of the cache, without a request", async () => {
  const { hub, put, open, commit } = await cached();
  for (const [path, content] of Object.entries(files)) put(path, content);
  const online = await open("hf://datasets/o/n");
  const { length } = hub.requests;
  for (const address of ["hf://datasets/o/n", `hf://datasets/o/n@${commit}`])
    expect(await open(address, true)).toEqual({
      ...online,
      address,
      ...(address.includes("@") && { revision: commit }),
    });
  expect(locals(online)).not.toContain(undefined);
  expect((await open("hf://datasets/o/n/test-{0..0}.tar", true)).files).toHaveLength(1);
  expect((await open("hf://datasets/o/n/*-0.tar", true)).files).toHaveLength(2);
  expect(hub.requests).toHaveLength(length);
});

test("offline a README's configurations are not known, which is said", async () => {
  const { put, open } = await cached();
  put("train-0.tar", "first");
  put("README.md", "---\nlicense: mit\n---\nconfigs: none\n");
  expect((await open("hf://datasets/o/n", true)).notes).toEqual([]);
  put("README.md", "---\nlicense: mit\nconfigs:\n- config_name: a\n---\n");
  expect((await open("hf://datasets/o/n", true)).notes).toEqual([
    "the README declares configurations, which are not read offline: the files were chosen by their names",
  ]);
  expect((await open("hf://datasets/o/n/train-0.tar", true)).notes).toEqual([]);
});

test.each([
  ["hf://datasets/o/n@v2", "SOURCE_NOT_FOUND", "revision v2 is not in the cache"],
  ["hf://datasets/o/other", "SOURCE_NOT_FOUND", "revision main is not in the cache"],
  [`hf://datasets/o/n@${"0".repeat(40)}`, "SOURCE_NOT_FOUND", "is not in the cache"],
  ["hf://datasets/o/n/train-1.tar", "SOURCE_NOT_FOUND", "no such file: train-1.tar"],
])("offline %s is %s", async (address, code, reason) => {
  const { hub, put, open } = await cached();
  put("train-0.tar", "first");
  const error: unknown = await open(address, true).catch((e: unknown) => e);
  expect(error).toMatchObject({ code, message: expect.stringContaining(reason) as unknown });
  expect(hub.requests).toEqual([]);
});
