import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  bar,
  createProgress,
  createTraffic,
  listed,
  readable,
  skippedText,
} from "../../src/cli/progress.ts";
import { createStream } from "../../src/loader.ts";
import { connect } from "../../src/transport/client.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { main, testPython } from "../fixtures/serve.ts";
import { samples } from "../loader/streams.ts";

interface Screen {
  isTTY?: boolean;
  columns?: number;
  shown: string;
  write(text: string): void;
}

function screen(given: { isTTY?: boolean; columns?: number } = {}): Screen {
  const made: Screen = {
    ...given,
    shown: "",
    write: (text) => void (made.shown += text),
  };
  return made;
}

describe("the line", () => {
  test("on a terminal: one that changes, no wider than it, and gone in the end", () => {
    const out = screen({ isTTY: true, columns: 11 });
    let now = 0;
    const progress = createProgress(out, () => now);
    for (now = 0; now < 1_000; now += 50) progress.update(() => "too early");
    expect(out.shown).toBe("");
    for (now = 1_000; now < 1_400; now += 50) progress.update(() => `at ${now}, and much more`);
    expect(out.shown).toBe("\r\u001b[Kat 1000, a\r\u001b[Kat 1200, a");
    progress.end();
    progress.end();
    expect(out.shown.endsWith("a\r\u001b[K")).toBe(true);
  });

  test("elsewhere: a plain line every 15 seconds, with nothing that moves a cursor", () => {
    const out = screen();
    let now = 0;
    const progress = createProgress(out, () => now);
    for (now = 0; now <= 31_000; now += 200) progress.update(() => `at ${now}`);
    progress.end();
    expect(out.shown).toBe("at 15000\nat 30000\n");
  });

  test("what is over soon shows nothing anywhere", () => {
    for (const out of [screen({ isTTY: true }), screen()]) {
      let now = 0;
      const progress = createProgress(out, () => now);
      for (now = 0; now < 900; now += 100) progress.update(() => "?");
      progress.end();
      expect(out.shown).toBe("");
    }
  });
});

describe("the words", () => {
  test("bytes, their rate over the last seconds, and retries with the last reason", () => {
    let now = 0;
    const traffic = createTraffic(() => now);
    expect(traffic(undefined)).toBe("");
    expect(traffic({ requests: 1, retries: 0, bytes: 0 })).toBe("0 B fetched, 0 B/s");
    now = 2_000;
    expect(traffic({ requests: 1, retries: 0, bytes: 4e6 })).toBe("4.0 MB fetched, 2.0 MB/s");
    for (now = 3_000; now < 20_000; now += 1_000) traffic({ requests: 1, retries: 0, bytes: 4e6 });
    const stuck = { requests: 3, retries: 2, bytes: 4e6, reason: "host: 503" };
    expect(traffic(stuck)).toBe("4.0 MB fetched, 0 B/s, 2 retries (host: 503)");
    expect(traffic({ ...stuck, retries: 1 })).toContain("1 retry (host: 503)");
  });

  test("skipped images by reason, the most frequent first", () => {
    expect(skippedText({})).toBe("");
    expect(skippedText({ a: 1, b: 5, c: 2, d: 1 })).toBe("9 skipped (5 b, 2 c, 1 a)");
  });

  test("bars, sizes, lists", () => {
    expect([bar(0, 4, 4), bar(1, 4, 4), bar(4, 4, 4), bar(0, 0, 4)]).toEqual([
      "[----] 0/4",
      "[#---] 1/4",
      "[####] 4/4",
      "[####] 0/0",
    ]);
    expect([0, 999, 1_000, 12_345_678].map(readable)).toEqual([
      "0 B",
      "999 B",
      "1.0 kB",
      "12.3 MB",
    ]);
    expect(listed(["a", "", false, "b"])).toBe("a, b");
  });
});

