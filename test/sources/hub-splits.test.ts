import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { expect, test } from "vitest";
import { splitRule } from "../../src/sources/hub-splits.ts";
import { lines, testPython } from "../fixtures/serve.ts";

const script = fileURLToPath(new URL("hub_rules.py", import.meta.url));

const cases: string[][] = [
  [
    "data/train-00000-of-00002.parquet",
    "data/train-00001-of-00002.parquet",
    "data/test-00000-of-00001.parquet",
  ],
  [
    "data/train_sft-00000-of-00001.parquet",
    "data/test_sft-00000-of-00001-0123abcd.parquet",
    "data/other.parquet",
  ],
  ["train.parquet", "test.parquet", "extra.parquet"],
  ["my-train-0.tar", "my-dev-0.tar", "my_eval_1.tar", "trainer.tar"],
  ["train/a/1.jpg", "validation/a/2.jpg", "test/b/train_3.jpg", "other/4.jpg"],
  ["a/training/1.jpg", "a/testing data/2.jpg", "a/valid.3/3.jpg"],
  ["a-train/1.jpg", "val2/1.jpg"],
  ["train-0001.tar", "Test-0001.tar"],
  ["a/1.tar", "b/2.tar"],
  ["latest.tar", "contest-1.tar", "evaluation.tar"],
];

test("splits are those that datasets sees", async () => {
  const part = fc.constantFrom(
    "train",
    "test",
    "dev",
    "a",
    "x-train",
    "val_1",
    "training.x",
    "retrain",
    "data",
  );
  const path = fc
    .tuple(fc.array(part, { maxLength: 2 }), part, fc.nat(3))
    .map(([folders, name, i]) => [...folders, `${name}-${i}.tar`].join("/"));
  const random = fc.sample(fc.uniqueArray(path, { minLength: 1, maxLength: 6 }), {
    numRuns: 30,
    seed: 7,
  });
  const all = [...cases, ...random];
  const said = await lines(testPython(), [script, "splits", JSON.stringify(all)]);
  for (const [i, line] of said.entries()) {
    const paths = all[i] as string[];
    const theirs = JSON.parse(line) as Record<string, string[]>;
    const rule = splitRule(paths);
    const ours = paths.map((path) => rule(path));
    // where no name says a split, datasets calls everything train
    if (ours.every((split) => split === undefined)) {
      expect(theirs).toEqual({ train: paths.toSorted() });
      continue;
    }
    for (const [at, path] of paths.entries()) {
      const splits = Object.keys(theirs).filter((split) => theirs[split]?.includes(path));
      // a file whose path names two splits is in both of theirs, in one of ours
      expect([paths, path, splits.length === 0 ? [undefined] : splits]).toEqual([
        paths,
        path,
        expect.arrayContaining([ours[at]]) as unknown,
      ]);
    }
  }
});
