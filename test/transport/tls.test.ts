import { once } from "node:events";
import { deepEqual } from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { connect as connectSocket, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { X509Certificate } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Batch } from "../../src/model.ts";
import { connect, type Client, type ConnectOptions } from "../../src/transport/client.ts";
import { createServer, type Server, type ServerOptions } from "../../src/transport/server.ts";
import { certificate, identities, writeIdentities } from "../fixtures/certificates.ts";
import { createFake, pixel, type FakeMaker, type FakeOptions } from "./fake.ts";

let folder: string;
let maker: FakeMaker;
let server: Server;
let warnings: string[];
const clients = new Set<Client>();
const made = identities();
const file = (name: string): string => join(folder, name);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tls-"));
  writeIdentities(folder, made);
  warnings = [];
});

afterEach(async () => {
  await Promise.all([...clients].map((client) => client.close()));
  clients.clear();
  await server.close();
  const { made: cells, released, twice } = maker.tally;
  deepEqual({ released, twice }, { released: cells, twice: 0 });
  rmSync(folder, { recursive: true, force: true });
});

async function serve(
  options: Partial<ServerOptions> = {},
  mutual = false,
  fake: FakeOptions = {},
): Promise<void> {
  maker = createFake(fake);
  server = await createServer(maker, {
    listen: "tls://127.0.0.1:0",
    tls: {
      cert: file("server.pem"),
      key: file("server.key"),
      ...(mutual && { clientCa: file("ca.pem") }),
    },
    onWarning: (text) => warnings.push(text),
    ...options,
  });
}

async function dial(tls: ConnectOptions["tls"], address = server.address): Promise<Client> {
  const client = await connect(address, { reconnect: 0, tls: tls ?? {} });
  clients.add(client);
  return client;
}

const refusal = async (tls: ConnectOptions["tls"], address?: string): Promise<unknown> =>
  await dial(tls, address).then(
    () => Promise.reject(new Error("it connects")),
    (error: unknown) => error,
  );

const trusting = (): { ca: string } => ({ ca: file("ca.pem") });

/** Every pixel of a batch of the fake maker. */
function expectPixels({ puzzles }: Batch): void {
  expect(puzzles).toHaveLength(8);
  for (const { index, images } of puzzles)
    for (const [number, { data }] of images.entries())
      expect(data.every((value, at) => value === pixel(index, number, at))).toBe(true);
}

/** The certificate that a new connection is shown. */
async function shown(): Promise<string> {
  const { port } = new URL(server.address.replace("tls:", "http:"));
  const socket = connectTls({ host: "127.0.0.1", port: Number(port), ca: [made.ca.cert] });
  await once(socket, "secureConnect");
  const certificate = socket.getPeerX509Certificate();
  socket.destroy();
  return certificate?.fingerprint256 ?? "";
}

const fingerprint = (cert: string): string => new X509Certificate(cert).fingerprint256;

/** Written as a deploy tool does, and never with the times of before. */
function write(name: string, text: string): void {
  const before = statSync(file(name)).mtimeMs;
  writeFileSync(file(name), text);
  utimesSync(file(name), new Date(), new Date(before + 5_000));
}

