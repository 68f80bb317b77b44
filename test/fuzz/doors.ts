/** Everything that takes bytes of strangers, with what it may answer. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { parse as parseYaml } from "yaml";
import type { Chance } from "../chaos/chance.ts";
import { root } from "../fixtures/serve.ts";
import { entry, tarOf } from "../fixtures/tar.ts";
import { StreamError, type ErrorCode } from "../../src/errors.ts";
import { resolveStreamOptions } from "../../src/options.ts";
import { score } from "../../src/rewards/score.ts";
import { fromBytes } from "../../src/shards/bytes.ts";
import { decompress } from "../../src/shards/decompress.ts";
import { createNotebook } from "../../src/shards/notes.ts";
import { openParquet, type RandomBytes } from "../../src/shards/parquet.ts";
import { tarFeed } from "../../src/shards/tar-feed.ts";
import { readCounts } from "../../src/sources/counts.ts";
import { createHubApi } from "../../src/sources/hub-api.ts";
import { openTar } from "../../src/sources/tar-shard.ts";
import { unpackMeta } from "../../src/transport/codec.ts";
import { createReader, MAX_FRAME_BYTES } from "../../src/transport/frame.ts";
import { readClientMessage, readServerMessage } from "../../src/transport/messages.ts";
import { stepOf } from "../../src/transport/state.ts";
import { parquet, page, plain } from "../shards/parquet-craft.ts";
import { stored } from "./corpus.ts";
import { imageDoor } from "./image-door.ts";
import type { Door } from "./loop.ts";

const never = new AbortController().signal;
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8");

/** The code of what it throws, undefined where it does not. Throws what is no error of ours, and codes beyond those allowed. */
async function answer(
  work: () => unknown,
  ...allowed: readonly ErrorCode[]
): Promise<ErrorCode | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    if (error instanceof StreamError && allowed.includes(error.code)) return error.code;
    throw error;
  }
}

function differ(what: string, one: unknown, other: unknown): void {
  const [a, b] = [JSON.stringify(one), JSON.stringify(other)];
  if (a !== b) throw new Error(`${what}: ${a?.slice(0, 300)} or ${b?.slice(0, 300)}`);
}

interface Vector {
  readonly hex: string;
}

const vectors = (): readonly Uint8Array[] =>
  ["messages", "bad", "digest"].flatMap((name) => {
    const file = join(root, "test", "vectors", "protocol", `${name}.json`);
    const all = JSON.parse(readFileSync(file, "utf8")) as readonly Vector[];
    return all.map(({ hex }) => Buffer.from(hex, "hex"));
  });

/** Lengths in the prefix made right, so that what is behind them is looked at. */
function fitting(bytes: Uint8Array, chance: Chance): Uint8Array {
  if (bytes.length < 17 || chance.happens(0.4)) return bytes;
  const made = Buffer.from(bytes);
  const meta = Math.min(made.readUInt32BE(8) || 1, made.length - 16);
  made.writeUInt32BE(meta, 8);
  made.writeUInt32BE(made.length - 16 - meta, 12);
  return made;
}

const wire: Door = {
  name: "wire",
  most: 20_000,
  seeds: vectors,
  async take(input, chance) {
    const bytes = fitting(input, chance);
    for (const read of [readClientMessage, readServerMessage]) {
      const limit = chance.one([65_536, 1 << 20, MAX_FRAME_BYTES]);
      const parse = async (size: number): Promise<unknown> => {
        const found: unknown[] = [];
        const reader = createReader(limit, (length) => new Uint8Array(Math.min(length, limit)));
        const code = await answer(
          () => {
            for (let at = 0; at < bytes.length; at += size)
              for (const frame of reader.push(bytes.subarray(at, at + size)))
                found.push(read(frame));
          },
          "BAD_FRAME",
          "PROTOCOL",
          "FRAME_TOO_LARGE",
        );
        return [found, code];
      };
      differ("in pieces", await parse(1 + chance.below(40)), await parse(bytes.length || 1));
    }
  },
};

