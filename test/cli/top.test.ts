import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Status } from "../../src/ops/status.ts";
import { rangesOf, tableOf } from "../../src/ops/table.ts";
import { look, totalOf, viewOf, type Look } from "../../src/ops/watched.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { main, testPython } from "../fixtures/serve.ts";
import { run, start } from "./run.ts";

function status(more: Partial<Status> = {}): Status {
  return {
    ssl_r1: 1,
    version: "0.1.0",
    phase: "serving",
    notReady: null,
    uptime: 100,
    node: "1/3",
    near: [0, 1, 2, 5],
    loaders: null,
    stream: {
      fingerprint: "sha256:one",
      version: 1,
      seed: 7,
      batch: 40,
      partitions: 8,
      entries: [{ name: "rotation", task: "rotation", weight: 1 }],
      shards: 2,
      shardsOpened: 2,
      samples: 68,
      counted: true,
      steps: null,
    },
    clients: [
      { name: "a", format: "raw", requests: 1, sentBytes: 5, rewards: 0, waitingFor: "cells" },
      { name: "b", format: "raw", requests: 0, sentBytes: 5, rewards: 0, waitingFor: "request" },
    ],
    made: { rotation: 1_000 },
    cells: { made: 125, making: 1, waiting: 0 },
    sent: { bytes: 5e9, cells: 125, batches: 25, puzzles: 1_000, failedSlots: 0, queuedBytes: 0 },
    requests: { get: { ok: 25 } },
    connections: { welcomed: 2 },
    waited: { request: 10, cells: 90, credit: 0, socket: 0, nothing: 0 },
    seconds: {},
    skipped: { damaged: 2, small: 1 },
    rejected: {},
    rewards: {},
    cache: null,
    network: null,
    workers: { threads: 2, ready: 2, restarts: 1, cells: 0, silent: 0, deaths: 1 },
    memory: { resident: 431e6, heapUsed: 1, external: 1 },
    cpu: { user: 1, system: 1 },
    eventLoopDelay: { median: 0, p99: 0, max: 0 },
    openFiles: 30,
    lastError: null,
    ...more,
  };
}

const later = (seconds: number, puzzles: number, waited: Status["waited"]): Look => ({
  at: seconds * 1000,
  status: status({
    uptime: 100 + seconds,
    waited,
    sent: { ...status().sent, puzzles, bytes: puzzles * 5e6 },
  }),
});

describe("one loader", () => {
  const first = later(0, 1_000, { request: 10, cells: 90 });

  test("rates and shares are those since the last look", () => {
    const now = later(4, 1_200, { request: 11, cells: 93, credit: 3, socket: 1 });
    expect(viewOf("http://a:1", first, now)).toMatchObject({
      state: "serving",
      ready: true,
      puzzlesPerSecond: 50,
      bytesPerSecond: 250e6,
      trainersWait: 3 / 8,
      loaderWaits: 5 / 8,
      clients: 2,
      skipped: 3,
      restarts: 1,
    });
  });

  test("one look has no rates, nor has one that was started anew in between", () => {
    const unknown = { puzzlesPerSecond: null, bytesPerSecond: null, trainersWait: null };
    expect(viewOf("http://a:1", undefined, first)).toMatchObject(unknown);
    const anew = { ...later(4, 10, {}), status: status({ uptime: 1 }) };
    expect(viewOf("http://a:1", first, anew)).toMatchObject(unknown);
  });

  test("one that is not ready says why; one that does not answer, too", () => {
    const state = (more: Partial<Status>): string =>
      viewOf("http://a:1", undefined, { at: 0, status: status(more) }).state;
    expect(state({ phase: "draining", notReady: "draining" })).toBe("draining");
    expect(state({ notReady: "no worker thread of 2 is up" })).toBe("no worker thread of 2 is up");
    const gone = viewOf("http://a:1", first, { at: 1, failure: "nobody there" });
    expect(gone).toMatchObject({ state: "nobody there", ready: false, memory: null, clients: 0 });
  });
});

