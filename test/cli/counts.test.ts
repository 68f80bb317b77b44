import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { expect, onTestFinished, test } from "vitest";
import { batchDigest } from "../../src/digest.ts";
import { createStream, type Stream } from "../../src/loader.ts";
import type { CountsFile } from "../../src/model.ts";
import { createServer } from "../../src/transport/server.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { samples } from "../loader/streams.ts";
import type { Ended } from "./run.ts";

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const small = { seed: 7, batch: 10, window: 8, workers: 1, cache: "none" };
const flags = ["--seed", "7", "--batch", "10", "--window", "8", "--workers", "1", "--no-cache"];
const FAR = 1_000_000;
const token = "a secret of more than sixteen letters";

/** Shards that have to be read to be counted. */
function packed(): string {
  const pack = (name: string): Uint8Array => gzipSync(readFileSync(join(samples, name)));
  return temporaryFolder({
    "a.tar.gz": pack("photos-000000.tar"),
    "b.tar.gz": pack("photos-000001.tar"),
  });
}

/** As run(), but this process goes on meanwhile: it is the one that answers. */
async function running(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  const child = spawn(process.execPath, [main, ...args], { env: { ...process.env, ...env } });
  onTestFinished(() => void child.kill("SIGKILL"));
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
  const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { status, out, err };
}

async function opened(source: string, counts?: CountsFile): Promise<Stream> {
  const stream = await createStream({ ...small, source, ...(counts && { counts }) });
  onTestFinished(() => stream.close());
  return stream;
}

/** A loader that has counted everything, and where it listens. */
async function counting(source: string): Promise<{ stream: Stream; address: string }> {
  const out = join(temporaryFolder(), "counts.json");
  const { status } = await running(["index", source, "--no-cache", "--out", out]);
  expect(status).toBe(0);
  const stream = await opened(source, JSON.parse(readFileSync(out, "utf8")) as CountsFile);
  const address = `unix://${join(temporaryFolder(), "socket")}`;
  const server = await createServer(stream, { listen: address, token });
  onTestFinished(() => server.close());
  return { stream, address };
}

test("a loader that knows nothing jumps to a far step with the counts of another, which are asked for with its token", async () => {
  const source = packed();
  const { stream, address } = await counting(source);
  expect(stream.counts().shards.map(({ name }) => name)).toEqual(["a.tar.gz", "b.tar.gz"]);
  const far = ["digest", source, ...flags, "--steps", String(FAR)];

  // it could count for itself what is on this machine; behind a server that is NEEDS_INDEX (test/night)
  const alone = await running(far);
  expect(alone.out).toBe(`${FAR} ${batchDigest(await stream.get(FAR))}\n`);

  const refused = await running([...far, "--counts", address], { SSL_R1_TOKEN: "" });
  expect(refused).toMatchObject({ status: 1, out: "" });
  expect(refused.err).toContain("UNAUTHORIZED");

  const helped = await running([...far, "--counts", address], { SSL_R1_TOKEN: token });
  expect(helped.err).not.toContain(token);
  expect(helped).toMatchObject({
    status: 0,
    out: `${FAR} ${batchDigest(await stream.get(FAR))}\n`,
  });
});

test("ssl-r1 index starts from what another loader knows", async () => {
  const source = packed();
  const { stream, address } = await counting(source);
  // what is known need not be read: these bytes are no shard any more, and nobody notices
  const before = stream.counts();
  for (const { name, size } of before.shards)
    writeFileSync(join(source, name), new Uint8Array(size));
  const known = await running(["index", source, "--no-cache", "--counts", address, "--json"], {
    SSL_R1_TOKEN: token,
  });
  expect(known.status).toBe(0);
  const lines = known.out.trim().split("\n");
  expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
    { shard: "a.tar.gz", rows: before.shards[0]!.rows },
    { shard: "b.tar.gz", rows: before.shards[1]!.rows },
    { summary: true, counted: 2 },
  ]);
});

test.each([100, -10])(
  "a count that is %i off is SHARD_CORRUPT when the shard is read",
  async (off) => {
    const source = packed();
    const { stream } = await counting(source);
    const { shards, ...rest } = stream.counts();
    const wrong = {
      ...rest,
      shards: shards.map((shard) => ({ ...shard, rows: shard.rows + off })),
    };
    const misled = await opened(source, wrong);
    const steps = (async () => {
      for (let step = FAR; ; step++) await misled.get(step);
    })();
    await expect(steps).rejects.toMatchObject({ code: "SHARD_CORRUPT" });
  },
);

test("nobody there: CONNECTION_LOST; an address in the library: what to do instead", async () => {
  const address = `unix://${join(temporaryFolder(), "socket")}`;
  const nobody = await running(["digest", samples, ...flags, "--counts", address]);
  expect(nobody).toMatchObject({ status: 1, out: "" });
  expect(nobody.err).toContain("CONNECTION_LOST");
  const stream = createStream({ ...small, source: samples, counts: address });
  await expect(stream).rejects.toMatchObject({
    code: "BAD_OPTION",
    message: expect.stringContaining("counts()") as string,
  });
  const nothing = createStream({ ...small, source: samples, counts: {} as CountsFile });
  await expect(nothing).rejects.toMatchObject({ code: "BAD_OPTION" });
});
