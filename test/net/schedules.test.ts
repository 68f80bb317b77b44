import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createFaultyServer, etagOf, type Fault } from "../fixtures/faulty-server.ts";
import { bytesOf, cleanup, network, never, sample } from "./harness.ts";

const content = sample(20_000);
const size = content.length;
const sha256 = createHash("sha256").update(content).digest("hex");

const at = fc.integer({ min: 0, max: size });
/** Of one request each; the file is the same all the time. */
const quick: fc.Arbitrary<Fault> = fc.oneof(
  fc.record({ cut: fc.integer({ min: -1, max: size }) }),
  fc.record({ cut: at, chunked: fc.constant(true) }),
  fc.record({ cut: at, unframed: fc.constant(true) }),
  fc.record({ cut: at, ignoreRange: fc.constant(true) }),
  fc.record({ cut: at, drip: fc.constant(true) }),
  fc.record({ cut: at, gzip: fc.constant(true) }),
  fc.record({ length: fc.integer({ min: 1, max: size / 8 }) }),
  fc.record({ etag: fc.constant("") }),
  fc.record({
    contentRange: fc.tuple(at, at, at).map(([from, to, total]) => `bytes ${from}-${to}/${total}`),
  }),
  fc.record({
    status: fc.constantFrom(408, 416, 425, 429, 500, 502, 503, 504),
    headers: fc.constantFrom<Record<string, string>>(
      {},
      { "retry-after": "7" },
      { ratelimit: '"a";r=0;t=9' },
    ),
  }),
);

/** Each costs a wait. */
const hang = fc.record({ hang: fc.integer({ min: -1, max: size }) });
const fault = fc.oneof({ weight: 99, arbitrary: quick }, { weight: 1, arbitrary: hang });

/** What is wrong in the same way twice in a row is a file that has changed. */
function differently(fault: Fault, at: number): Fault {
  if (fault.etag !== undefined) return { ...fault, etag: `"wrong-${at}"` };
  if (fault.length !== undefined) return { ...fault, length: fault.length * 16 + at };
  return fault;
}

test("500 nights: the exact bytes, and never a request more than there were faults", async () => {
  const server = await createFaultyServer(content);
  cleanup(() => server.close());
  const hub = await createFaultyServer(content);
  cleanup(() => hub.close());
  hub.always = { redirect: `${server.url}/signed?Signature=1` };
  const token = { value: "hf_secret", origins: [hub.url] };
  const known = { size, etag: etagOf(content), sha256 };
  await fc.assert(
    fc.asyncProperty(
      fc.array(fault, { maxLength: 12 }),
      fc.option(fc.tuple(at, at), { nil: undefined }),
      fc.boolean(),
      async (drawn, part, redirected) => {
        const faults = drawn.map(differently);
        const [from, to] = part ? [Math.min(...part), Math.max(...part)] : [0, size];
        const net = network({ token, stall: 250, tries: 100, budget: Infinity });
        server.seen.length = hub.seen.length = 0;
        server.faults.splice(0, Infinity, ...faults);
        const range = part ? { from, to } : {};
        const got = await bytesOf(
          net.download(redirected ? hub.url : server.url, known, { ...range, signal: never }),
        );
        await net.close();
        expect(got.equals(content.subarray(from, to))).toBe(true);
        // a busy machine may stall by itself: a fault more, perhaps of a request that no server saw
        const stalls = net.retries.filter(({ reason }) => reason.startsWith("no byte")).length;
        const told = faults.filter((one) => one.hang !== undefined).length;
        const own = Math.max(0, stalls - told);
        const most = redirected ? server.seen.length : 0;
        const hops = Math.max(0, hub.seen.length - most);
        const unseen = net.counts.requests - server.seen.length - hub.seen.length;
        expect(server.seen.length).toBeLessThanOrEqual(1 + faults.length + own);
        expect(hops <= own && unseen >= 0 && unseen <= own).toBe(true);
        expect(hub.seen.every(({ headers }) => headers.authorization)).toBe(true);
        expect(server.seen.some(({ headers }) => headers.authorization)).toBe(false);
      },
    ),
    { numRuns: 500 },
  );
});
