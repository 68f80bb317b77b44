import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { StreamError } from "../../src/errors.ts";
import type { Net } from "../../src/net/net.ts";
import type { Row, RowOptions } from "../../src/shards/feed.ts";
import { createNotebook, type Notes } from "../../src/shards/notes.ts";
import { unlz4, unsnappy } from "../../src/shards/parquet-blocks.ts";
import { fileBytes, openParquet, type RandomBytes } from "../../src/shards/parquet.ts";
import { openDescriptors, output } from "../fixtures/files.ts";

/** What make_parquet.py says of a file that pyarrow, datasets or pandas wrote. */
interface Case {
  readonly file: string;
  readonly options: RowOptions;
  readonly rows: readonly {
    readonly key: string;
    readonly group: string;
    readonly name: string;
    readonly sha256: string | null;
  }[];
  readonly further: number;
  readonly problems: number;
}

let folder: string;
let cases: readonly Case[];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ssl-r1-"));
  const python = fileURLToPath(new URL("../../.venv/bin/python", import.meta.url));
  const script = fileURLToPath(new URL("make_parquet.py", import.meta.url));
  output(python, [script, folder]);
  cases = JSON.parse(readFileSync(join(folder, "expected.json"), "utf8")) as Case[];
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const never = new AbortController().signal;

async function readAll(
  file: RandomBytes,
  options: RowOptions = {},
): Promise<{ count: number | undefined; rows: Row[]; notes: Notes }> {
  const feed = await openParquet("x.parquet", file, options, never);
  const notes = createNotebook();
  const rows: Row[] = [];
  for await (const row of feed.rows(notes, never)) rows.push(row);
  return { count: feed.count, rows, notes };
}

function hashed({ key, group, name, bytes }: Row): Case["rows"][number] {
  const sha256 = bytes.length > 0 ? createHash("sha256").update(bytes).digest("hex") : null;
  return { key, group, name, sha256 };
}

function inFolder(file: string): Promise<RandomBytes> {
  return fileBytes(join(folder, file), "x.parquet");
}

/** Counts requests; pieces have `piece` bytes and lie within others, as they do where a socket is read. */
function counted(file: RandomBytes, piece: number): RandomBytes & { requests: string[] } {
  const requests: string[] = [];
  const view = (bytes: Uint8Array): Uint8Array => {
    const larger = Buffer.alloc(bytes.length + 14, 0xff);
    larger.set(bytes, 7);
    return larger.subarray(7, 7 + bytes.length);
  };
  return {
    requests,
    size: file.size,
    async read(from, to, signal) {
      requests.push(`${from}-${to}`);
      return view(await file.read(from, to, signal));
    },
    async *stream(from, to, signal) {
      requests.push(`${from}-${to}`);
      const all = await file.read(from, to, signal);
      for (let at = 0; at < all.length; at += piece) yield view(all.subarray(at, at + piece));
    },
  };
}

describe("files of other programs", () => {
  test("have the rows that pyarrow reads, whatever their pages, codecs and columns", async () => {
    expect(cases.length).toBeGreaterThan(70);
    for (const { file, options, rows, further, problems } of cases) {
      const found = await readAll(await inFolder(file), options);
      const label = `${file} ${JSON.stringify(options)}`;
      expect(found.rows.map(hashed), label).toEqual(rows);
      expect(found.count, label).toBe(rows.length);
      expect(found.notes.skipped["further image"] ?? 0, label).toBe(further);
      expect(found.notes.problems.length, label).toBe(Math.min(problems, 100));
    }
  });

  test("cost two requests, three where the footer is large, whatever the pieces that come", async () => {
    for (const { file, options, rows } of cases) {
      const bytes = await inFolder(file);
      const source = counted(bytes, 1 + (bytes.size % 1777));
      const found = await readAll(source, options);
      expect(found.rows.map(hashed), file).toEqual(rows);
      const small = bytes.size <= 1 << 18;
      const largeFooter = file === "many-columns.parquet" || file === "large-footer.parquet";
      expect(source.requests.length, file).toBe(small ? 1 : largeFooter ? 3 : 2);
    }
  });

  test("rows without an image say why", async () => {
    const path = await readAll(await inFolder("paths-only.parquet"));
    expect(path.notes.problems[0]).toEqual({
      shard: "x.parquet",
      key: expect.stringMatching(/photo000$/) as string,
      reason: "the row has a path instead of an image: write the file with the images in it",
    });
    const list = await readAll(await inFolder("list.parquet"));
    const reason = "the row has no image";
    expect(list.notes.problems[0]).toEqual({ shard: "x.parquet", key: "row 1", reason });
  });

  test("images lie in memory of their own", async () => {
    for (const file of ["datasets-none.parquet", "datasets-zstd.parquet", "large.parquet"])
      for (const { bytes } of (await readAll(await inFolder(file))).rows) {
        expect(Buffer.isBuffer(bytes)).toBe(false);
        expect(bytes.buffer.byteLength).toBe(bytes.length);
      }
  });

  test("columns that are not needed are not asked for, where they lie outside", async () => {
    const source = counted(await inFolder("large.parquet"), 1 << 16);
    const feed = await openParquet("x.parquet", source, { image: "image.bytes" }, never);
    const rows = feed.rows(createNotebook(), never)[Symbol.asyncIterator]();
    await rows.next();
    await rows.return?.();
    const [from, to] = (source.requests[1] as string).split("-").map(Number);
    expect(from).toBe(4);
    expect(to).toBeLessThan(source.size - 100);
  });
});

