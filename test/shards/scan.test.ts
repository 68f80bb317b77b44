import { describe, expect, test } from "vitest";
import { fromBytes, type ByteSource } from "../../src/shards/bytes.ts";
import { scanTar, WIDTH } from "../../src/shards/scan.ts";
import { entry, tarOf } from "../fixtures/tar.ts";

function counted(bytes: Uint8Array): {
  source: ByteSource;
  reads: () => number;
  total: () => number;
} {
  const source = fromBytes(bytes, "x.tar");
  let reads = 0;
  let total = 0;
  return {
    source: {
      ...source,
      read(at, length) {
        reads++;
        total += length;
        return source.read(at, length);
      },
    },
    reads: () => reads,
    total: () => total,
  };
}

describe("the index", () => {
  test("skips the bodies of large members", async () => {
    const bytes = tarOf(
      Array.from({ length: 40 }, (_, i) => entry(`${i}.jpg`, new Uint8Array(200_000))),
    );
    const { source, reads, total } = counted(bytes);
    expect((await scanTar(source, "x.tar")).rows).toBe(40);
    expect(reads()).toBeLessThan(45);
    expect(total()).toBeLessThan(bytes.length / 8);
  });

  test("reads many small members at once", async () => {
    const bytes = tarOf(Array.from({ length: 8_000 }, (_, i) => entry(`${i}.jpg`, "x")));
    const { source, reads, total } = counted(bytes);
    expect((await scanTar(source, "x.tar")).rows).toBe(8_000);
    expect(reads()).toBeLessThan(30);
    expect(total()).toBeLessThan(bytes.length * 1.1);
  });

  test("is five numbers a row", async () => {
    const index = await scanTar(
      fromBytes(tarOf(Array.from({ length: 500 }, (_, i) => entry(`${i}.jpg`))), "x.tar"),
      "x.tar",
    );
    expect(index.places).toHaveLength(500 * WIDTH);
    expect(index.places.buffer.byteLength).toBe(500 * WIDTH * 8);
  });
});
