import { readFileSync } from "node:fs";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, expect, test } from "vitest";
import { main, serve, type Served } from "../fixtures/serve.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { samples } from "../loader/streams.ts";
import { run, type Ended } from "./run.ts";

const small = ["--seed", "7", "--batch", "16", "--partitions", "2", "--entries", "rotation"];
const size = ["--max-pixels", "40000"];
const stream = [samples, ...small, ...size, "--workers", "1"];

let loaders: Served[];
beforeAll(async () => {
  loaders = await Promise.all([0, 1].map((at) => serve([...stream, "--node", `${at}/2`])));
});
afterAll(async () => {
  await Promise.all(loaders.map((loader) => loader.stop()));
});

const list = (): string => loaders.map(({ address }) => address).join(",");

test("digest --connect prints the lines of a plain digest, and of the loaders on standard error", () => {
  const steps = ["--steps", "3,0..2", "--json"];
  const asked = run(["digest", "--connect", list(), ...steps]);
  const plain = run(["digest", ...stream, ...steps]);
  expect(plain.status).toBe(0);
  expect(asked).toEqual({
    status: 0,
    out: plain.out,
    err: expect.stringMatching(
      /^loader tcp:\/\/\S+ joined\nloader tcp:\/\/\S+ joined\nfingerprint sha256:\w+\n$/,
    ),
  });
});

test("one that is not there is told, and its slots come from the other", () => {
  const { address } = loaders[0]!;
  const asked = run(["digest", "--connect", `${address},tcp://127.0.0.1:1`, "--steps", "0..1"]);
  const plain = run(["digest", ...stream, "--steps", "0..1"]);
  expect(asked.out).toBe(plain.out);
  expect(asked.err).toMatch(/loader tcp:\/\/127\.0\.0\.1:1 left: CONNECTION_LOST: .*ECONNREFUSED/);
});

test("batch and preview --connect write what they write of the source", () => {
  const write = (args: readonly string[]): readonly string[] => {
    const folder = temporaryFolder();
    const page = join(folder, "page.html");
    const out = join(folder, "batch");
    expect(run(["batch", ...args, "--step", "1", "--out", out]).status).toBe(0);
    expect(run(["preview", ...args, "--step", "1", "--out", page]).status).toBe(0);
    return [readFileSync(join(out, "batch.json"), "utf8"), readFileSync(page, "utf8")];
  };
  expect(write(["--connect", list()])).toEqual(write(stream));
});

test("what the loaders decide can't be given; errors as everywhere", () => {
  const digest = (...args: string[]): Ended => run(["digest", "--connect", list(), ...args]);
  const { status, err } = digest("shards", "--seed", "7", "--no-cache", "--config", "x.yaml");
  expect(err).toBe(
    "error BAD_OPTION: --connect: the loaders decide the stream; leave out config, cache, seed, source\n",
  );
  expect(status).toBe(2);
  const nobody = run(["digest", "--connect", "tcp://127.0.0.1:1"]);
  expect(nobody.err).toContain("error CONNECTION_LOST");
  expect(nobody.status).not.toBe(0);
});

test("a token is given as to serve", async () => {
  const secret = await serve([...stream, "--token", "secret"]);
  const digest = async (...args: string[]): Promise<string> => {
    const child = spawn(process.execPath, [main, "digest", "--connect", secret.address, ...args]);
    let text = "";
    for (const out of [child.stdout, child.stderr])
      out.on("data", (chunk: Buffer) => (text += chunk.toString()));
    await once(child, "close");
    return text;
  };
  expect(await digest("--steps", "0")).toContain("UNAUTHORIZED");
  expect(await digest("--steps", "0", "--token", "secret")).toMatch(/^0 sha256:/m);
  await secret.stop();
});