const msgpack: Door = {
  name: "msgpack",
  most: 4_000,
  seeds: () => vectors().map((bytes) => bytes.subarray(16)),
  async take(input) {
    const code = await answer(() => {
      const meta = unpackMeta(input);
      if (Object.getPrototypeOf(meta) !== Object.prototype) throw new Error("another prototype");
      JSON.stringify(meta);
    }, "BAD_FRAME");
    if (code === undefined && ({} as { polluted?: unknown }).polluted !== undefined)
      throw new Error("the prototype of all objects was changed");
  },
  words: ["\u00a9__proto__\u0081\u00a8polluted\u0001", "\u00ab__proto__"],
};

const photo = (): Uint8Array =>
  readFileSync(join(root, "test", "vectors", "decode", "jpeg-gray.jpg"));

const tars = (): readonly Uint8Array[] => [
  tarOf([
    entry("a.jpg", photo().subarray(0, 700)),
    entry("a.json", '{"photo": "x"}'),
    entry("b/c.d.png", "1"),
  ]),
  readFileSync(join(root, "shards", "photos-000000.tar")).subarray(0, 40_000),
  tarOf([]),
];

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** A header whose checksum is right is looked at further. */
function summed(bytes: Uint8Array, chance: Chance): Uint8Array {
  if (chance.happens(0.2)) return bytes;
  const made = Buffer.from(bytes);
  for (let at = 0; at + 512 <= made.length; at += 512) {
    if (made.toString("latin1", at + 257, at + 262) !== "ustar") continue;
    made.fill(32, at + 148, at + 156);
    const sum = made.subarray(at, at + 512).reduce((all, byte) => all + byte, 0);
    made.write(`${sum.toString(8).padStart(6, "0")}\0 `, at + 148, "latin1");
  }
  return made;
}

const shardCodes = ["SHARD_CORRUPT", "SOURCE_EMPTY"] as const;

const tarDoor: Door = {
  name: "tar",
  most: 60_000,
  seeds: tars,
  words: ["ustar\0", "30 path=a.jpg\n", "19 size=99999999999\n", "12 path=..\n", "././@LongLink"],
  async take(input, chance) {
    const bytes = summed(input, chance);
    const placed: unknown[] = [];
    const code = await answer(
      async () => {
        const shard = await openTar(fromBytes(bytes, "x.tar"), "x.tar", { group: "photo" });
        for (let row = 0; row < shard.rows; row++) {
          const { key, group, name, bytes: image } = await shard.read(row);
          placed.push([key, group, name, image.length]);
        }
        await shard.close();
      },
      ...shardCodes,
    );
    // What comes as a stream has the same rows as the same tar in a file.
    const passing: unknown[] = [];
    const other = await answer(
      async () => {
        const feed = tarFeed("x.tar", () => inPieces(bytes, 1 + chance.below(3_000)), {
          group: "photo",
        });
        for await (const { key, group, name, bytes: image } of feed.rows(createNotebook(), never))
          passing.push([key, group, name, image.length]);
      },
      ...shardCodes,
    );
    if (code === undefined && other === undefined) differ("as a stream", placed, passing);
    // A packed one is another door.
    else if (
      code !== other &&
      !/^(1f8b08|28b52ffd|5.2a4d18|425a68|fd377a|0422)/.test(
        Buffer.from(bytes.subarray(0, 4)).toString("hex"),
      )
    )
      differ("the refusal of a stream", code, other);
  },
};

const packed: Door = {
  name: "gzip and zstd",
  most: 8_000,
  seeds: () => {
    const [small = new Uint8Array(0)] = tars();
    const gz = gzipSync(small);
    const zst = zstdCompressSync(small);
    return [
      gz,
      zst,
      Buffer.concat([gz, gz]),
      Buffer.concat([zst, zst]),
      gzipSync(Buffer.alloc(200_000)),
    ];
  },
  take: async (input, chance) =>
    void (await answer(async () => {
      let length = 0;
      for await (const piece of decompress(inPieces(input, 1 + chance.below(600)), "x.gz")) {
        length += piece.length;
        if (length > 20e6) break;
      }
    }, "SHARD_CORRUPT")),
};

