/** Made-up catalogs for bench/scale.ts: nothing of them is ever read but names, sizes and counts. */
import { createHash } from "node:crypto";
import { derive } from "../src/random/random.ts";

export interface MadeShard {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly hash: string;
  readonly rows: number;
}

/** Bytes of an image with its headers. */
const IMAGE = 100_000;

/**
 * 10,000 rows each, with a spread of 2,000 (a sum of twelve uniform numbers, so nearly normal); one shard in a hundred is the rest of something and holds 1 to
 * 10,000. Images take 100 kB, give or take 10 % from shard to shard.
 */
export function madeShards(count: number, form: "tar" | "parquet", seed = 5): MadeShard[] {
  const random = derive(seed, "made");
  const digits = (value: number): string => String(value).padStart(6, "0");
  return Array.from({ length: count }, (_, shard) => {
    let spread = -6;
    for (let draw = 0; draw < 12; draw++) spread += random.unit();
    const rows = random.chance(0.01)
      ? random.between(1, 10_000)
      : Math.max(1, Math.round(10_000 + 2_000 * spread));
    const size = Math.round(rows * IMAGE * random.uniform(0.9, 1.1));
    const sha256 = createHash("sha256").update(`shard ${shard}`).digest("hex");
    const name =
      form === "tar"
        ? `${digits(shard).slice(0, 3)}/photos-${digits(shard)}.tar`
        : `data/train-${digits(shard)}-of-${digits(count)}-${sha256.slice(0, 16)}.parquet`;
    return { name, size, rows, hash: `sha256:${sha256}` };
  });
}
