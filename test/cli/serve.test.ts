import { createServer } from "node:net";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { connect } from "../../src/transport/client.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { open, plain, samples, take } from "../loader/streams.ts";
import { ended, firstLine, run, start } from "./run.ts";

const small = [samples, "--seed", "7", "--batch", "10", "--workers", "1"];

test("prints one line when it listens, serves the stream, and ends on SIGTERM", async () => {
  const address = `unix://${join(temporaryFolder(), "socket")}`;
  const child = start(["serve", ...small, "--listen", address, "--json"]);
  const over = ended(child);
  const line = JSON.parse(await firstLine(child)) as object;
  const stream = await open({ seed: 7, batch: 10 });
  const { fingerprint, partitions } = stream.info();
  expect(line).toEqual({
    listening: address,
    fingerprint,
    batch: 10,
    partitions,
    entries: ["rotation", "similarity", "inpainting", "ordering", "correspondence"],
    shards: 2,
    samples: 68,
    pid: child.pid,
  });
  const client = await connect(address);
  const [served] = await take(client.stream({ from: 3 }), 1);
  expect(plain(served!)).toEqual(plain(await stream.get(3)));
  await client.close();
  child.kill("SIGTERM");
  expect(await over).toBe(0);
  expect(existsSync(address.slice(7))).toBe(false);
});

for (const signal of ["SIGTERM", "SIGINT"] as const)
  test(`ends on ${signal} while a client streams`, async () => {
    const address = `unix://${join(temporaryFolder(), "socket")}`;
    const child = start(["serve", ...small, "--listen", address, "--json"]);
    const over = ended(child);
    await firstLine(child);
    const client = await connect(address, { reconnect: 0 });
    const streaming = (async () => {
      for await (const { step } of client.stream()) if (step === 1) child.kill(signal);
    })();
    await expect(streaming).rejects.toMatchObject({ name: "StreamError" });
    expect(await over).toBe(0);
    await client.close();
  });

test("ends while it still waits for a client that does not read", async () => {
  const address = `unix://${join(temporaryFolder(), "socket")}`;
  const child = start(["serve", ...small, "--listen", address, "--json"]);
  const over = ended(child);
  await firstLine(child);
  const client = await connect(address, { reconnect: 0 });
  const stalled = client.stream()[Symbol.asyncIterator]();
  await stalled.next();
  child.kill("SIGTERM");
  expect(await over).toBe(0);
  await client.close();
});

test("an address in use: LISTEN_FAILED, status 1, and the process ends", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const { port } = other.address() as { port: number };
  try {
    const { status, out, err } = run(["serve", ...small, "--listen", `tcp://127.0.0.1:${port}`]);
    expect({ status, out }).toEqual({ status: 1, out: "" });
    expect(err).toMatch(/LISTEN_FAILED.*127\.0\.0\.1/);
  } finally {
    other.close();
  }
});

test("beyond loopback it wants protection; addresses are checked", () => {
  const open = run(["serve", ...small, "--listen", "tcp://0.0.0.0:0"]);
  expect(open).toMatchObject({ status: 1, out: "" });
  expect(open.err).toContain("UNSAFE_LISTEN");
  expect(run(["serve", ...small, "--listen", "nowhere"])).toMatchObject({ status: 2, out: "" });
});

test("a token from a file is asked of clients", async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "token"), "a secret of more than sixteen letters\n");
  const address = `unix://${join(folder, "socket")}`;
  const token = join(folder, "token");
  const child = start(["serve", ...small, "--listen", address, "--token-file", token, "--json"]);
  await firstLine(child);
  await expect(connect(address)).rejects.toMatchObject({ code: "UNAUTHORIZED" });
  const client = await connect(address, { token: "a secret of more than sixteen letters" });
  expect(client.info.batch).toBe(10);
  await client.close();
});