describe("the table", () => {
  test("a line a loader and one for all, in columns", () => {
    const views = [
      viewOf(
        "http://10.0.0.1:9531",
        later(0, 1_000, { cells: 0, request: 0 }),
        later(2, 1_100, { cells: 3, request: 1 }),
      ),
      viewOf("http://10.0.0.2:9531", undefined, { at: 0, failure: "nobody there" }),
    ];
    expect(tableOf(views)).toEqual([
      "LOADER         STATE         NODE  NEAR   PUZZLES/S   MB/S  CLIENTS  WHO WAITS    SKIPS  RESTARTS  MEMORY  LAST ERROR",
      "10.0.0.1:9531  serving       1/3   0-2,5         50  250.0        2  trainer 75%      3         1  431 MB  -",
      "10.0.0.2:9531  nobody there  -     -              -      -        -  -                -         -       -  -",
      "2 in all       1 ready                           50  250.0        2  trainer 75%      3         1  431 MB",
    ]);
  });

  test("two streams in one run are told", () => {
    const other = { ...status().stream!, fingerprint: "sha256:other" };
    const views = [status(), status({ stream: other })].map((one) =>
      viewOf("http://a:1", undefined, { at: 0, status: one }),
    );
    expect(totalOf(views).streams).toBe(2);
    expect(tableOf(views).at(-1)).toContain("2 different streams");
  });

  test("nothing that a loader says moves the cursor or makes lines of its own", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (text, node) => {
        const evil = status({
          phase: text,
          node,
          lastError: { code: text, message: `\u001b[2J${text}`, at: 0 },
        });
        const lines = tableOf([viewOf("http://a:1", undefined, { at: 0, status: evil })]);
        expect(lines).toHaveLength(3);
        for (const line of lines) expect(line).not.toMatch(/[\p{Cc}\u202e\u2028]/u);
      }),
    );
  });

  test("ranges name each number once", () => {
    expect([rangesOf(null), rangesOf([])]).toEqual(["all", "spare"]);
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(50), { minLength: 1 }), (numbers) => {
        const near = numbers.toSorted((one, other) => one - other);
        const read = rangesOf(near)
          .split(",")
          .flatMap((part) => {
            const [first = 0, last = first] = part.split("-").map(Number);
            return Array.from({ length: last - first + 1 }, (_, at) => first + at);
          });
        expect(read).toEqual(near);
      }),
    );
  });
});

