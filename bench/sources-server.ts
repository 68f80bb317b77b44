/**
 * The other side of bench/sources.ts, a process of its own: `node bench/sources-server.ts JSON` prints its address, then serves shards that are made of the
 * corpus as they are asked for, nothing of them on disk. /tar/000007.tar, /gz/000007.tar.gz, /parquet/000007.parquet; /sent says how many bytes went out.
 * With `hub` it is the tests' Hub instead, with a data set of so many shards that can be listed only.
 */
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { tarEnd, tarHeader } from "../src/shards/write.ts";
import { startHub } from "../test/fixtures/hub.ts";

export interface ServerOptions {
  /** Folder of photos. */
  readonly photos: string;
  /** Photos a shard. */
  readonly each: number;
  /** Bytes a second, all connections together. */
  readonly rate?: number;
  /** A Parquet file that stands for all of them. */
  readonly parquet?: string;
  /** Shards of a data set that is only listed. */
  readonly hub?: number;
}

const PIECE = 1 << 16;

function shardOf(
  photos: readonly Buffer[],
  each: number,
): (path: string) => readonly Uint8Array[] | undefined {
  const made = new Map<string, readonly Uint8Array[]>();
  const parquet = options.parquet === undefined ? undefined : [readFileSync(options.parquet)];

  function tar(number: number): Uint8Array[] {
    const members = Array.from({ length: each }, (_, i) => {
      const photo = photos[(number * each + i) % photos.length]!;
      const name = `${String(number).padStart(6, "0")}-${String(i).padStart(6, "0")}.jpg`;
      return [
        tarHeader(name, photo.length),
        photo,
        new Uint8Array((512 - (photo.length % 512)) % 512),
      ];
    });
    return [...members.flat(), tarEnd()];
  }

  return (path) => {
    const [, form, digits] = /^\/(tar|gz|parquet)\/(\d+)\./.exec(path) ?? [];
    if (form === undefined) return undefined;
    if (form === "parquet") return parquet;
    let parts = made.get(path);
    if (!parts) {
      parts = tar(Number(digits));
      if (form === "gz") parts = [gzipSync(Buffer.concat(parts), { level: 1 })];
      made.set(path, parts);
    }
    return parts;
  };
}

/** When the next bytes may leave: one line for all connections. */
function createPacer(rate: number): (bytes: number) => Promise<void> {
  let free = 0;
  return async (bytes) => {
    const now = performance.now();
    // a timer that comes late is made up for
    free = Math.max(free, now - 20) + (bytes / rate) * 1000;
    if (free > now + 1) await new Promise((resolve) => void setTimeout(resolve, free - now));
  };
}

async function send(
  response: ServerResponse,
  parts: readonly Uint8Array[],
  from: number,
  to: number,
): Promise<void> {
  let at = 0;
  for (const part of parts) {
    const end = Math.min(part.length, to - at);
    for (let start = Math.max(0, from - at); start < end; start += PIECE) {
      const piece = part.subarray(start, Math.min(end, start + PIECE));
      await pace(piece.length);
      if (response.destroyed) return;
      sent += piece.length;
      if (!response.write(piece))
        await new Promise<void>((resolve) => {
          const go = (): void => {
            response.off("drain", go).off("close", go);
            resolve();
          };
          response.on("drain", go).on("close", go);
        });
    }
    at += part.length;
  }
  response.end();
}

const options = JSON.parse(process.argv[2] ?? "{}") as ServerOptions;
const pace = options.rate === undefined ? async () => {} : createPacer(options.rate);
let sent = 0;

if (options.hub !== undefined) {
  const hub = await startHub();
  const files = Array.from({ length: options.hub }, (_, i) => [
    `shards/${Math.floor(i / 1000)}/photos-${String(i).padStart(6, "0")}.tar`,
    { size: 100_000_000 + i, sha256: i.toString(16).padStart(64, "0") },
  ]);
  hub.create("bench/many").commit(Object.fromEntries(files));
  process.stdout.write(`${hub.url}\n`);
} else {
  const photos = readdirSync(options.photos)
    .sort()
    .map((name) => readFileSync(join(options.photos, name)));
  const shard = shardOf(photos, options.each);
  const server = createServer((request, response) => {
    const path = request.url ?? "/";
    if (path === "/sent") return void response.end(String(sent));
    const parts = shard(path);
    if (!parts) return void response.writeHead(404).end();
    const size = parts.reduce((sum, { length }) => sum + length, 0);
    const [range, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
    const from = Number(first ?? 0);
    const to = last ? Math.min(size, Number(last) + 1) : size;
    response.writeHead(range === undefined ? 200 : 206, {
      "Content-Length": to - from,
      ETag: `"${path}"`,
      "Accept-Ranges": "bytes",
      ...(range !== undefined && { "Content-Range": `bytes ${from}-${to - 1}/${size}` }),
    });
    if (request.method === "HEAD") response.end();
    else void send(response, parts, from, to);
  });
  server.listen(0, "127.0.0.1", () => {
    process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
  });
}
