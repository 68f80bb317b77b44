import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { homedir, hostname, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { errorCodes, StreamError } from "../../src/errors.ts";
import type { CellMaker } from "../../src/model.ts";
import type { StreamOptions } from "../../src/options.ts";
import { createServer } from "../../src/transport/server.ts";
import { withoutPaths } from "../../src/transport/told.ts";
import type { ClientMessage } from "../../src/transport/messages.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { open, samples } from "../loader/streams.ts";
import { createFake } from "./fake.ts";
import { dial, hello } from "./peer.ts";

const SECRET = "an-environment-value-of-this-host";
vi.stubEnv("LEAKS_TEST_VALUE", SECRET);

/** What must not be in the bytes that a client gets, beside what a test adds. */
const ofThisHost = [
  SECRET,
  `${homedir()}/`,
  `${process.cwd()}/`,
  `${tmpdir()}/`,
  "file://",
  "node_modules",
  "node:internal",
  ...(hostname().length > 5 ? [hostname()] : []),
];
const stack = /\n\s+at |\bat .+:\d+:\d+/;

interface Heard {
  /** Everything that came, as it came. */
  readonly bytes: string;
  readonly errors: { readonly code: string; readonly message: string }[];
}

/** All that a client is sent until each of its requests has been answered or the connection ends. */
async function heard(
  maker: CellMaker,
  asked: readonly ClientMessage[],
  log: StreamError[] = [],
): Promise<Heard> {
  await using server = await createServer(maker, {
    listen: "tcp://127.0.0.1:0",
    onError: (error) => log.push(error),
  });
  const peer = await dial(server.address);
  const chunks: Buffer[] = [];
  peer.socket.on("data", (chunk: Buffer) => chunks.push(Buffer.from(chunk)));
  peer.send(hello, ...asked);
  const errors: { code: string; message: string }[] = [];
  for (let left = asked.length; left > 0;) {
    const message = await peer.next();
    if (message === undefined) break;
    if (message.kind === "error") errors.push(message);
    if (message.kind === "cell") for (const { error } of message.failed) errors.push(error);
    if (message.kind !== "welcome" && message.kind !== "cell" && message.kind !== "counted") left--;
  }
  peer.socket.destroy();
  return { bytes: Buffer.concat(chunks).toString("utf8"), errors };
}

function expectNothing({ bytes, errors }: Heard, more: readonly string[] = []): void {
  for (const text of [...ofThisHost, ...more]) expect(bytes).not.toContain(text);
  for (const { message } of errors) {
    expect(message).not.toMatch(stack);
    expect(message).not.toMatch(/(?<![\w:/.])\/(tmp|home|root|work|var|usr|mnt|data)\//);
  }
}

const get: ClientMessage = { kind: "get", id: 1, step: 0 };

/** A folder whose name would tell something, with the sample shards. */
function ownShards(): string {
  const folder = join(temporaryFolder(), "of somebody secret");
  cpSync(samples, folder, { recursive: true });
  return folder;
}

describe("a stream of files", () => {
  test("what goes well tells nothing: welcome, puzzles with recipes, counts, info", async () => {
    const folder = ownShards();
    const stream = await open({ source: folder, batch: 10, partitions: 1 });
    const found = await heard(stream, [get, { kind: "counts", id: 2 }, { kind: "poll", id: 3 }]);
    expect(found.errors).toEqual([]);
    expect(found.bytes).toContain("photos-00000");
    expectNothing(found, [folder, "somebody"]);
  });

  test.each([
    ["cut", (path: string) => truncateSync(path, 1_000)],
    [
      "overwritten",
      (path: string) => writeFileSync(path, Buffer.alloc(readFileSync(path).length, 7)),
    ],
  ])("shards that are %s after they were listed", async (_, harm) => {
    const folder = ownShards();
    const stream = await open({ source: folder, batch: 10, partitions: 1 });
    for (const name of readdirSync(folder)) if (name.endsWith(".tar")) harm(join(folder, name));
    const found = await heard(stream, [get]);
    expect(found.errors.length).toBeGreaterThan(0);
    expectNothing(found, [folder, "somebody"]);
  });

  test("images that can't be decoded: failed slots and the budget of skips", async () => {
    const folder = join(temporaryFolder(), "of somebody secret");
    mkdirSync(folder);
    for (let at = 0; at < 40; at++) writeFileSync(join(folder, `${at}.jpg`), `no image ${at}`);
    const stream = await open({ source: folder, batch: 4, partitions: 1 });
    const found = await heard(stream, [get]);
    expect(found.errors.map(({ code }) => code)).toContain("SLOT_FAILED");
    expectNothing(found, [folder, "somebody"]);
  });

  test("a cache that can't be written any more", async () => {
    const folder = temporaryFolder();
    const name = "photos-000000.tar";
    writeFileSync(join(folder, `${name}.gz`), gzipSync(readFileSync(join(samples, name))));
    const cache = join(temporaryFolder(), "cache of somebody");
    const options: Partial<StreamOptions> = { source: folder, batch: 10, partitions: 1, cache };
    const stream = await open(options);
    rmSync(cache, { recursive: true, force: true });
    rmSync(dirname(cache), { recursive: true, force: true });
    writeFileSync(dirname(cache), "no folder");
    onTestFinished(() => rmSync(dirname(cache), { force: true }));
    expectNothing(await heard(stream, [get]), [folder, cache, "somebody"]);
  });
});

describe("worker threads", () => {
  const faulty = new URL("../workers/faulty-worker.ts", import.meta.url);

  test("an entry that is not there", async () => {
    const workerEntry = new URL("nowhere.ts", import.meta.url);
    const found = await heard(await open({}, { workerEntry }), [get]);
    expect(found.errors).toMatchObject([{ code: "WORKER_DIED" }]);
    expectNothing(found, [dirname(fileURLToPath(workerEntry))]);
  });

  test.each(["exit", "start"])("threads that die: %s", async (kind) => {
    vi.stubEnv("SSL_R1_TEST_FAULT", JSON.stringify({ kind, step: 0, cell: 0 }));
    const found = await heard(
      await open({ seed: 21, batch: 16, partitions: 2 }, { workerEntry: faulty }),
      [get],
    );
    expect(found.errors).toMatchObject([{ code: "WORKER_DIED" }]);
    expectNothing(found, [dirname(fileURLToPath(faulty))]);
  });
});

describe("whatever a maker throws", () => {
  const folder = "/srv/lab-7/private set";
  const thrown = (error: unknown): CellMaker =>
    createFake({
      before: () => {
        throw error;
      },
    });

  test.each([
    new Error(`ENOENT: no such file or directory, open '${folder}/a.tar'`),
    Object.assign(new TypeError(`x is not a function at ${folder}/b.ts:1:2`), { path: folder }),
    folder,
    { toString: () => `${folder}/odd` },
    undefined,
  ])("a bug is told by a number alone, and logged with all there is: %s", async (error) => {
    const log: StreamError[] = [];
    const found = await heard(thrown(error), [get], log);
    expect(found.errors).toMatchObject([
      {
        code: "INTERNAL",
        message: expect.stringMatching(/^internal error [0-9a-f]{8};/) as string,
      },
    ]);
    expectNothing(found, ["/srv", "lab-7", "private"]);
    const [number] = /[0-9a-f]{8}/.exec(found.errors[0]!.message)!;
    expect(log).toHaveLength(1);
    expect(log[0]?.message).toContain(number);
    expect(log[0]?.cause).toBe(error);
  });

  test.each(errorCodes)("%s: its message without paths, its cause not at all", async (code) => {
    const cause = new Error(`${folder}/cause`);
    const message = `shard a/b.tar: can't read ${join(process.cwd(), "x y/c.tar")}: "${folder}/d.tar" and /srv/lab-7/e.tar, (/srv/lab-7/f.tar)`;
    const context = { path: `${folder}/context` };
    const found = await heard(
      thrown(new StreamError(code, message, { cause, context })),
      [get],
      [],
    );
    expect(found.errors).toHaveLength(1);
    expect(found.errors[0]?.code).toBe(code);
    if (code !== "INTERNAL")
      expect(found.errors[0]?.message).toBe(
        `shard a/b.tar: can't read x y/c.tar: "d.tar" and e.tar, (f.tar)`,
      );
    expectNothing(found, ["/srv", "lab-7", "private", "context", "cause"]);
  });

  test("a failed slot's reason, too", async () => {
    const fake = createFake();
    const failing: CellMaker = {
      info: () => fake.info(),
      counts: () => fake.counts(),
      async *cells(requests, options) {
        for await (const cell of fake.cells(requests, options)) {
          const error = { code: "SLOT_FAILED", message: `key 7: can't read ${folder}/a.tar` };
          const failed = cell.puzzles.map(({ slot, index, entry, task }) => {
            return { slot, index, entry, task, error };
          });
          yield { ...cell, puzzles: [], failed };
        }
      },
    };
    expectNothing(await heard(failing, [get]), ["/srv", "lab-7"]);
  });

  test("counts that fail, and info that fails at hello", async () => {
    const fail = (): never => {
      throw new Error(`${folder}/index.json: bad`);
    };
    const counts = await heard(createFake({ counted: fail }), [{ kind: "counts", id: 1 }]);
    expect(counts.errors).toMatchObject([{ code: "INTERNAL" }]);
    expectNothing(counts, ["/srv", "lab-7"]);
    const fake = createFake();
    const info = await heard({ ...fake, info: fail }, [get]);
    expect(info.errors).toMatchObject([{ code: "INTERNAL" }]);
    expectNothing(info, ["/srv", "lab-7"]);
  });
});

describe("paths in a text", () => {
  test.each([
    ["/a/b/c.tar: EACCES", "c.tar: EACCES"],
    ["can't open '/a b/c d.tar'", "can't open 'c d.tar'"],
    ["import file:///a/b.ts failed", "import b.ts failed"],
    [String.raw`C:\Users\me\x.tar is gone`, "x.tar is gone"],
    [`${homedir()}/my data/x.tar`, "my data/x.tar"],
    // What is no path of this machine stays.
    ["hf://datasets/a/b@main/c/d.parquet", "hf://datasets/a/b@main/c/d.parquet"],
    ["https://host/a/b.tar?x=y", "https://host/a/b.tar?x=y"],
    ["train/000.tar, key a/b/c", "train/000.tar, key a/b/c"],
    ["./a/b and ../c/d and ~/e", "./a/b and ../c/d and ~/e"],
    ["3/4 and / alone", "3/4 and / alone"],
    ["", ""],
  ])("%j", (text, clean) => {
    expect(withoutPaths(text)).toBe(clean);
  });
});