describe("a download", () => {
  test("is a file", async () => {
    const local = await inFolder("large.parquet");
    const asked: string[] = [];
    const net: Pick<Net, "download"> = {
      download(url, known, { from = 0, to = local.size, signal }) {
        asked.push(`${url} ${known.size} ${from}-${to}`);
        return local.stream(from, to, signal);
      },
    };
    const known = { size: local.size };
    const url = "https://example.org/large.parquet";
    const remote: RandomBytes = {
      size: known.size,
      async read(from, to, signal) {
        const pieces: Uint8Array[] = [];
        for await (const piece of net.download(url, known, { from, to, signal }))
          pieces.push(piece);
        return Buffer.concat(pieces);
      },
      stream: (from, to, signal) => net.download(url, known, { from, to, signal }),
    };
    const { rows } = await readAll(remote);
    expect(rows.map(hashed)).toEqual((await readAll(local)).rows.map(hashed));
    expect(asked.length).toBe(2);
  });
});

describe("giving up", () => {
  test("closes the file: breaking off, an abort, a second run", async () => {
    const feed = await openParquet("x.parquet", await inFolder("large.parquet"), {}, never);
    for (let i = 0; i < 3; i++) {
      for await (const row of feed.rows(createNotebook(), never)) {
        expect(row.key).toBe("0");
        break;
      }
    }
    expect(openDescriptors(folder)).toBe(0);
    const stop = new AbortController();
    const rows = feed.rows(createNotebook(), stop.signal)[Symbol.asyncIterator]();
    await rows.next();
    stop.abort();
    await expect(rows.next()).rejects.toMatchObject({ code: "ABORTED" });
    expect(openDescriptors(folder)).toBe(0);
    await expect(
      openParquet("x.parquet", await inFolder("large.parquet"), {}, stop.signal),
    ).rejects.toMatchObject({
      code: "ABORTED",
    });
  });
});

describe("what can't be read", () => {
  async function failure(file: RandomBytes, options: RowOptions = {}): Promise<StreamError> {
    const error: unknown = await readAll(file, options).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (error instanceof StreamError) return error;
    throw new Error(`expected a StreamError, got ${String(error)}`);
  }

  test("an image column that is none names those there are", async () => {
    const file = await inFolder("webdataset-string.parquet");
    const error = await failure(file, { image: "png" });
    expect(error.code).toBe("BAD_OPTION");
    expect(error.message).toBe(
      "x.parquet: image: png is no column with images; the columns are jpg, json, __key__, __url__",
    );
    expect((await failure(file, { image: "__key__" })).code).toBe("BAD_OPTION");
  });

  test("a file without images, another kind of file, no file", async () => {
    const table = await inFolder("no-image.parquet");
    const error = await failure(table);
    expect(error.code).toBe("SOURCE_EMPTY");
    expect(error.message).toMatch(/columns are text, number$/);
    expect((await failure(await inFolder("sound-only.parquet"))).code).toBe("SOURCE_EMPTY");
    await expect(inFolder("nothing.parquet")).rejects.toMatchObject({ code: "SOURCE_NOT_FOUND" });
  });

  test("encrypted files say so", async () => {
    for (const file of ["encrypted.parquet", "encrypted-plain-footer.parquet"]) {
      const error = await failure(await inFolder(file));
      expect(error.code).toBe("SHARD_CORRUPT");
      expect(error.message).toMatch(/^x\.parquet: .*encrypted.* at byte \d+$/);
    }
  });
});

test("Snappy and LZ4 are undone as Arrow does them, and never give another size", () => {
  const vectors = JSON.parse(readFileSync(join(folder, "blocks.json"), "utf8")) as readonly {
    readonly codec: string;
    readonly size: number;
    readonly sha256: string;
    readonly input: string;
  }[];
  expect(vectors.length).toBe(16);
  for (const { codec, size, sha256, input } of vectors) {
    const undo = codec === "snappy" ? unsnappy : unlz4;
    const bytes = new Uint8Array(Buffer.from(input, "base64"));
    expect(createHash("sha256").update(undo(bytes, size)).digest("hex")).toBe(sha256);
    if (size > 0) {
      expect(() => undo(bytes, size - 1)).toThrow();
      expect(() => undo(bytes, size + 1)).toThrow();
      expect(() => undo(bytes.subarray(0, -1), size)).toThrow();
    }
    fc.assert(
      fc.property(fc.nat(bytes.length), fc.nat(255), (at, value) => {
        const damaged = bytes.slice();
        damaged[at] = value;
        try {
          expect(undo(damaged, size).length).toBe(size);
        } catch (error) {
          expect((error as Error).constructor).toBe(Error);
        }
      }),
      { numRuns: 50 },
    );
  }
});

test("damaged anywhere, a file is read as it was or refused, in little memory", () => {
  const script = fileURLToPath(new URL("parquet-hostile.ts", import.meta.url));
  const files = readdirSync(folder).filter((name) => name.startsWith("hostile-"));
  expect(files.length).toBe(36);
  const paths = files.map((name) => join(folder, name));
  const found: unknown = JSON.parse(
    output(process.execPath, ["--max-old-space-size=96", script, "3000", ...paths]),
  );
  expect(found).toMatchObject({
    same: expect.any(Number) as number,
    refused: expect.any(Number) as number,
  });
  const { refused, memory } = found as { refused: number; memory: number };
  expect(refused).toBeGreaterThan(1500);
  expect(memory).toBeLessThan(400);
});
