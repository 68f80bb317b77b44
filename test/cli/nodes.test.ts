import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, onTestFinished, test, vi } from "vitest";
import { tellOf } from "../../src/cli/told-loaders.ts";
import { batchDigest } from "../../src/digest.ts";
import { partitionsOf } from "../../src/plan/nodes.ts";
import { connect } from "../../src/transport/client.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { root } from "../fixtures/serve.ts";
import { samples } from "../loader/streams.ts";
import { ended, firstLine, run, start } from "./run.ts";

const stream = [
  "--seed",
  "7",
  "--batch",
  "32",
  "--partitions",
  "4",
  "--max-pixels",
  "40000",
  "--entries",
  "rotation",
];
const small = [samples, ...stream, "--workers", "1"];

interface Listening {
  readonly listening: string;
  readonly node?: string;
  readonly near?: readonly number[];
}

interface Loader extends Listening {
  kill(): Promise<unknown>;
  /** What it wrote to standard error. */
  told(): string;
}

/** A loader in a process of its own, and what it says when it is ready. */
async function serve(
  args: readonly string[],
  env: { readonly [name: string]: string } = {},
): Promise<Loader> {
  const child = start(["serve", ...args, "--listen", "tcp://127.0.0.1:0", "--json"], env);
  let told = "";
  child.stderr.on("data", (chunk: Buffer) => (told += chunk.toString()));
  const line = JSON.parse(await firstLine(child)) as Listening;
  return {
    ...line,
    told: () => told,
    kill() {
      const over = ended(child);
      child.kill("SIGKILL");
      return over;
    },
  };
}

const nodes = (count: number): Promise<Loader[]> =>
  Promise.all(
    Array.from({ length: count }, (_, at) => serve([...small, "--node", `${at}/${count}`])),
  );

function digest(args: readonly string[], steps = 6): string {
  const { status, out, err } = run(["digest", ...args, "--steps", `0..${steps - 1}`, "--json"]);
  expect(status, err).toBe(0);
  return out;
}

/** What a loader of its own prints; asked for once. */
let own: string | undefined;
const plainLines = (): string => (own ??= digest(small));

const connectTo = (loaders: readonly Loader[]): readonly string[] => [
  "--connect",
  loaders.map(({ listening }) => listening).join(","),
];

test("1 to 4 nodes give the lines of a plain digest, each asked for what it prefers", async () => {
  const plain = plainLines();
  expect(plain.trim().split("\n")).toHaveLength(6);
  for (const count of [1, 2, 3, 4]) {
    const loaders = await nodes(count);
    for (const [at, { node, near }] of loaders.entries())
      expect({ node, near }).toEqual({ node: `${at}/${count}`, near: partitionsOf(at, count, 4) });
    expect(digest(connectTo(loaders))).toBe(plain);
    const client = await connect(loaders.map(({ listening }) => listening));
    for (const { address, partitions } of client.loaders)
      expect(partitions).toEqual(loaders.find(({ listening }) => listening === address)!.near);
    await client.close();
    await Promise.all(loaders.map((loader) => loader.kill()));
  }
}, 120_000);

test("one of three is killed on the way: the same lines", async () => {
  const loaders = await nodes(3);
  const client = await connect(loaders.map(({ listening }) => listening));
  onTestFinished(() => client.close());
  let lines = "";
  for await (const batch of client.stream({ steps: 6 })) {
    lines += `${JSON.stringify({ step: batch.step, digest: batchDigest(batch) })}\n`;
    if (batch.step === 1) await loaders[1]!.kill();
  }
  expect(lines).toBe(plainLines());
}, 60_000);

test("the commands of docs/cluster.md do what it says", async () => {
  const text = readFileSync(join(root, "docs/cluster.md"), "utf8");
  const commands = [
    ...text.matchAll(/^npx ssl-r1 (serve shards --seed 7 --node \S+) --listen \S+$/gm),
  ].map(([, command]) => command!.split(" ").slice(1));
  expect(commands).toHaveLength(3);
  const loaders = await Promise.all(commands.map((args) => serve(args)));
  const [, said] = /^```\n(node 1\/3 .*)\n```$/m.exec(text)!;
  expect(loaders[1]!.told()).toContain(said);
  expect(text).toContain(
    JSON.stringify({ node: loaders[1]!.node, near: loaders[1]!.near }).slice(1, -1),
  );
  const [, ...proofs] = text.split("another terminal:");
  const [asked, plain] = [
    ...proofs.join().matchAll(/^npx ssl-r1 digest (.*) --steps 0\.\.5 --json$/gm),
  ];
  expect(asked![1]).toBe(
    "--connect tcp://127.0.0.1:7531,tcp://127.0.0.1:7532,tcp://127.0.0.1:7533",
  );
  expect(digest(connectTo(loaders), 2)).toBe(digest(plain![1]!.split(" "), 2));
}, 60_000);

