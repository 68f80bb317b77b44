import { deepEqual } from "node:assert/strict";
import { timingSafeEqual } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { connect } from "../../src/transport/client.ts";
import { createServer, type Server, type ServerOptions } from "../../src/transport/server.ts";
import { clientToken, openTokens } from "../../src/transport/tokens.ts";
import { createFake } from "./fake.ts";
import { dial, greeted, hello, type Peer } from "./peer.ts";

vi.mock(import("node:crypto"), async (original) => {
  const actual = await original();
  return {
    ...actual,
    timingSafeEqual: vi.fn<typeof actual.timingSafeEqual>(actual.timingSafeEqual),
  };
});

let folder: string;
let file: string;
let server: Server | undefined;
let told: unknown[];
const peers: Peer[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tokens-"));
  file = join(folder, "tokens");
  told = [];
});

afterEach(async () => {
  for (const { socket } of peers.splice(0)) socket.destroy();
  await server?.close();
  server = undefined;
  rmSync(folder, { recursive: true, force: true });
  vi.unstubAllEnvs();
});

let written = Date.now();

/** Never with the times of before. */
function write(text: string, mode = 0o600): void {
  writeFileSync(file, text);
  chmodSync(file, mode);
  utimesSync(file, new Date(), new Date((written += 5_000)));
}

async function serve(options: Partial<ServerOptions>): Promise<Server> {
  server = await createServer(createFake(), {
    listen: "tcp://127.0.0.1:0",
    onWarning: (text) => told.push(text),
    onEvent: (event) => told.push(event),
    onError: (error) => told.push(error),
    ...options,
  });
  return server;
}

/** What the server answers to a hello with this token. */
async function answer(token?: string): Promise<string | undefined> {
  const peer = await dial(server!.address);
  peers.push(peer);
  peer.send({ ...hello, ...(token !== undefined && { token }) });
  const message = await peer.next();
  return message?.kind === "error" ? message.code : message?.kind;
}

test("each of several tokens is welcomed, from flags and from the file, and no other", async () => {
  write("# for trainers\nfirst\n\n  second  \n#third\n");
  await serve({ token: ["fourth", "fifth"], tokenFile: file });
  for (const token of ["first", "second", "fourth", "fifth"])
    expect([token, await answer(token)]).toEqual([token, "welcome"]);
  for (const token of [undefined, "", "third", "#third", "# for trainers", "firs", "first ", "x"])
    expect([token, await answer(token)]).toEqual([token, "UNAUTHORIZED"]);
});

test("the same work whatever matches: every token is compared, at full length", async () => {
  const tokens = await openTokens({
    tokens: ["a", "b".repeat(100), "c"],
    file: undefined,
    onWarning() {},
    onChange() {},
  });
  const compared = vi.mocked(timingSafeEqual);
  for (const [given, right] of [
    ["a", true],
    ["b".repeat(100), true],
    ["c", true],
    ["d".repeat(10_000), false],
    [undefined, false],
  ] as const) {
    compared.mockClear();
    expect(tokens?.check(given) !== undefined).toBe(right);
    const lengths = compared.mock.calls.map((pair) => pair.map(({ byteLength }) => byteLength));
    expect(lengths).toEqual([
      [32, 32],
      [32, 32],
      [32, 32],
    ]);
  }
});

test("a token that is added counts at once; one that is taken out ends its connections", async () => {
  write("old\n");
  await serve({ tokenFile: file });
  const early = await greeted(server!.address, { token: "old" });
  peers.push(early);
  expect(await answer("new")).toBe("UNAUTHORIZED");
  write("old\nnew\n");
  await server?.reload();
  expect(await answer("new")).toBe("welcome");
  early.send({ kind: "poll", id: 1 });
  expect(await early.next()).toMatchObject({ kind: "info" });
  write("new\n");
  await server?.reload();
  expect(await early.next()).toMatchObject({ kind: "error", code: "CLOSED" });
  expect(await answer("old")).toBe("UNAUTHORIZED");
  expect(server?.clients).toHaveLength(2);
});

test("a client with a file goes on with the new token where the old one is withdrawn", async () => {
  write("old\n");
  await serve({ tokenFile: file });
  const own = join(folder, "client");
  writeFileSync(own, "old\n");
  const client = await connect(server!.address, { tokenFile: own });
  expect((await client.get(0)).step).toBe(0);
  writeFileSync(own, "# rotated\nnew\n");
  write("new\n");
  await server?.reload();
  expect((await client.get(1)).step).toBe(1);
  await client.close();
});

test.each([
  ["is empty", ""],
  ["holds comments alone", "# none\n"],
])("a changed file that %s leaves the old tokens, and is told", async (_, text) => {
  write("old\n");
  await serve({ tokenFile: file });
  write(text);
  await server?.reload();
  expect(told).toEqual([expect.stringContaining("old ones stay")]);
  expect(await answer("old")).toBe("welcome");
});

test("a file that is gone leaves the old tokens", async () => {
  write("old\n");
  await serve({ tokenFile: file });
  rmSync(file);
  await server?.reload();
  expect(await answer("old")).toBe("welcome");
});

test.each([
  ["no file", {}],
  ["an empty token", { token: "" }],
  ["one of them empty", { token: ["a", ""] }],
])("%s is refused at the start", async (_, options) => {
  const tokenFile = "token" in options ? {} : { tokenFile: join(folder, "none") };
  await expect(serve({ ...options, ...tokenFile })).rejects.toMatchObject({ code: "BAD_OPTION" });
});

test("a file that everybody can read is told of, with its name and without its text", async () => {
  write("secret-of-mine\n", 0o644);
  await serve({ tokenFile: file });
  expect(told).toEqual([`${file} can be read by every user of this machine: chmod 600 it`]);
  expect(statSync(file).mode & 0o777).toBe(0o644);
});

test("no token in anything that a server tells: answers, events, errors, its own fields", async () => {
  const secret = "s3cret-0f-mine";
  const guess = "gu3ss-0f-theirs";
  write(`${secret}\n`);
  await serve({ tokenFile: file, token: `${secret}-2` });
  const peer = await greeted(server!.address, { token: secret });
  peers.push(peer);
  const other = await dial(server!.address);
  peers.push(other);
  other.send({ ...hello, token: guess });
  const refusal = await other.next();
  await server?.reload();
  const all = inspect([refusal, told, server, server?.clients, server?.counts()], {
    depth: 20,
    showHidden: true,
  });
  expect(all).toContain("UNAUTHORIZED");
  for (const text of [secret, guess]) expect(all).not.toContain(text);
});

test("a client's token: as given, else of the file, else of the environment", () => {
  write("# today\nfrom-file\nlater\n");
  vi.stubEnv("SSL_R1_TOKEN", "from-env");
  deepEqual(clientToken("given", file), "given");
  deepEqual(clientToken(undefined, file), "from-file");
  expect(clientToken(undefined, undefined)).toBe("from-env");
  vi.stubEnv("SSL_R1_TOKEN", "");
  expect(clientToken(undefined, undefined)).toBeUndefined();
  expect(() => clientToken(undefined, join(folder, "none"))).toThrow(/token file/);
});
