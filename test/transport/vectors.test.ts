import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { batchDigest } from "../../src/digest.ts";
import type { StreamError } from "../../src/errors.ts";
import type { Json } from "../../src/model.ts";
import { packFrame, unpackMeta, type Meta } from "../../src/transport/codec.ts";
import {
  createReader,
  MAX_FRAME_BYTES,
  PREFIX_BYTES,
  type Frame,
} from "../../src/transport/frame.ts";
import {
  kinds,
  packMessage,
  readClientMessage,
  readServerMessage,
} from "../../src/transport/messages.ts";

interface Good {
  readonly name: string;
  readonly from: "client" | "server";
  readonly hex: string;
  readonly kind: number;
  readonly meta: Meta;
  readonly body: string;
}
interface Bad {
  readonly name: string;
  readonly from: "client" | "server";
  readonly hex: string;
  readonly code: string;
  readonly limit: number;
}
interface Digest {
  readonly name: string;
  readonly hex: string;
  readonly digest: string;
}

function load(name: string): unknown {
  const file = new URL(`../vectors/protocol/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, "utf8"));
}
const messages = load("messages") as readonly Good[];
const fromHex = (hex: string): Uint8Array => Buffer.from(hex, "hex");
const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

function parse(bytes: Uint8Array, limit = MAX_FRAME_BYTES): Frame[] {
  const reader = createReader(limit);
  const frames = [...reader.push(bytes)];
  reader.end();
  return frames;
}

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return (error as StreamError).code;
  }
  return "accepted";
}

describe("good frames", () => {
  test.each(messages)("$name", ({ from, hex, kind, meta, body }) => {
    const [frame] = parse(fromHex(hex));
    expect(frame).toBeDefined();
    if (frame === undefined) return;
    expect(frame.kind).toBe(kind);
    expect(unpackMeta(frame.meta)).toEqual(meta);
    expect(toHex(frame.body)).toBe(body);
    const message = from === "client" ? readClientMessage(frame) : readServerMessage(frame);
    expect(kinds[message.kind]).toBe(kind);
    if (message.kind === "cell") return;
    const [again] = parse(packMessage(message));
    const read = from === "client" ? readClientMessage : readServerMessage;
    expect(again && read(again)).toEqual(message);
  });

  test("every kind of message has one", () => {
    expect(new Set(messages.map(({ kind }) => kind))).toEqual(new Set(Object.values(kinds)));
  });
});

describe("bad frames", () => {
  test.each(load("bad") as readonly Bad[])("$name: $code", ({ from, hex, code, limit }) => {
    const read = from === "client" ? readClientMessage : readServerMessage;
    expect(codeOf(() => parse(fromHex(hex), limit).map((frame) => read(frame)))).toBe(code);
  });
});

test.each(load("digest") as readonly Digest[])("digest of $name", ({ hex, digest }) => {
  const [frame] = parse(fromHex(hex));
  const message = frame && readServerMessage(frame);
  expect(message?.kind).toBe("cell");
  if (message?.kind === "cell") expect(batchDigest(message)).toBe(digest);
});

test("a digest wants raw images", () => {
  const vector = messages.find(({ name }) => name.startsWith("cell with png"));
  const [frame] = parse(fromHex(vector?.hex ?? ""));
  const message = frame && readServerMessage(frame);
  expect(message?.kind === "cell" && codeOf(() => batchDigest(message))).toBe("BAD_OPTION");
});

const stream = Buffer.concat(messages.map(({ hex }) => fromHex(hex)));
const expected = messages.map(({ kind, meta, body }) => ({ kind, meta, body }));
const plain = ({ kind, meta, body }: Frame): object => ({
  kind,
  meta: unpackMeta(meta),
  body: toHex(body),
});

test("frames come out the same under any split, and from views into larger buffers", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(sizes, fc.integer({ min: 0, max: 9 }), (lengths, offset) => {
      const reader = createReader(MAX_FRAME_BYTES);
      const found: object[] = [];
      for (let at = 0, i = 0; at < stream.length; i++) {
        const chunk = stream.subarray(at, at + (lengths[i % lengths.length] ?? 1));
        const padded = new Uint8Array(offset + chunk.length + 3).fill(0xa5);
        padded.set(chunk, offset);
        for (const frame of reader.push(padded.subarray(offset, offset + chunk.length))) {
          found.push(plain(frame));
        }
        at += chunk.length;
      }
      reader.end();
      expect(found).toEqual(expected);
    }),
    { numRuns: 30 },
  );
});

test("byte by byte, and everything at once", () => {
  const reader = createReader(MAX_FRAME_BYTES);
  const found = [...stream].flatMap((byte) => [...reader.push(Uint8Array.of(byte))].map(plain));
  expect(found).toEqual(expected);
  expect(parse(stream).map(plain)).toEqual(expected);
});

test("a stream that ends inside a frame says so, wherever it is cut", () => {
  const bytes = fromHex(messages.find(({ name }) => name === "cell")?.hex ?? "");
  for (let cut = 1; cut < bytes.length; cut++) {
    expect(codeOf(() => parse(bytes.subarray(0, cut)))).toBe("BAD_FRAME");
  }
});

test("nothing is allocated for a frame above the limit", () => {
  let allocated = 0;
  const reader = createReader(1000, (bytes) => {
    allocated += bytes;
    return new Uint8Array(bytes);
  });
  const large = packFrame(kinds.cell, { id: 1 }, 980).subarray(0, PREFIX_BYTES);
  expect(codeOf(() => [...reader.push(large)])).toBe("FRAME_TOO_LARGE");
  expect(allocated).toBe(0);
});

const json = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.string({ unit: "binary" }),
    fc.array(tie("value"), { maxLength: 20 }),
    fc.dictionary(
      fc.string({ unit: "grapheme" }).filter((key) => key !== "__proto__"),
      tie("value"),
      { maxKeys: 20 },
    ),
  ),
})).value;

test("every JSON map survives the trip, -0 as 0", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom("a", "b", "é", "x".repeat(300)), json), (meta) => {
      const [frame] = parse(packFrame(1, meta));
      expect(frame && JSON.stringify(unpackMeta(frame.meta))).toBe(JSON.stringify(meta));
    }),
  );
});

test("random bytes never do worse than an error of the protocol", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (meta) => {
      expect(["accepted", "BAD_FRAME"]).toContain(codeOf(() => unpackMeta(meta)));
    }),
    { numRuns: 3000 },
  );
});

test("a bit flipped anywhere in a frame never does worse than an error of the protocol", () => {
  for (const { hex, from } of messages) {
    const bytes = fromHex(hex);
    const read = from === "client" ? readClientMessage : readServerMessage;
    for (let at = 0; at < bytes.length; at++) {
      const flipped = bytes.slice();
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8));
      const code = codeOf(() => parse(flipped).map((frame) => read(frame)));
      expect(["accepted", "BAD_FRAME", "PROTOCOL", "FRAME_TOO_LARGE"]).toContain(code);
    }
  }
});
