import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { temporaryFolder } from "../fixtures/files.ts";
import { startHub, type Hub } from "../fixtures/hub.ts";
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
  } finally {
    await hub.close();
  }
});

function fill(hub: Hub, folder: string): void {
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
