import { readFileSync } from "node:fs";
import fc from "fast-check";
import { StreamError } from "../../src/errors.ts";
import { createNotebook } from "../../src/shards/notes.ts";
import { openParquet, type RandomBytes } from "../../src/shards/parquet.ts";

/**
 * Reads damaged copies of the files named by its arguments, in a process of its own, so that its memory can be limited and measured. Prints how many were
 * read as they were before, read otherwise and refused, and the most memory taken (MiB). Dies of anything that is not an error of ours.
 */

const never = new AbortController().signal;
const [runs = "1000", ...files] = process.argv.slice(2);
const originals = files.map((file) => {
  const bytes = readFileSync(file);
  return { bytes, footer: bytes.length - 8 - bytes.readUInt32LE(bytes.length - 8) };
});
const counts = { same: 0, other: 0, refused: 0 };

/** In memory, never whole, in small pieces. */
function fileOf(bytes: Uint8Array): RandomBytes {
  return {
    size: bytes.length,
    read: (from, to) => Promise.resolve(bytes.slice(from, to)),
    async *stream(from, to) {
      for (let at = from; at < to; at += 700) yield bytes.slice(at, Math.min(to, at + 700));
    },
  };
}

/** All rows as one text; undefined where the file is refused. */
async function read(bytes: Uint8Array): Promise<string | undefined> {
  const rows: string[] = [];
  try {
    const feed = await openParquet("x", fileOf(bytes), { group: "n" }, never);
    for await (const row of feed.rows(createNotebook(), never))
      rows.push(row.key, row.group, row.name, Buffer.from(row.bytes).toString("base64"));
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    if (error.code === "SHARD_CORRUPT" || error.code === "SOURCE_EMPTY") return undefined;
    throw error;
  }
  return rows.join("\n");
}

const wanted = await Promise.all(originals.map(({ bytes }) => read(bytes)));

const change = fc.record({
  /** Place in what is damaged, as a fraction. */
  place: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  bytes: fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 1 }),
    fc.uint8Array({ minLength: 1, maxLength: 8 }),
    // numbers of many bytes
    fc.constantFrom(
      Uint8Array.of(255, 255, 255, 255, 15),
      Uint8Array.of(254, 255, 255, 255, 255, 255, 255, 255, 255, 1),
      Uint8Array.of(0x1c, 0x1c, 0x1c, 0x1c, 0x1c),
    ),
  ),
  kind: fc.constantFrom("set", "flip", "insert", "remove"),
});

function damaged(bytes: Buffer, from: number, to: number, changes: readonly Change[]): Buffer {
  let now: Buffer = Buffer.from(bytes);
  for (const { place, bytes: by, kind } of changes) {
    const at = Math.min(from + Math.floor(place * (to - from)), now.length);
    if (kind === "set") now.set(by.subarray(0, now.length - at), at);
    else if (kind === "flip") now[at] = (now[at] ?? 0) ^ (1 << ((by[0] as number) & 7));
    else
      now = Buffer.concat([
        now.subarray(0, at),
        kind === "insert" ? by : new Uint8Array(0),
        now.subarray(kind === "insert" ? at : at + by.length),
      ]);
  }
  return now;
}

interface Change {
  readonly place: number;
  readonly bytes: Uint8Array;
  readonly kind: string;
}

await fc.assert(
  fc.asyncProperty(
    fc.nat(originals.length - 1),
    fc.boolean(),
    fc.array(change, { minLength: 1, maxLength: 3 }),
    async (number, inFooter, changes) => {
      const { bytes, footer } = originals[number] as (typeof originals)[number];
      const end = bytes.length - 8;
      const found = inFooter
        ? await read(damaged(bytes, footer, end, changes))
        : await read(damaged(bytes, 4, footer, changes));
      if (found === undefined) counts.refused++;
      else if (found === wanted[number]) counts.same++;
      else counts.other++;
      // pages have checksums, the footer has none: names and row counts may become others
      return inFooter || found === undefined || found === wanted[number];
    },
  ),
  { numRuns: Number(runs), seed: 4 },
);
console.log(JSON.stringify({ ...counts, memory: process.resourceUsage().maxRSS / 1024 }));