test("the node is found where it is not given, and told with what said so", async () => {
  const torch = { RANK: "1", WORLD_SIZE: "2" };
  const found = await serve(small, { ...torch, SLURM_PROCID: "5", SLURM_NTASKS: "6" });
  expect(found).toMatchObject({ node: "1/2", near: [2, 3] });
  expect(found.told()).toContain(
    "node 1/2 (by RANK and WORLD_SIZE): prefers partitions 2 to 3 of 4",
  );
  const spare = await serve(small, { SLURM_PROCID: "5", SLURM_NTASKS: "6" });
  expect(spare).toMatchObject({ node: "5/6", near: [] });
  expect(spare.told()).toContain(
    "node 5/6 (by SLURM_PROCID and SLURM_NTASKS): a spare: prefers none of 4 partitions",
  );
  const given = await serve([...small, "--node", "3/4"], torch);
  expect(given).toMatchObject({ node: "3/4", near: [3] });
  const config = join(temporaryFolder({ "stream.yaml": "node: 0/4" }), "stream.yaml");
  expect(await serve([...small, "--config", config], torch)).toMatchObject({ node: "0/4" });
  const alone = await serve(small);
  expect([alone.node, alone.near]).toEqual([undefined, undefined]);
  expect(alone.told()).not.toContain("node");
}, 60_000);

test("a found value that makes no sense ends the command before it listens, and names the variable", async () => {
  const child = start(["serve", ...small], { RANK: "4", WORLD_SIZE: "4" });
  let told = "";
  child.stderr.on("data", (chunk: Buffer) => (told += chunk.toString()));
  expect(await ended(child)).toBe(2);
  expect(told).toMatch(/^error BAD_OPTION: node: found RANK=4 and WORLD_SIZE=4; .* --node 0\/1 /);
  // what is made here is not served to others
  const { status, out } = run(["serve", ...small, "--node", "4/4"]);
  expect({ status, out }).toEqual({ status: 2, out: "" });
});

test("one address is enough where the loader is told of all, also by a file that changes", async () => {
  const file = join(
    temporaryFolder({ "loaders.txt": "tcp://127.0.0.1:1 # nobody yet\n" }),
    "loaders.txt",
  );
  const told = ["--loaders", pathToFileURL(file).href];
  const [first, second] = await Promise.all([
    serve([...small, ...told, "--node", "0/2"]),
    serve([...small, "--node", "1/2"]),
  ]);
  writeFileSync(file, `${first.listening}\n${second.listening}\n`);
  await vi.waitFor(
    async () => {
      const client = await connect(first.listening);
      try {
        expect(client.loaders.map(({ address }) => address)).toContain(second.listening);
      } finally {
        await client.close();
      }
    },
    { timeout: 10_000, interval: 200 },
  );
  expect(digest(connectTo([first]))).toBe(plainLines());
}, 60_000);

test("a list that is not there yet is told once, and read when it is; what is none is refused", async () => {
  const warnings: string[] = [];
  const warn = (message: string): void => void warnings.push(message);
  const folder = temporaryFolder({ "wrong.txt": "here and there\n" });
  const list = pathToFileURL(join(folder, "later.txt")).href;
  const told = await tellOf(list, warn, 5);
  onTestFinished(() => told.close());
  expect(told.list()).toBeUndefined();
  expect(warnings).toEqual([expect.stringContaining("later.txt")]);
  writeFileSync(join(folder, "later.txt"), "tcp://127.0.0.1:7531\n");
  await vi.waitFor(() => expect(told.list()).toEqual(["tcp://127.0.0.1:7531"]));
  expect(warnings).toHaveLength(1);
  const wrong = pathToFileURL(join(folder, "wrong.txt")).href;
  for (const given of ["", "somewhere", "tcp://a:7531,http://b", wrong])
    await expect(tellOf(given, warn)).rejects.toMatchObject({ code: "BAD_OPTION" });
  // closed while it waits: nothing more happens, and nothing keeps the process
  const never = await tellOf(pathToFileURL(join(folder, "never.txt")).href, warn, 5);
  never.close();
  expect(never.list()).toBeUndefined();
});
