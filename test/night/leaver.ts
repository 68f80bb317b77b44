/** Reads eight batches of a source whose server then stops, and leaves while the ninth is waited for: leaver.ts SOURCE close|abort|break. The process ends by itself. */
import { asStreamError } from "../../src/errors.ts";
import { createStream } from "../../src/loader.ts";
import { openDescriptors } from "../fixtures/files.ts";

const [, , source = "", how] = process.argv;
const options = { seed: 3, batch: 8, window: 64, workers: 1, entries: ["rotation"] };
const stream = await createStream({ source, ...options });
const control = new AbortController();
let steps = 0;
let left = 0;
let closing: Promise<void> | undefined;
let error: string | null = null;

function leave(): void {
  left = performance.now();
  if (how === "abort") control.abort();
  if (how === "close") closing = stream.close();
}

try {
  for await (const { step } of stream.batches({ signal: control.signal })) {
    steps++;
    if (step < 7) continue;
    if (how === "break") {
      left = performance.now();
      break;
    }
    // when the next is waited for
    setTimeout(leave, 50);
  }
} catch (thrown) {
  error = asStreamError(thrown).code;
}
await (closing ?? stream.close());
const took = performance.now() - left;
const descriptors = openDescriptors(process.env["SSL_R1_CACHE"]!);
console.log(JSON.stringify({ steps, error, took, descriptors }));