/** A server that gives a tar little by little, and is not there the first time. */
async function slow(pause: number): Promise<string> {
  const tar = readFileSync(join(samples, "photos-000000.tar"));
  let refused = false;
  const server = createServer((request, response) => {
    const [, from = "0"] = /bytes=(\d+)-/.exec(request.headers.range ?? "") ?? [];
    if (request.method === "GET" && !refused) {
      refused = true;
      return void response.writeHead(503, { "retry-after": "1" }).end();
    }
    const rest = tar.subarray(Number(from));
    response.writeHead(Number(from) > 0 ? 206 : 200, {
      "content-length": rest.length,
      etag: '"1"',
      ...(Number(from) > 0 && { "content-range": `bytes ${from}-${tar.length - 1}/${tar.length}` }),
    });
    if (request.method === "HEAD") return void response.end();
    let at = 0;
    const timer = setInterval(() => {
      response.write(rest.subarray(at, (at += rest.length >> 4)));
      if (at < rest.length) return;
      clearInterval(timer);
      response.end();
    }, pause);
    response.on("close", () => clearInterval(timer));
    return undefined;
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/photos.tar`;
}

interface Terminal {
  /** All so far that a user sees, escapes and all. */
  shown(): string;
  /** Resolves when that matches. */
  until(pattern: RegExp): Promise<RegExpExecArray>;
  readonly over: Promise<number | null>;
}

function terminal(args: readonly string[]): Terminal {
  const script = fileURLToPath(new URL("terminal.py", import.meta.url));
  const env = { ...process.env, SSL_R1_CACHE: temporaryFolder() };
  const child = spawn(testPython(), [script, process.execPath, main, ...args], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  // the terminal goes with its owner, and the command with the terminal
  onTestFinished(() => void child.kill("SIGKILL"));
  let shown = "";
  child.stdout.on("data", (chunk: Buffer) => (shown += chunk.toString()));
  return {
    shown: () => shown,
    async until(pattern) {
      for (;;) {
        const found = pattern.exec(shown);
        if (found) return found;
        await once(child.stdout, "data");
      }
    },
    over: new Promise((resolve) => child.once("close", resolve)),
  };
}

async function seen(args: readonly string[]): Promise<string> {
  const ran = terminal(args);
  expect(await ran.over).toBe(0);
  return ran.shown();
}

/** Begins the line anew. */
const CLEAR = "\r\u001b[K";
const small = ["--batch", "10", "--window", "16", "--workers", "1", "--steps", "0..1"];

describe("under a terminal, from a slow server", () => {
  test("a stream tells what it waits for, until the first batch", async () => {
    const shown = await seen(["digest", await slow(150), ...small]);
    expect(shown.split(CLEAR)).toContainEqual(
      expect.stringMatching(/^first batch: .*of 1 shards, .* fetched, .*\/s/),
    );
    expect(shown).toMatch(/1 retry \(127\.0\.0\.1:\d+: [^)]*503/);
    // the line has gone before anything else is written
    const [before = "", ...after] = shown.split("0 sha256:");
    expect(before.endsWith(CLEAR)).toBe(true);
    expect(after.join("")).not.toContain("first batch");
  });

  test("index tells how far it is", async () => {
    const shown = await seen(["index", await slow(150)]);
    const lines = shown.split(CLEAR);
    expect(lines).toContainEqual(
      expect.stringMatching(/^\[-+\] 0\/1 shards, 0 images, .* fetched/),
    );
    expect(lines.at(-1)).toMatch(/^photos\.tar {2}34 images/);
  });

  test("serve tells of the network beside what it serves", async () => {
    const address = `unix://${join(temporaryFolder(), "socket")}`;
    const options = ["--batch", "10", "--window", "16", "--workers", "1", "--listen", address];
    const shown = terminal(["serve", await slow(150), ...options]);
    await shown.until(/listening on/);
    const client = await connect(address);
    await client.get(0);
    await shown.until(/puzzles\/s, step 0, 1 clients, .* fetched, .*\/s, 1 retry \([^)]*503/);
    await client.close();
  });
});

test("a stream's statistics count what was asked of servers", async () => {
  const options = { batch: 10, workers: 1, cache: "none" };
  const local = await createStream({ ...options, source: samples });
  await local.get(0);
  expect(local.statistics.network()).toBeUndefined();
  await local.close();
  const remote = await createStream({ ...options, source: await slow(1) });
  await remote.get(0);
  const network = remote.statistics.network()!;
  // HEAD, refused, the tar
  expect(network).toMatchObject({ requests: 3, retries: 1 });
  expect(network.reason).toMatch(/^127\.0\.0\.1:\d+: .*503/);
  expect(network.bytes).toBeGreaterThan(100_000);
  await remote.close();
});