async function http(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A loader that sends 100 puzzles between two looks. */
function loader(more: Partial<Status> = {}): Promise<string> {
  let looks = 0;
  return http((request, response) => {
    expect(request.url).toBe("/status");
    looks++;
    const sent = { ...status().sent, puzzles: looks * 100 };
    response.end(JSON.stringify(status({ uptime: looks, sent, ...more })));
  });
}

describe("asking", () => {
  const at = (address: string, timeout = 30_000): Promise<Look> => look(address, timeout, () => 0);

  test("what is no loader is told in a few words", async () => {
    const failures: readonly (readonly [RequestListener, string])[] = [
      [(_, response) => void response.end("<html>"), "no ssl-r1 loader"],
      [(_, response) => void response.end("null"), "no ssl-r1 loader"],
      [(_, response) => void response.end('{"ssl_r1":2}'), "no ssl-r1 loader"],
      [(_, response) => void response.writeHead(404).end(), "HTTP 404"],
      [
        (_, response) => {
          response.on("drain", () => response.write("x".repeat(65_536)));
          while (response.write("x".repeat(65_536)));
        },
        "an answer without end",
      ],
    ];
    for (const [listener, failure] of failures)
      expect(await at(await http(listener))).toEqual({ at: 0, failure });
    expect(await at(await http(() => {}), 100)).toEqual({ at: 0, failure: "no answer" });
    expect(await at("http://127.0.0.1:9")).toMatchObject({ failure: expect.any(String) as string });
  });

  test("redirects are not followed", async () => {
    let asked = false;
    const other = await http((_, response) => {
      asked = true;
      response.end(JSON.stringify(status()));
    });
    const address = await http((_, response) => {
      response.writeHead(302, { location: `${other}/status` }).end();
    });
    expect(await at(address)).not.toHaveProperty("status");
    expect(asked).toBe(false);
  });
});

interface Frame {
  readonly total: {
    readonly ready: number;
    readonly loaders: number;
    readonly puzzlesPerSecond: number;
  };
  readonly loaders: readonly { readonly address: string; readonly state: string }[];
}

const over = async (args: readonly string[]): Promise<string> => {
  const child = start(["top", ...args]);
  let out = "";
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
  await once(child, "close");
  return out;
};

describe("the command", () => {
  test("--once --json is one object, with rates", async () => {
    const [one, other] = [await loader(), await loader()];
    const out = await over([
      one,
      `${other},http://127.0.0.1:9`,
      "--once",
      "--json",
      "--every",
      "0.2",
    ]);
    const frame = JSON.parse(out) as Frame;
    expect(frame.loaders.map(({ address }) => address)).toEqual([one, other, "http://127.0.0.1:9"]);
    expect(frame.total).toMatchObject({ ready: 2, loaders: 3 });
    expect(frame.total.puzzlesPerSecond).toBeGreaterThan(0);
  });

  test("lists as clients take them: the HTTP port is another one, a file is read", async () => {
    const address = await loader({ near: [] });
    const { port } = new URL(address);
    const file = join(temporaryFolder(), "loaders.txt");
    writeFileSync(file, "# loaders of the run\ntcp://127.0.0.1:1\n");
    const args = ["--http-port", port, "--once", "--every", "0.2"];
    for (const list of ["tcp://127.0.0.1:7531,tls://127.0.0.1:7532", pathToFileURL(file).href]) {
      const lines = (await over([list, ...args])).trimEnd().split("\n");
      expect(lines.slice(2)).toHaveLength(3);
      expect(lines[3]).toMatch(new RegExp(`^127\\.0\\.0\\.1:${port} +serving +1/3 +spare`));
    }
  });

  test("elsewhere than in a terminal: frames one below the other, without escapes, until it is told to end", async () => {
    const child = start(["top", await loader(), "--every", "0.1"]);
    let out = "";
    while ((out.match(/^LOADER/gm) ?? []).length < 3) {
      const [chunk] = (await once(child.stdout, "data")) as [Buffer];
      out += chunk.toString();
    }
    child.kill("SIGINT");
    const [code] = (await once(child, "exit")) as [number];
    expect(code).toBe(0);
    expect(out).not.toContain("\u001b");
    expect(out).toMatch(
      /^ssl-r1 top {2}\d{4}-.*Z\n\nLOADER .*\n127.*serving.*\n1 in all.*\n\nssl-r1/,
    );
  });

  test("in a terminal: frames in place, no wider than it", async () => {
    const script = fileURLToPath(new URL("terminal.py", import.meta.url));
    const lastError = { code: "NETWORK", message: "x".repeat(300), at: 0 };
    const args = ["top", await loader({ lastError }), "--every", "0.1"];
    const child = spawn(testPython(), [script, process.execPath, main, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    let shown = "";
    const HOME = "\u001b[H";
    while (shown.split(HOME).length < 4) {
      const [chunk] = (await once(child.stdout, "data")) as [Buffer];
      shown += chunk.toString();
    }
    const [begin, frame = ""] = shown.split(HOME);
    expect(begin).toBe("\u001b[?1049h\u001b[?25l");
    const lines = frame.replace("\u001b[J", "").split("\r\n");
    expect(lines).toHaveLength(5);
    for (const line of lines) {
      expect(line.endsWith("\u001b[K")).toBe(true);
      expect(line.slice(0, -3)).not.toMatch(/\p{Cc}/u);
      expect(line.length - 3).toBeLessThanOrEqual(160);
    }
    expect(lines[3]).toContain("NETWORK: xxx");
  });

  test("what is no address", () => {
    for (const args of [["http://a:1/status"], ["unix:///run/a"], ["http://a:1", "--every", "0"]])
      expect(run(["top", ...args, "--once"])).toMatchObject({ status: 2, out: "" });
  });
});
