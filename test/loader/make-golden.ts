/** Writes golden.json anew: only with a line under STREAM in CHANGELOG.md. Run: node test/loader/make-golden.ts */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { batchDigest } from "../../src/digest.ts";
import { createStream } from "../../src/loader.ts";

const file = new URL("golden.json", import.meta.url);
const { note } = JSON.parse(readFileSync(file, "utf8")) as { note: string };
const source = fileURLToPath(new URL("../../shards", import.meta.url));
const streams: object[] = [];
for (const preset of ["robust", "paper"] as const)
  for (const order of ["independent", "shared"] as const) {
    const stream = await createStream({ source, seed: 7, batch: 40, preset, order });
    const digests: string[] = [];
    for await (const batch of stream.batches({ steps: [0, 1, 2, 3] }))
      digests.push(batchDigest(batch));
    streams.push({ preset, order, fingerprint: stream.info().fingerprint, digests });
    await stream.close();
  }
writeFileSync(file, `${JSON.stringify({ note, streams }, null, 2)}\n`);
