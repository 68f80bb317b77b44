import { chmodSync, existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { StreamError } from "../../src/errors.ts";
import { isLoopback } from "../../src/transport/address.ts";
import { createServer, type Server, type ServerOptions } from "../../src/transport/server.ts";
import { identities, writeIdentities } from "../fixtures/certificates.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { createFake } from "./fake.ts";
import { greeted } from "./peer.ts";

async function serve(options: ServerOptions): Promise<Server> {
  const server = await createServer(createFake(), options);
  onTestFinished(() => server.close());
  return server;
}

const refused = async (options: ServerOptions): Promise<StreamError> =>
  await serve(options).then(
    () => Promise.reject(new Error("it listens")),
    (error: StreamError) => error,
  );

function files(): { cert: string; key: string; ca: string } {
  const folder = temporaryFolder();
  writeIdentities(folder, identities());
  return {
    cert: join(folder, "server.pem"),
    key: join(folder, "server.key"),
    ca: join(folder, "ca.pem"),
  };
}

test("in the clear beyond loopback is refused whatever else is given, and the way out is told", async () => {
  for (const listen of ["tcp://0.0.0.0:0", "tcp://[::]:0"])
    for (const token of [undefined, "secret"]) {
      const error = await refused({ listen, ...(token !== undefined && { token }) });
      expect(error.code).toBe("UNSAFE_LISTEN");
      for (const word of ["tls://", "token", "certificate", "--insecure", "loopback"])
        expect(error.message).toContain(word);
    }
});

test("every address of this machine but loopback's counts as beyond it", async () => {
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  for (const { address, family, internal } of all) {
    expect([address, isLoopback(address)]).toEqual([address, internal]);
    // One with a zone can't be written in an address; the rule is the same.
    if (internal || family !== "IPv4") continue;
    expect(await refused({ listen: `tcp://${address}:0` })).toMatchObject({
      code: "UNSAFE_LISTEN",
    });
  }
  for (const ip of [
    "0.0.0.0",
    "::",
    "10.0.0.1",
    "128.0.0.1",
    "::ffff:10.0.0.1",
    "fe80::1",
    "1127.0.0.1",
  ])
    expect([ip, isLoopback(ip)]).toEqual([ip, false]);
});

test("TLS beyond loopback wants a token or clients' certificates", async () => {
  const { cert, key, ca } = files();
  const listen = "tls://0.0.0.0:0";
  const error = await refused({ listen, tls: { cert, key } });
  expect(error.code).toBe("UNSAFE_LISTEN");
  for (const word of ["token", "--tls-client-ca", "--insecure"])
    expect(error.message).toContain(word);
  await serve({ listen, tls: { cert, key }, token: "secret" });
  await serve({ listen, tls: { cert, key, clientCa: ca } });
  await serve({ listen, tls: { cert, key }, insecure: true });
});

test("on loopback nothing is asked for", async () => {
  const { cert, key } = files();
  await serve({ listen: "tls://127.0.0.1:0", tls: { cert, key } });
  await serve({ listen: "tcp://127.0.0.1:0" });
});

test("a TLS address keeps the name that its certificate is for", async () => {
  const { cert, key } = files();
  const { address } = await serve({ listen: "tls://localhost:0", tls: { cert, key } });
  expect(address).toMatch(/^tls:\/\/localhost:\d+$/);
});

test("a unix socket where every user may exchange files is refused, but in a sticky folder", async () => {
  const folder = join(temporaryFolder(), "shared");
  mkdirSync(folder);
  const listen = `unix://${join(folder, "s.sock")}`;
  chmodSync(folder, 0o777);
  expect(await refused({ listen })).toMatchObject({
    code: "UNSAFE_LISTEN",
    message: expect.stringContaining("folder of your own") as string,
  });
  expect(existsSync(join(folder, "s.sock"))).toBe(false);
  chmodSync(folder, 0o1777);
  const { address } = await serve({ listen });
  expect(statSync(join(folder, "s.sock")).mode & 0o777).toBe(0o600);
  (await greeted(address)).socket.destroy();
});

test("a link in the place of the socket is not followed, nor removed", async () => {
  const folder = temporaryFolder({ target: "mine" });
  symlinkSync(join(folder, "target"), join(folder, "s.sock"));
  expect(await refused({ listen: `unix://${join(folder, "s.sock")}` })).toMatchObject({
    code: "LISTEN_FAILED",
  });
  symlinkSync(join(folder, "nothing"), join(folder, "dangling.sock"));
  expect(await refused({ listen: `unix://${join(folder, "dangling.sock")}` })).toMatchObject({
    code: "LISTEN_FAILED",
  });
  expect(existsSync(join(folder, "target"))).toBe(true);
});

test("a folder that is not there", async () => {
  expect(
    await refused({ listen: `unix://${join(temporaryFolder(), "none", "s.sock")}` }),
  ).toMatchObject({ code: "LISTEN_FAILED" });
});

test("what could not listen leaves nothing that keeps a process alive", async () => {
  const { cert, key } = files();
  const { address } = await serve({ listen: "tcp://127.0.0.1:0" });
  const before = process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const tokens = join(temporaryFolder(), "tokens");
  writeFileSync(tokens, "secret\n", { mode: 0o600 });
  const error = await refused({
    listen: address.replace("tcp:", "tls:"),
    tls: { cert, key },
    tokenFile: tokens,
  });
  expect(error).toMatchObject({ code: "LISTEN_FAILED" });
  const after = process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  expect(after).toBeLessThanOrEqual(before);
});
