import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { createNet } from "../../src/net/create.ts";
import { openHub } from "../../src/sources/hub.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import type { Fault } from "../fixtures/hub-answer.ts";
import { startHub, tooMany, type Hub, type HubRequest } from "../fixtures/hub.ts";
import type { HubContent } from "../fixtures/hub-repo.ts";
import { lines, root, testPython } from "../fixtures/serve.ts";

const script = fileURLToPath(new URL("hub_clients.py", import.meta.url));

test("huggingface_hub and datasets find the Hub of our tests to be a Hub", async () => {
  const folder = temporaryFolder();
  await lines(testPython(), [script, "make", folder]);
  const hub = await startHub({
    tokens: { hf_owner: ["photos/private", "photos/gated"], hf_stranger: [] },
  });
  try {
    fill(hub, folder);
    const said = await lines("env", [
      "-i",
      `HOME=${folder}`,
      `HF_HOME=${join(folder, "hf")}`,
      `HF_ENDPOINT=${hub.url}`,
      "HF_HUB_DISABLE_XET=1",
      "HF_HUB_DISABLE_TELEMETRY=1",
      "HF_HUB_DISABLE_PROGRESS_BARS=1",
      "OWNER_TOKEN=hf_owner",
      "STRANGER_TOKEN=hf_stranger",
      testPython(),
      script,
      "check",
      folder,
    ]);
    expect(said).toMatchInlineSnapshot(`
      [
        "dataset_info: branch, tag and commit",
        "list_repo_refs",
        "list_repo_tree: LFS and git hashes",
        "list_repo_tree: pages, folders with odd names",
        "get_paths_info",
        "hf_hub_download: from LFS and from git",
        "snapshot_download",
        "HfFileSystem: ls, glob, ranges",
        "errors: repo, revision, entry, token",
        "gated",
        "renamed",
        "a busy Hub, a download that is cut",
        "load_dataset: Parquet, streaming",
        "load_dataset: WebDataset, streaming",
        "load_dataset: image folder, streaming",
        "load_dataset: Parquet, downloaded",
        "load_dataset: WebDataset, downloaded",
        "load_dataset: image folder, downloaded",
      ]
    `);
    expect(hub.violations).toEqual([]);
    expect(hub.requests.some(({ host }) => host === "files")).toBe(true);
    expect(hub.requests.map(({ status }) => status)).toEqual(expect.arrayContaining([429, 206]));
    await readCacheOf(hub, join(folder, "hf"));
  } finally {
    await hub.close();
  }
});

/** What the real client has downloaded is used in place, and is the data set when there is no network. */
async function readCacheOf(hub: Hub, home: string): Promise<void> {
  const net = createNet();
  const { signal } = new AbortController();
  const env = { HF_HOME: home, HF_ENDPOINT: hub.url };
  try {
    for (const name of ["folder", "tars"]) {
      const address = `hf://datasets/photos/${name}`;
      const online = await openHub(address, { net, env, signal });
      for (const { local, size, hash } of online.files) {
        const bytes = readFileSync(local ?? "the cache has it not");
        expect(bytes.length).toBe(size);
        expect(`sha256:${createHash("sha256").update(bytes).digest("hex")}`).toBe(hash);
      }
      const asked = hub.requests.length;
      const offline = await openHub(address, { net, env: { ...env, HF_HUB_OFFLINE: "1" }, signal });
      expect(offline).toEqual(online);
      expect(hub.requests).toHaveLength(asked);
    }
  } finally {
    await net.close();
  }
}

/** One of each fault, where a real client must get over it. */
function faults({ kind, url, nth, method }: HubRequest): Fault | undefined {
  if (!url.includes("busy")) return undefined;
  if (kind === "tree" && nth === 0) return tooMany(1);
  if (kind === "file" && method === "GET" && nth === 0) return { cut: 100_000 };
  return undefined;
}

function fill(hub: Hub, folder: string): void {
  hub.fault = faults;
  const shard = (i: number): HubContent => ({ path: join(root, `shards/photos-00000${i}.tar`) });
  const tars = hub.create("photos/tars");
  tars.tag("v1", tars.commit({ "photos-000000.tar": shard(0) }));
  tars.commit({
    "README.md": "# photos\n",
    "photos-000000.tar": shard(0),
    "photos-000001.tar": shard(1),
  });
  tars.commit({ "default/train/0000.parquet": "PAR1" }, { branch: "refs/convert/parquet" });
  hub.rename("old/name", "photos/tars");
  hub.create("photos/busy").commit({ "a.tar": shard(0) });
  hub.create("photos/parquet").commit(filesBelow(join(folder, "parquet")));
  hub.create("photos/folder").commit(filesBelow(join(folder, "images")));
  hub.create("photos/private", { private: true }).commit({ "a.tar": new Uint8Array(2000) });
  hub.create("photos/gated", { gated: "manual" }).commit({ "a.tar": "a".repeat(2000) });
  const many = Array.from({ length: 2000 }, (_, i) => [`a/${i}.txt`, `${i}`]);
  const odd = Array.from({ length: 500 }, (_, i) => [`b/ü #?%/${i}.txt`, `${i}`]);
  hub.create("photos/many").commit(Object.fromEntries([...many, ...odd]));
}

function filesBelow(folder: string): Record<string, HubContent> {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const files = names.filter((name) => statSync(join(folder, name)).isFile()).sort();
  return Object.fromEntries(files.map((name) => [name, { path: join(folder, name) }]));
}
