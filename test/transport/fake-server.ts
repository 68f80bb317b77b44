import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { StreamError, type ErrorCode } from "../../src/errors.ts";
import { createServer } from "../../src/transport/server.ts";
import { createFake } from "./fake.ts";

/**
 * A server of the fake maker as a process of its own, for the Python tests and bench/wire: prints one line of JSON when it listens, and one with
 * its counts when standard input ends.
 */
const { values } = parseArgs({
  options: {
    listen: { type: "string", default: "tcp://127.0.0.1:0" },
    token: { type: "string" },
    "tls-cert": { type: "string" },
    "tls-key": { type: "string" },
    "tls-client-ca": { type: "string" },
    batch: { type: "string", default: "8" },
    cell: { type: "string", default: "4" },
    side: { type: "string", default: "6" },
    images: { type: "string", default: "2" },
    steps: { type: "string" },
    fingerprint: { type: "string", default: "sha256:fake" },
    failing: { type: "string", default: "" },
    reuse: { type: "boolean", default: false },
    seed: { type: "string" },
    partitions: { type: "string", default: "1" },
    near: { type: "string" },
    // A file with the addresses that it tells, read for each client.
    loaders: { type: "string" },
    // A code that every request is refused with.
    refuse: { type: "string" },
    // Milliseconds before each cell.
    lag: { type: "string", default: "0" },
  },
});

const maker = createFake({
  batch: Number(values.batch),
  cell: Number(values.cell),
  side: Number(values.side),
  images: Number(values.images),
  steps: values.steps === undefined ? null : Number(values.steps),
  fingerprint: values.fingerprint,
  failing: numbers(values.failing),
  reuse: values.reuse,
  partitions: Number(values.partitions),
  ...(values.near === undefined ? {} : { near: numbers(values.near) }),
  ...(values.seed === undefined ? {} : { seed: Number(values.seed) }),
  async before() {
    if (values.refuse !== undefined)
      throw new StreamError(values.refuse as ErrorCode, "refused, as asked");
    if (values.lag !== "0") await sleep(Number(values.lag));
  },
  encode: async (pixels, side, format) => {
    const image = sharp(Buffer.from(pixels), { raw: { width: side, height: side, channels: 3 } });
    const done =
      format === "png" ? image.png() : image.jpeg({ quality: 95, chromaSubsampling: "4:4:4" });
    return await done.toBuffer();
  },
});
const { "tls-cert": cert, "tls-key": key = "", "tls-client-ca": clientCa } = values;
const tls =
  cert === undefined ? undefined : { cert, key, ...(clientCa !== undefined && { clientCa }) };
const feedback: unknown[] = [];
const server = await createServer(maker, {
  listen: values.listen,
  ...(values.token === undefined ? {} : { token: values.token }),
  ...(tls !== undefined && { tls }),
  loaders: () =>
    values.loaders === undefined
      ? undefined
      : readFileSync(values.loaders, "utf8").split("\n").filter(Boolean),
  onFeedback: (given) => feedback.push(given),
  onError: (error) => console.error(error),
});
console.log(JSON.stringify({ address: server.address }));
for await (const _ of process.stdin);
const { user, system } = process.cpuUsage();
await server.close();
console.log(JSON.stringify({ ...maker.tally, feedback, cpu: (user + system) / 1e6 }));

function numbers(text: string): number[] {
  return text === "" ? [] : text.split(",").map(Number);
}
