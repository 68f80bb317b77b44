/** A trainer that takes batch after batch and prints a line for each: client.ts '{"address": "tcp://...", "steps": 100}'. It leaves when its input ends. */
import { readdirSync } from "node:fs";
import { batchDigest } from "../../src/digest.ts";
import { connect } from "../../src/transport/client.ts";

const {
  address,
  steps,
  options = {},
} = JSON.parse(process.argv[2] ?? "{}") as {
  address: string;
  steps?: number;
  options?: object;
};
const control = new AbortController();
process.stdin.on("end", () => control.abort()).resume();
const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
const handles = (): object => ({
  descriptors: readdirSync("/proc/self/fd").length,
  handles: process.getActiveResourcesInfo().length,
});

let before: object | undefined;
try {
  const client = await connect(address, { checksum: true, ...options });
  try {
    const range = { signal: control.signal, ...(steps !== undefined && { steps }) };
    for await (const batch of client.stream(range)) {
      say({ step: batch.step, digest: batchDigest(batch) });
      before ??= handles();
    }
  } finally {
    await client.close();
  }
} catch (error) {
  const { code = "", message } = error as { code?: string; message: string };
  if (code !== "ABORTED") say({ error: code, message });
}
process.stdin.destroy();
say({ end: true, before, after: handles() });