describe("TLS", () => {
  test("batches arrive bit for bit, over megabytes, by get and by stream", async () => {
    await serve({}, false, { side: 250 });
    const client = await dial(trusting());
    expectPixels(await client.get(3));
    let steps = 0;
    for await (const batch of client.stream({ from: 4, steps: 5 })) {
      expectPixels(batch);
      steps++;
    }
    expect(steps).toBe(5);
  });

  test("a server whose authority is not trusted is refused before it is told a token", async () => {
    const seen: unknown[] = [];
    await serve({ token: "secret", onError: (error) => seen.push(error) });
    for (const tls of [undefined, { ca: file("other.pem") }])
      expect(await refusal(tls)).toMatchObject({
        code: "UNAUTHORIZED",
        message: expect.stringContaining("not trusted") as string,
      });
    expect(server.clients).toEqual([]);
    expect(seen).toEqual([]);
  });

  test("the certificate must be for the host of the address, or for the name that is asked for", async () => {
    const elsewhere = certificate("elsewhere", { issuer: made.ca, hosts: ["loader.example"] });
    writeIdentities(folder, { server: elsewhere });
    await serve();
    expect(await refusal(trusting())).toMatchObject({ code: "UNAUTHORIZED" });
    const named = await dial({ ...trusting(), serverName: "loader.example" });
    expectPixels(await named.get(0));
    expect(await refusal({ ...trusting(), serverName: "other.example" })).toMatchObject({
      code: "UNAUTHORIZED",
    });
  });

  test("a self-signed certificate is trusted where it is itself the authority", async () => {
    const own = certificate("own", { hosts: ["127.0.0.1"] });
    writeIdentities(folder, { server: own });
    await serve();
    expectPixels(await (await dial({ ca: file("server.pem") })).get(0));
    expect(await refusal(trusting())).toMatchObject({ code: "UNAUTHORIZED" });
  });

  test.each([
    ["expired", -10, -1],
    ["of tomorrow", 1, 10],
  ])("a certificate that is %s is refused", async (_, from, to) => {
    const late = certificate("late", { issuer: made.ca, hosts: ["127.0.0.1"], from, to });
    writeIdentities(folder, { server: late });
    await serve();
    expect(await refusal(trusting())).toMatchObject({ code: "UNAUTHORIZED" });
  });

  test("nothing older than TLS 1.3", async () => {
    await serve();
    const { port } = new URL(server.address.replace("tls:", "http:"));
    const socket = connectTls({
      host: "127.0.0.1",
      port: Number(port),
      ca: [made.ca.cert],
      maxVersion: "TLSv1.2",
    });
    const error = await new Promise<NodeJS.ErrnoException>((resolve) =>
      socket.once("error", resolve),
    );
    expect(error.code).toContain("ALERT_PROTOCOL_VERSION");
  });

  test("a tls address where plain text is spoken, and the other way round", async () => {
    await serve();
    expect(await refusal(undefined, server.address.replace("tls:", "tcp:"))).toMatchObject({
      code: "CONNECTION_LOST",
    });
    await using plain = await createServer(createFake(), { listen: "tcp://127.0.0.1:0" });
    expect(await refusal(trusting(), plain.address.replace("tcp:", "tls:"))).toMatchObject({
      code: "PROTOCOL",
    });
  });
});

test("several loaders, one of which is not trusted: the others make its slots", async () => {
  await serve();
  await using good = await createServer(createFake(), {
    listen: "tls://127.0.0.1:0",
    tls: { cert: file("server.pem"), key: file("server.key") },
  });
  await using bad = await createServer(createFake(), {
    listen: "tls://127.0.0.1:0",
    tls: { cert: file("stranger.pem"), key: file("stranger.key") },
  });
  const all = [server.address, good.address, bad.address].join(",");
  const told: string[] = [];
  const client = await connect(all, {
    tls: trusting(),
    onEvent: ({ event, reason = "" }) => told.push(`${event}: ${reason}`),
  });
  clients.add(client);
  for (let step = 0; step < 4; step++) expectPixels(await client.get(step));
  expect(bad.clients).toEqual([]);
  expect(told.some((text) => text.includes("not trusted"))).toBe(true);
});

describe("strangers that begin no handshake", () => {
  const silent = async (many: number): Promise<Socket[]> => {
    const { port } = new URL(server.address.replace("tls:", "http:"));
    const sockets = Array.from({ length: many }, () => connectSocket(Number(port), "127.0.0.1"));
    for (const socket of sockets) socket.on("error", () => {}).resume();
    await Promise.all(sockets.map((socket) => once(socket, "connect")));
    return sockets;
  };

  test("lose their places to each other, not to clients", async () => {
    await serve({ limits: { strangers: 5 } });
    const sockets = await silent(40);
    expectPixels(await (await dial(trusting())).get(1));
    // With the client's own, five are left.
    while (sockets.filter(({ closed }) => closed).length < 35)
      await new Promise((resolve) => setTimeout(resolve, 5));
    for (const socket of sockets) socket.destroy();
  });

  test("are closed when their time is over, and with the server", async () => {
    await serve({ limits: { handshake: 50 } });
    const [slow] = await silent(1);
    await once(slow!, "close");
    await server.close();
    await serve();
    const [waiting] = await silent(1);
    const closed = once(waiting!, "close");
    await server.close();
    await closed;
  });
});

