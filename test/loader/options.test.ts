import { expect, test } from "vitest";
import { createStream } from "../../src/loader.ts";
import { optionNames, resolveStreamOptions, type StreamOptions } from "../../src/options.ts";
import { open, samples, take } from "./streams.ts";
import { wrongOptions } from "./wrong-options.ts";

for (const [given, words] of wrongOptions)
  test(`refused: ${JSON.stringify(given)}`, async () => {
    const error: unknown = await createStream({ source: samples, ...given }).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ name: "StreamError", code: "BAD_OPTION" });
    for (const word of words) expect((error as Error).message).toContain(word);
  });

test("every option is wrong somewhere in the table", () => {
  const tried = new Set(wrongOptions.flatMap(([given]) => Object.keys(given)));
  expect(optionNames.filter((name) => name !== "source" && !tried.has(name))).toEqual([]);
});

for (const given of [undefined, null, "shards", []])
  test(`no options at all: ${JSON.stringify(given) ?? "undefined"}`, async () => {
    await expect(createStream(given as unknown as StreamOptions)).rejects.toMatchObject({
      code: "BAD_OPTION",
    });
  });

test("a source that is not there, or nothing that holds images", async () => {
  for (const [source, code] of [
    ["/nowhere/at/all", "SOURCE_NOT_FOUND"],
    ["shards/none-{000..009}.tar", "SOURCE_NOT_FOUND"],
    ["", "BAD_OPTION"],
    [new URL("../../package.json", import.meta.url).pathname, "BAD_OPTION"],
  ] as const)
    await expect(createStream({ source })).rejects.toMatchObject({ code });
});

test("what is left out has its default, and nothing else is there", () => {
  const left = [
    "partitions",
    "deal",
    "passes",
    "weights",
    "imageField",
    "counts",
    "maxSkips",
    "node",
  ];
  const resolved = resolveStreamOptions({ source: "x" });
  expect(Object.keys(resolved).sort()).toEqual(
    optionNames.filter((name) => !left.includes(name)).sort(),
  );
  expect(resolveStreamOptions({ source: "x", passes: undefined, seed: 3 })).toMatchObject({
    seed: 3,
  });
});

test("what is asked of a stream is checked, too", async () => {
  const stream = await open({ batch: 8 });
  for (const step of [-1, 0.5, Number.NaN, "1", undefined, 2 ** 60])
    await expect(stream.get(step as number)).rejects.toMatchObject({ code: "STEP_OUT_OF_RANGE" });
  for (const slots of [[], [8], [-1], [1, 1], [0.5], [Number.NaN], ["1"]])
    await expect(stream.get(0, slots as number[])).rejects.toMatchObject({ code: "BAD_SLOTS" });
  for (const from of [-1, 0.5, Number.NaN])
    await expect(take(stream.batches({ from }), 1)).rejects.toMatchObject({
      code: "STEP_OUT_OF_RANGE",
    });
  await expect(stream.get(0, undefined, { format: "gif" as "png" })).rejects.toMatchObject({
    code: "BAD_OPTION",
    message: 'format: got "gif"; there are raw, jpeg, png',
  });
});
