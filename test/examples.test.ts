import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse as parseYaml } from "yaml";
import { optionNames, resolveStreamOptions, type StreamOptions } from "../src/options.ts";
import { temporaryFolder } from "./fixtures/files.ts";
import { startHub } from "./fixtures/hub.ts";
import { lines, main, root, serve, testPython, type Served } from "./fixtures/serve.ts";

const node = process.execPath;
const example = (name: string): string => join(root, "examples", name);

let loader: Served;
let digests: readonly string[];

beforeAll(async () => {
  loader = await serve(["shards", "--seed", "7"]);
  digests = await lines(node, [main, "digest", "shards", "--seed", "7", "--steps", "0..3"]);
});

afterAll(() => loader?.stop());

test("every example is named on their page and run here", () => {
  const files = readdirSync(join(root, "examples")).filter((name) => /\.(ts|py|yaml)$/.test(name));
  const page = readFileSync(example("README.md"), "utf8");
  const here = readFileSync(join(root, "test", "examples.test.ts"), "utf8");
  for (const file of files) {
    expect(page).toContain(`](${file})`);
    // npm start runs start.ts, which runs trainer.py.
    if (file !== "start.ts") expect(here).toContain(`"${file}"`);
  }
});

describe("sources", () => {
  test("hub.ts, from a Hub on loopback: the same puzzles as from the files", async () => {
    const hub = await startHub();
    try {
      const names = ["photos-000000.tar", "photos-000001.tar"];
      const files = names.map((name) => [name, readFileSync(join(root, "shards", name))] as const);
      hub.create("someone/photos").commit(Object.fromEntries(files));
      const env = { HF_ENDPOINT: hub.url, SSL_R1_CACHE: temporaryFolder() };
      const printed = await lines(
        node,
        [example("hub.ts"), "hf://datasets/someone/photos"],
        root,
        env,
      );
      expect(printed[0]).toMatch(/^2 shards; sha256:[\da-f]{64}$/);
      expect(printed.slice(1, 3)).toEqual([
        expect.stringMatching(/^step 0: 40 puzzles from \d\d photos$/),
        expect.stringMatching(/^step 1: 40 puzzles from \d\d photos$/),
      ]);
      expect(printed.at(-1)).toMatch(/^68 images counted in all; skipped: \{.*\}$/);
      const args = [
        main,
        "digest",
        "hf://datasets/someone/photos",
        "--seed",
        "7",
        "--steps",
        "0..3",
      ];
      expect(await lines(node, args, root, env)).toEqual(digests);
      expect(hub.violations).toEqual([]);
    } finally {
      await hub.close();
    }
  });

  test("parquet.py: a file of photos is a stream like the folder they came from", async () => {
    const folder = temporaryFolder();
    await lines(node, [
      main,
      "batch",
      "shards",
      "--step",
      "0",
      "--batch",
      "24",
      "--out",
      join(folder, "photos"),
    ]);
    const photos = readdirSync(join(folder, "photos"))
      .filter((name) => name.endsWith(".png"))
      .map((name) => join(folder, "photos", name));
    const out = join(folder, "photos.parquet");
    const [said] = await lines(testPython(), [example("parquet.py"), out, ...photos]);
    expect(said).toBe(`${photos.length} images in ${out}`);
    const [summary] = (
      await lines(node, [main, "inspect", out, "--json"], root, { SSL_R1_CACHE: temporaryFolder() })
    ).slice(-1);
    expect(JSON.parse(summary!)).toMatchObject({
      samples: photos.length,
      formats: { png: 64 }, // without --samples some of them are looked at
      problems: 0,
    });
  });

  test("mix.yaml: shares as weighted", async () => {
    const folder = join(temporaryFolder(), "batch");
    await lines(node, [
      main,
      "batch",
      "--config",
      example("mix.yaml"),
      "--step",
      "1",
      "--out",
      folder,
    ]);
    const { puzzles } = JSON.parse(readFileSync(join(folder, "batch.json"), "utf8")) as {
      puzzles: { recipe: { shard: string } }[];
    };
    const from = Map.groupBy(puzzles, ({ recipe }) => recipe.shard);
    const shares = Object.fromEntries([...from].map(([shard, { length }]) => [shard, length]));
    expect(shares).toEqual({ "1:photos-000000.tar": 30, "2:photos-000001.tar": 10 });
  });
});