describe("mutual TLS", () => {
  test("a client of the authority is served, without or with another certificate it is not", async () => {
    await serve({}, true);
    const known = { ...trusting(), cert: file("client.pem"), key: file("client.key") };
    expectPixels(await (await dial(known)).get(1));
    // The server's reason, or a reset of the connection on which it was under way.
    expect(await refusal(trusting())).toMatchObject({
      code: expect.stringMatching(/^(UNAUTHORIZED|CONNECTION_LOST)$/) as string,
      message: expect.stringContaining("certificate of its clients") as string,
    });
    const stranger = { ...trusting(), cert: file("stranger.pem"), key: file("stranger.key") };
    expect(await refusal(stranger)).toMatchObject({ code: "CONNECTION_LOST" });
    expect(server.clients).toHaveLength(1);
  });

  test("certificate and token are both needed where both are asked for", async () => {
    await serve({ token: "secret" }, true);
    const known = { ...trusting(), cert: file("client.pem"), key: file("client.key") };
    expect(await refusal(known)).toMatchObject({ code: "UNAUTHORIZED" });
    const client = await connect(server.address, { token: "secret", tls: known });
    clients.add(client);
    expectPixels(await client.get(1));
  });
});

describe("certificates that change", () => {
  test("connections go on, new ones see the new certificate", async () => {
    await serve();
    const early = await dial(trusting());
    expect(await shown()).toBe(fingerprint(made.server.cert));
    const fresh = certificate("fresh", { issuer: made.ca, hosts: ["127.0.0.1"] });
    write("server.pem", fresh.cert);
    write("server.key", fresh.key);
    await server.reload();
    expect(await shown()).toBe(fingerprint(fresh.cert));
    expectPixels(await early.get(2));
    expectPixels(await (await dial(trusting())).get(2));
    expect(warnings).toEqual([]);
  });

  test.each([
    ["no certificate", "server.pem", "garbage"],
    ["a key of another certificate", "server.key", made.stranger.key],
  ])("%s: the old one stays, and it is told once, without the text", async (_, name, text) => {
    await serve();
    write(name, text);
    await server.reload();
    await server.reload();
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).not.toContain(text.slice(30, 60) || text);
    expect(await shown()).toBe(fingerprint(made.server.cert));
    const fresh = certificate("fresh", { issuer: made.ca, hosts: ["127.0.0.1"] });
    write("server.pem", fresh.cert);
    write("server.key", fresh.key);
    await server.reload();
    expect(await shown()).toBe(fingerprint(fresh.cert));
  });

  test("clients of an authority that was taken out are refused from then on", async () => {
    await serve({}, true);
    const known = { ...trusting(), cert: file("client.pem"), key: file("client.key") };
    const early = await dial(known);
    const { ca } = made;
    write("ca.pem", made.other.cert);
    await server.reload();
    writeFileSync(file("first.pem"), ca.cert);
    await expect(dial({ ...known, ca: file("first.pem") })).rejects.toMatchObject({
      code: "CONNECTION_LOST",
    });
    expectPixels(await early.get(2));
  });
});

describe("what is refused at the start", () => {
  const refused = async (options: Partial<ServerOptions>): Promise<unknown> =>
    await serve(options).then(
      () => Promise.reject(new Error("it listens")),
      (error: unknown) => error,
    );
  afterEach(async () => {
    await serve();
  });

  test("tls without files, files without tls, files that are none", async () => {
    maker = createFake();
    await expect(createServer(maker, { listen: "tls://127.0.0.1:0" })).rejects.toMatchObject({
      code: "BAD_OPTION",
    });
    expect(await refused({ listen: "tcp://127.0.0.1:0" })).toMatchObject({ code: "BAD_OPTION" });
    const missing = { cert: file("none.pem"), key: file("server.key") };
    expect(await refused({ tls: missing })).toMatchObject({ code: "BAD_OPTION" });
    const other = { cert: file("server.pem"), key: file("client.key") };
    expect(await refused({ tls: other })).toMatchObject({ code: "BAD_OPTION" });
  });

  test("a client's certificate without its key, or one that is no file", async () => {
    await serve();
    const half = { cert: file("client.pem") };
    expect(await refusal(half)).toMatchObject({ code: "BAD_OPTION" });
    expect(await refusal({ ca: file("none.pem") })).toMatchObject({ code: "BAD_OPTION" });
    await server.close();
  });
});
