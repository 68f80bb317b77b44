/** What is done to disks and clocks. The source is a Hub's compressed tars: whatever is read of them lies in a cache. */
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { startHub } from "../fixtures/hub.ts";
import { during, listed, type Scenario } from "./during.ts";
import type { Loader, LoaderOptions } from "./loader.ts";
import { root, type Stage } from "./stage.ts";

interface Fetching {
  /** A loader with a cache of its own. */
  readonly loader: (options?: Partial<LoaderOptions>) => Promise<Loader>;
  /** Downloads so far. */
  readonly downloads: () => number;
  /** The folders of the caches. */
  readonly caches: readonly string[];
}

async function fetching(stage: Stage): Promise<Fetching> {
  const hub = await startHub();
  stage.after(() => hub.close());
  const shards = ["photos-000000.tar", "photos-000001.tar"];
  hub
    .create("me/photos")
    .commit(
      Object.fromEntries(
        shards.map((name) => [`${name}.gz`, gzipSync(readFileSync(join(root, "shards", name)))]),
      ),
    );
  const caches: string[] = [];
  return {
    caches,
    downloads: () => hub.requests.filter(({ kind }) => kind === "file").length,
    loader({ args = [], ...options } = {}) {
      const cache = join(stage.folder, `cache-${caches.length}`);
      caches.push(cache);
      return stage.loader({
        source: "hf://datasets/me/photos",
        args: ["--cache", cache, ...args],
        env: { HF_ENDPOINT: hub.url, HF_HOME: stage.folder, HF_HUB_DISABLE_XET: "1" },
        ...options,
      });
    },
  };
}

/** KiB; a shard has 2,100. */
const SMALL = 300;

const full: Scenario = {
  name: "disk full",
  async play(stage) {
    const { loader } = await fetching(stage);
    const loaders = await Promise.all([
      loader({ largestFile: SMALL }),
      loader({ largestFile: SMALL, args: ["--when-full", "memory"] }),
      loader(),
    ]);
    const trainer = stage.train(listed(loaders));
    await during(stage, trainer, stage.long ? 40 : 1, async () => {
      const one = stage.chance.one(loaders.slice(0, 2));
      await one.kill();
      await one.start();
      stage.count("start on a full disk");
    });
    const met = loaders.flatMap(({ said }) => said.filter((line) => /EFBIG/.test(line))).length;
    if (met === 0) stage.problem("no disk was full");
    stage.count("EFBIG told", met);
  },
};

const damaged: Scenario = {
  name: "cache damaged",
  async play(stage) {
    const { loader, caches, downloads } = await fetching(stage);
    const loaders = [await loader(), ...(stage.long ? [await loader()] : [])];
    const trainer = stage.train(listed(loaders));
    await trainer.reached(5);
    const before = downloads();
    await during(stage, trainer, stage.long ? 100 : 8, () => {
      damage(stage, stage.chance.one(caches));
      return Promise.resolve();
    });
    stage.count("fetched once more", downloads() - before);
    if (downloads() === before) stage.problem("no damage was noticed");
  },
};

/** In place, under the loader that reads it. */
function damage({ chance, count }: Stage, cache: string): void {
  const names = readdirSync(cache).filter((name) => name.endsWith(".rows"));
  if (names.length === 0) return;
  const path = join(cache, chance.one(names));
  const { size } = statSync(path);
  const draw = chance.below(10);
  if (draw === 0) {
    rmSync(path);
    count("file removed");
  } else if (draw === 1) {
    truncateSync(path, chance.below(size));
    count("file cut short");
  } else {
    const file = openSync(path, "r+");
    for (let at = chance.below(50_000); at < size; at += chance.between(1, 100_000))
      writeSync(file, Buffer.of(chance.below(256), chance.below(256)), 0, 2, at);
    closeSync(file);
    count("file overwritten");
  }
}

const preload = new URL("clock.ts", import.meta.url);

const clock: Scenario = {
  name: "clock set back",
  async play(stage) {
    const { loader } = await fetching(stage);
    const loaders = [await loader({ preload }), await loader({ preload })];
    const trainer = stage.train(listed(loaders), { preload });
    await during(stage, trainer, stage.long ? 20 : 1, async () => {
      const one = stage.chance.one(loaders);
      await one.kill();
      await one.start();
      stage.count("clocks that run backwards, killed");
    });
  },
};

export const ofDisks: readonly Scenario[] = [full, damaged, clock];
