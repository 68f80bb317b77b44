import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { inspectSource, type InspectLine } from "../../src/sources/inspect.ts";
import { openSource } from "../../src/sources/open.ts";
import { sniff } from "../../src/sources/sniff.ts";
import { collect, noise, openDescriptors, temporaryFolder } from "../fixtures/files.ts";
import { endOfArchive, entry, join as joinBytes, rawMember, tarOf } from "../fixtures/tar.ts";

const picture = sharp({ create: { width: 37, height: 21, channels: 3, background: "#a05" } });
const made = {
  jpeg: await picture.clone().jpeg().toBuffer(),
  progressive: await picture.clone().jpeg({ progressive: true }).withMetadata().toBuffer(),
  png: await picture.clone().png().toBuffer(),
  gif: await picture.clone().gif().toBuffer(),
  lossy: await picture.clone().webp().toBuffer(),
  lossless: await picture.clone().webp({ lossless: true }).toBuffer(),
  alpha: await picture.clone().ensureAlpha(0.5).webp().toBuffer(),
  avif: await picture.clone().avif({ effort: 0 }).toBuffer(),
  tiff: await picture.clone().tiff().toBuffer(),
};

async function inspect(address: string, samples: boolean): Promise<InspectLine[]> {
  return collect(inspectSource(await openSource(address), { samples }));
}

describe("the first bytes", () => {
  const size = { width: 37, height: 21 };

  test.each([
    ["jpeg", { format: "jpeg", ...size }],
    ["progressive", { format: "jpeg", ...size }],
    ["png", { format: "png", ...size }],
    ["gif", { format: "gif", ...size }],
    ["lossy", { format: "webp", ...size }],
    ["lossless", { format: "webp", ...size }],
    ["alpha", { format: "webp", ...size }],
    ["avif", { format: "avif" }],
    ["tiff", { format: "tiff" }],
  ] as const)("%s, also as a view with an offset", (name, expected) => {
    const bytes = made[name];
    expect(sniff(bytes)).toEqual(expected);
    expect(sniff(joinBytes([noise(13, 1), bytes]).subarray(13))).toEqual(expected);
  });

  test("cut or spoilt anywhere, they never throw", () => {
    for (const bytes of Object.values(made)) {
      for (let end = 0; end < Math.min(bytes.length, 200); end++)
        expect(sniff(bytes.subarray(0, end)).format).toBeTypeOf("string");
      for (let at = 0; at < Math.min(bytes.length, 200); at++) {
        const spoilt = Uint8Array.from(bytes);
        spoilt[at] = 0xff;
        expect(sniff(spoilt).format).toBeTypeOf("string");
      }
    }
    expect(sniff(Buffer.from("<html>"))).toEqual({ format: "unknown" });
  });
});

describe("a report", () => {
  const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

  test("of every sample, in catalog order, formats by contents", async () => {
    const archive = tarOf([
      entry("b.jpg", made.png),
      entry("b.json", "{}"),
      entry("a.webp", made.lossy),
      entry("x.txt"),
    ]);
    const folder = temporaryFolder({ "1.tar": tarOf([]), "0.tar": archive });
    expect(await inspect(folder, true)).toEqual([
      { shard: "0.tar", rows: 2, bytes: archive.length, skipped: { "no image": 1 } },
      {
        shard: "0.tar",
        key: "b",
        image: "b.jpg",
        bytes: made.png.length,
        sha256: sha256(made.png),
      },
      {
        shard: "0.tar",
        key: "a",
        image: "a.webp",
        bytes: made.lossy.length,
        sha256: sha256(made.lossy),
      },
      { shard: "1.tar", rows: 0, bytes: 1_024, skipped: {} },
      {
        summary: true,
        shards: 2,
        samples: 2,
        bytes: archive.length + 1_024,
        looked: 2,
        formats: { png: 1, webp: 1 },
        width: { min: 37, median: 37, max: 37 },
        height: { min: 21, median: 21, max: 21 },
        problems: 0,
      },
    ]);
  });

  test("goes on after a damaged shard, and names it with the offset", async () => {
    const good = tarOf([entry("a.jpg", made.jpeg)]);
    const linked = joinBytes([
      rawMember({ name: "l.jpg", type: "2" }),
      rawMember({ name: "b.jpg" }, "not an image"),
      endOfArchive,
    ]);
    const folder = temporaryFolder({
      "0.tar": good.subarray(0, 700),
      "1.tar": good,
      "2.tar": linked,
      "3.tar": good,
    });
    const lines = await inspect(folder, false);
    expect(lines).toMatchObject([
      { problem: "shard", shard: "0.tar", offset: 0, reason: expect.stringContaining("truncated") },
      { shard: "1.tar", rows: 1 },
      { shard: "2.tar", rows: 1, skipped: { link: 1 } },
      { problem: "member", shard: "2.tar", key: "l.jpg", offset: 0, reason: "link" },
      { shard: "3.tar", rows: 1, skipped: {} },
      {
        summary: true,
        shards: 4,
        samples: 3,
        looked: 3,
        formats: { jpeg: 2, unknown: 1 },
        problems: 2,
      },
    ]);
    expect(openDescriptors(folder)).toBe(0);
  });

  test("of a folder that loses a file meanwhile", async () => {
    const folder = temporaryFolder({ "a.jpg": made.jpeg, "b.jpg": made.jpeg });
    const lines: InspectLine[] = [];
    for await (const line of inspectSource(await openSource(folder), { samples: true })) {
      lines.push(line);
      if ("rows" in line) rmSync(join(folder, "a.jpg"));
    }
    expect(lines).toMatchObject([
      { rows: 2 },
      { problem: "sample", shard: "folder", key: "a.jpg" },
      { key: "b" },
      { samples: 2, looked: 1, problems: 1 },
    ]);
  });

  test("without samples looks at 64 rows of a shard, evenly; the median is of those", async () => {
    const wide = await sharp({
      create: { width: 500, height: 10, channels: 3, background: "#000" },
    })
      .png()
      .toBuffer();
    const folder = temporaryFolder({
      "0.tar": tarOf(
        Array.from({ length: 200 }, (_, i) => entry(`${i}.png`, i < 120 ? made.png : wide)),
      ),
    });
    const summary = (await inspect(folder, false)).at(-1);
    expect(summary).toMatchObject({
      samples: 200,
      looked: 64,
      width: { min: 37, median: 37, max: 500 },
    });
    expect((await inspect(folder, true)).at(-1)).toMatchObject({ looked: 200 });
  });

  test("broken off or given up, it closes what it opened", async () => {
    const folder = temporaryFolder({ "0.tar": tarOf([entry("a.jpg", made.jpeg)]) });
    for await (const line of inspectSource(await openSource(folder), { samples: true }))
      if ("sha256" in line) break;
    expect(openDescriptors(folder)).toBe(0);
    const abort = new AbortController();
    const lines = inspectSource(await openSource(folder), { samples: true, signal: abort.signal });
    await lines.next();
    abort.abort();
    await expect(collect(lines)).rejects.toMatchObject({ code: "ABORTED" });
    expect(openDescriptors(folder)).toBe(0);
  });
});
