/**
 * Megabytes of images per second out of a Parquet file, and the most memory a reader takes: `node bench/parquet.ts`. Rules: 3,000 images of 100 kB that do
 * not shrink, as JPEGs do not; written by datasets as it writes them (none: its own row groups of 100 MB) and by pyarrow (row groups of 1,000); file in the
 * page cache; one process a figure, which runs over the file three times; best of the three. pyarrow takes batches of 100 rows of the image column in one
 * thread and looks at the length of each image; it hands out views, this reader a copy of each image.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createNotebook } from "../src/shards/notes.ts";
import { fileBytes, openParquet } from "../src/shards/parquet.ts";

const CODECS = ["none", "snappy", "zstd", "gzip"];

const write = `
import os, random, sys
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = sys.argv[1]
import datasets, pyarrow.parquet as pq
datasets.disable_progress_bars()
features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
images = [{"bytes": random.randbytes(100_000), "path": f"{i:06}.jpg"} for i in range(3000)]
data = datasets.Dataset.from_dict({"image": images, "label": [0] * 3000}, features=features)
data.to_parquet(sys.argv[1] + "/none.parquet")
table = pq.read_table(sys.argv[1] + "/none.parquet")
for codec in sys.argv[2:]:
    pq.write_table(table, f"{sys.argv[1]}/{codec}.parquet", compression=codec, row_group_size=1000, use_dictionary=["label"])
`;

const read = `
import sys, time, resource, pyarrow.parquet as pq
best = 1e9
for _ in range(3):
    begun = time.perf_counter(); total = 0
    for batch in pq.ParquetFile(sys.argv[1]).iter_batches(batch_size=100, columns=["image"], use_threads=False):
        for value in batch.column(0).field("bytes"): total += len(value.as_buffer())
    best = min(best, time.perf_counter() - begun)
print(total / 1e6 / best, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
`;

async function readHere(path: string): Promise<string> {
  const feed = await openParquet("bench", await fileBytes(path, "bench"), {});
  let best = Infinity;
  let total = 0;
  for (let round = 0; round < 3; round++) {
    const begun = performance.now();
    total = 0;
    for await (const { bytes } of feed.rows(createNotebook(), new AbortController().signal))
      total += bytes.length;
    best = Math.min(best, performance.now() - begun);
  }
  return `${total / 1e3 / best} ${process.resourceUsage().maxRSS / 1024}`;
}

function main(): void {
  const python = fileURLToPath(new URL("../.venv/bin/python", import.meta.url));
  const folder = mkdtempSync(join(tmpdir(), "ssl-r1-bench-"));
  const run = (program: string, ...args: readonly string[]): string =>
    execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  const figures = (text: string): string => {
    const [speed, memory] = text.trim().split(" ").map(Number);
    return `${(speed ?? NaN).toFixed(0).padStart(6)} MB/s ${(memory ?? NaN).toFixed(0).padStart(5)} MiB`;
  };
  try {
    run(python, "-c", write, folder, ...CODECS.slice(1));
    for (const codec of CODECS) {
      const path = join(folder, `${codec}.parquet`);
      const here = figures(run(process.execPath, fileURLToPath(import.meta.url), path));
      const there = figures(run(python, "-c", read, path));
      console.log(`${codec.padEnd(7)} here ${here}   pyarrow ${there}`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const [path] = process.argv.slice(2);
if (path === undefined) main();
else console.log(await readHere(path));