/** In memory, never whole. */
const fileOf = (bytes: Uint8Array): RandomBytes => ({
  size: bytes.length,
  read: (from, to) => Promise.resolve(bytes.slice(from, to)),
  stream: (from, to) => inPieces(bytes.slice(from, to), 700),
});

/** The length of the footer made right, so that the footer is looked at. */
function footed(bytes: Uint8Array, chance: Chance, length: number): Uint8Array {
  if (bytes.length < 16 || chance.happens(0.2)) return bytes;
  const made = Buffer.from(bytes);
  made.write("PAR1", 0, "latin1");
  made.write("PAR1", made.length - 4, "latin1");
  if (made.readUInt32LE(made.length - 8) > made.length - 12)
    made.writeUInt32LE(Math.min(length, made.length - 12), made.length - 8);
  return made;
}

const parquetDoor: Door = {
  name: "parquet",
  most: 20_000,
  seeds: () => {
    const dictionary = [
      page(plain("a", "bc"), { kind: 2, values: 2 }),
      page([1, 6, 1, 2, 0], { values: 4, encoding: 8 }),
    ];
    const folder = join(root, "test", "vectors", "parquet");
    return [
      parquet([page(plain("abc"))]),
      parquet(dictionary, { rows: 4 }),
      parquet([page([2, 0, 0, 0, 6, 0], { values: 3 })], { rows: 3, repetition: 1 }),
      ...(statSync(folder, { throwIfNoEntry: false })
        ? readdirSync(folder).map((name) => readFileSync(join(folder, name)))
        : []),
    ];
  },
  take: async (input, chance) =>
    void (await answer(
      async () => {
        const bytes = footed(input, chance, 60 + chance.below(400));
        const feed = await openParquet("x", fileOf(bytes), { group: "n" }, never);
        for await (const row of feed.rows(createNotebook(), never)) row.bytes.fill(0);
      },
      ...shardCodes,
    )),
};

const listing = JSON.stringify([
  { type: "file", oid: "a".repeat(40), size: 5, path: "a/b.tar" },
  {
    type: "file",
    oid: "b".repeat(40),
    size: 7,
    path: "c.tar",
    lfs: { oid: "c".repeat(64), size: 7, pointerSize: 130 },
  },
  { type: "directory", oid: "d".repeat(40), size: 0, path: "a" },
]);
const info = JSON.stringify({
  id: "me/x",
  sha: "a".repeat(40),
  private: false,
  gated: false,
  downloads: 1,
  likes: 0,
  lastModified: "2024-01-01T00:00:00.000Z",
  cardData: { configs: [{ config_name: "a", data_files: [{ split: "train", path: "a/*.tar" }] }] },
});

const hub: Door = {
  name: "hub",
  most: 4_000,
  seeds: () => [listing, info, "[]", "{}", "null", "[null]"].map((one) => Buffer.from(one)),
  words: ["null", "true", "-1", "1e999", "{}", "[]", '"lfs":', '"path":', '"../x"', "\\ud800"],
  async take(input, chance) {
    const headers = {
      "content-type": "application/json",
      ...(chance.happens(0.2) && {
        link: `<${text(input).replaceAll(/[^\x20-\x7e]/g, "")}>; rel="next"`,
      }),
    };
    let asked = 0;
    const net = {
      // A listing that goes on for ever is the Hub's right; here it ends.
      fetch: () =>
        Promise.resolve(
          ++asked > 3 ? new Response("[]") : new Response(Buffer.from(input), { headers }),
        ),
    };
    const api = createHubApi("me/x", {
      net: net as unknown as Parameters<typeof createHubApi>[1]["net"],
      endpoint: "http://127.0.0.1:1",
      token: false,
      signal: never,
    });
    const codes = ["NETWORK", "SOURCE_NOT_FOUND", "UNAUTHORIZED", "BAD_OPTION"] as const;
    await answer(() => api.commit("main"), ...codes);
    asked = 0;
    await answer(
      async () => {
        for await (const { path, size } of api.files("a".repeat(40), ""))
          if (typeof path !== "string" || !Number.isSafeInteger(size)) throw new Error("no file");
      },
      ...codes,
    );
    await answer(() => api.find("a".repeat(40), ["a/b.tar"]), ...codes);
  },
};