describe("in Node", () => {
  test("iterate.ts", async () => {
    const [info, ...rest] = await lines(node, [example("iterate.ts")]);
    expect(info).toMatch(/^68 images; rotation-8x45 1, ordering-2x2 3; sha256:[\da-f]{64}$/);
    expect(rest.filter((line) => /^step [012]: 20 puzzles/.test(line))).toHaveLength(3);
    expect(rest.filter((line) => /^slot [70], .* reward when right 2$/.test(line))).toHaveLength(2);
  });

  test("client.ts gets what the digest command says", async () => {
    const [info, ...steps] = await lines(node, [example("client.ts"), loader.address, "3"]);
    expect(info).toBe("batches of 40 from 68 images");
    expect(steps).toEqual(
      digests
        .slice(0, 3)
        .map((line) =>
          expect.stringMatching(
            new RegExp(`^step ${line.replace(" ", ": mean reward [\\d.]+ ")}$`),
          ),
        ),
    );
  });
});

describe("in Python", () => {
  const python = (name: string, ...args: string[]): Promise<readonly string[]> =>
    lines(testPython(), [example(name), loader.address, ...args]);

  test("rewards.py", async () => {
    const steps = await python("rewards.py", "2");
    expect(steps).toHaveLength(2);
    for (const line of steps) {
      const [, mean] = /^step \d: 40 puzzles, 160 completions, mean reward ([\d.]+)$/.exec(line)!;
      // Three of four have the format, and few of those are right.
      expect(Number(mean)).toBeGreaterThan(0.75);
      expect(Number(mean)).toBeLessThan(1);
    }
  });

  test("dataloader.py gives the same with and without worker processes", async () => {
    const within = await python("dataloader.py", "2", "0");
    expect(within).toEqual([
      expect.stringMatching(/^step 0: puzzles 0 to 39, 184 images/),
      expect.stringMatching(/^step 1: puzzles 40 to 79, 184 images/),
    ]);
    expect(await python("dataloader.py", "2", "2")).toEqual(within);
  });

  test("resume.py goes on where it stopped", async () => {
    const checkpoint = join(temporaryFolder(), "checkpoint.json");
    const first = await python("resume.py", checkpoint, "1");
    const second = await python("resume.py", checkpoint, "3");
    expect([...first, ...second]).toEqual(digests);
  });

  test("resume.py refuses a loader of another stream", async () => {
    const file = join(temporaryFolder({ c: '{"step": 2, "fingerprint": "sha256:00"}' }), "c");
    await expect(python("resume.py", file)).rejects.toThrow("OtherStream");
  });

  test("ray_trainer.py: loaders that Ray starts", async () => {
    const env = { SSL_R1_COMMAND: `${node} ${main}` };
    const printed = await lines(testPython(), [example("ray_trainer.py"), "3"], root, env);
    expect(printed).toEqual(digests.slice(0, 3));
  });

  test("trainer.py", async () => {
    const printed = await python("trainer.py", "2");
    expect(printed).toContain("balanced: every batch");
  });
});

describe("stream.yaml", () => {
  const text = readFileSync(example("stream.yaml"), "utf8");
  const given = parseYaml(text) as StreamOptions;

  test("names every option, with its default where it says so", () => {
    const named = [...text.matchAll(/^#?(\w+):/gm)].map(([, name]) => name!);
    expect(new Set(named)).toEqual(new Set(optionNames));
    const own = new Set(["source", "seed", "entries", "templates"]);
    const defaults = resolveStreamOptions({ source: "shards" });
    for (const [name, value] of Object.entries(given))
      if (!own.has(name)) expect(value, name).toEqual(defaults[name as keyof typeof defaults]);
  });

  test("is a stream: shares as weighted, prompts as written", async () => {
    const folder = join(temporaryFolder(), "batch");
    const config = example("stream.yaml");
    await lines(node, [main, "batch", "--config", config, "--step", "1", "--out", folder]);
    const { puzzles } = JSON.parse(readFileSync(join(folder, "batch.json"), "utf8")) as {
      puzzles: { entry: string; prompt: { text?: string }[] }[];
    };
    const counts = Map.groupBy(puzzles, ({ entry }) => entry);
    const shares: Record<string, number> = {
      rotation: 1,
      "similarity-weak": 2,
      "inpainting-blind": 1,
      "ordering-2x2": 1,
      correspondence: 1,
    };
    for (const [name, share] of Object.entries(shares))
      expect(Math.abs(counts.get(name)!.length - (40 / 6) * share), name).toBeLessThan(1);
    const said = (entry: string): string =>
      counts
        .get(entry)![0]!
        .prompt.map((part) => part.text ?? "")
        .join("");
    expect(said("rotation")).toContain("clockwise turn on the screen");
    expect(said("inpainting-blind")).toContain("a border of 14 pixels");
    expect(said("correspondence")).toContain("5 numbers");
    for (const entry of counts.keys()) expect(said(entry)).toMatch(/into one \\boxed\{\}\.$/);
  });
});