/** What JSON or YAML makes of it; undefined where it is none. */
function parsed(input: Uint8Array, chance: Chance): unknown {
  try {
    return chance.happens(0.5)
      ? JSON.parse(text(input))
      : parseYaml(text(input), { logLevel: "silent" });
  } catch {
    return undefined;
  }
}

const options: Door = {
  name: "options",
  most: 2_000,
  seeds: () =>
    [
      { source: "x", seed: 7, batch: 10, partitions: 5, entries: ["rotation*2", "ordering:2x2"] },
      {
        source: ["x", "y"],
        weights: [1, 2],
        entries: [{ task: "inpainting", weight: 3, options: {} }],
      },
      { source: "x", templates: { rotation: ["{question}"] }, maxPixels: 30_000, cacheSize: "1GB" },
    ].map((one) => Buffer.from(JSON.stringify(one))),
  words: [
    "entries",
    "rotation",
    "!!binary",
    "&a",
    "*a",
    "<<:",
    "null",
    "1e400",
    "__proto__",
    "-",
    ": ",
  ],
  take: async (input, chance) =>
    void (await answer(() => {
      const given = parsed(input, chance);
      if (typeof given === "object" && given !== null)
        resolveStreamOptions({ source: "x", ...given });
    }, "BAD_OPTION")),
};

const files: Door = {
  name: "counts and states",
  most: 2_000,
  seeds: () => [
    Buffer.from(
      JSON.stringify({ version: 1, image: null, shards: [{ name: "a", size: 3, rows: 2 }] }),
    ),
    Buffer.from(
      JSON.stringify({
        ssl_r1: 1,
        step: 3,
        fingerprint: "sha256:0",
        log: { length: 0, hash: "sha256:1" },
        stream: {
          version: 1,
          seed: 7,
          batch: 4,
          partitions: 1,
          shards: 3,
          identity: { plan: "a" },
        },
      }),
    ),
  ],
  words: ["null", "[]", "{}", "-1", "1e99", '"shards":', '"identity":'],
  async take(input, chance) {
    const given = parsed(input, chance);
    const shards = [{ name: "a", size: 3 }];
    const list = Object.assign(shards, { at: (index: number) => shards[index] });
    await answer(() => readCounts(given as never, list, undefined), "BAD_OPTION");
    const stream = { version: 1, fingerprint: "sha256:0", seed: 7, batch: 4, partitions: 1 };
    const known = {
      ...stream,
      identity: {},
      entries: [],
      shards: 3,
      samples: 0,
      counted: true,
      steps: null,
      skipped: {},
    };
    await answer(() => stepOf(given, known), "BAD_OPTION", "OTHER_STREAM");
  },
};

const rewards: Door = {
  name: "rewards",
  most: 3_000,
  seeds: () =>
    [
      "<think>a</think>\\boxed{90}",
      "\\boxed{\\text{B}}",
      "\\boxed{2, 3, 1}",
      "\\boxed{[2,\u30013]}",
      "<think></think> \\boxed{{A}}",
    ].map((one) => Buffer.from(one)),
  words: [
    "\\boxed{",
    "}",
    "{",
    "<think>",
    "</think>",
    "\\text{",
    "$",
    "90",
    "C",
    ", ",
    "\u3000",
    "\uff19",
  ],
  take(input, chance) {
    const answer = chance.one(["90", "C", "2, 3, 1"]);
    const { accuracy, format, total } = score(text(input), answer, {
      thinkOpened: chance.happens(0.3),
    });
    for (const [name, value] of Object.entries({ accuracy, format, total }))
      if (!Number.isFinite(value) || value < 0 || value > 2) throw new Error(`${name} is ${value}`);
  },
};

export const doors: readonly Door[] = [
  wire,
  msgpack,
  tarDoor,
  packed,
  parquetDoor,
  hub,
  options,
  files,
  rewards,
  imageDoor,
].map((door) => ({ ...door, seeds: () => [...door.seeds(), ...stored(door.name)] }));
