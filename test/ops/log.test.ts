import { expect, test } from "vitest";
import { StreamError } from "../../src/errors.ts";
import { logNotices, logServer } from "../../src/ops/events.ts";
import { choice, createLog, type LogFormat, type LogLevel } from "../../src/ops/log.ts";
import type { ClientInfo } from "../../src/transport/server.ts";

function log(
  format: LogFormat,
  level: LogLevel = "info",
): {
  log: ReturnType<typeof createLog>;
  lines: string[];
  readonly at: (milliseconds: number) => void;
} {
  const lines: string[] = [];
  let now = 0;
  const write = (line: string): void => void lines.push(line);
  return {
    log: createLog({ format, level, write, clock: () => now }),
    lines,
    at: (milliseconds) => (now = milliseconds),
  };
}

const evil = 'me\n\u001b[2J\u0007\u202e\u009b31m"level":"error"';
const client: ClientInfo = {
  name: evil,
  address: "10.0.0.7:1234",
  format: "raw",
  requests: 0,
  sentBytes: 12,
  rewards: 3,
  waiting: "request",
};

test("json: one object a line, level and time as words", () => {
  const { log: json, lines } = log("json");
  logServer(json)({ kind: "joined", client });
  expect(JSON.parse(lines[0]!)).toEqual({
    level: "info",
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string,
    event: "client joined",
    name: evil,
    address: "10.0.0.7:1234",
    format: "raw",
  });
});

test("what a client calls itself can't write to a terminal, nor begin a line", () => {
  for (const format of ["json", "text"] as const) {
    const { log: own, lines } = log(format);
    logServer(own)({ kind: "joined", client });
    expect(lines).toHaveLength(1);
    expect(lines[0]).not.toMatch(format === "json" ? /[\n\r]/ : /[\p{Cc}\u202e]/u);
    expect(lines[0]).not.toContain("\u001b");
  }
});

test("text: words and fields", () => {
  const { log: text, lines } = log("text", "debug");
  logServer(text)({
    kind: "left",
    client: { ...client, name: "trainer-0" },
    error: new StreamError("PROTOCOL", "a second hello"),
  });
  logNotices(text)({ kind: "evicted", shards: 2, bytes: 10 });
  logNotices(text)({ kind: "skipped", shard: "a.tar", key: "1", reason: "damaged", detail: "cut" });
  text.note("partitions hold 3 to 9 images");
  expect(lines).toEqual([
    'info client left name=trainer-0 address=10.0.0.7:1234 sentBytes=12 rewards=3 code=PROTOCOL reason="a second hello"',
    "info cache evicted shards=2 bytes=10",
    "debug image skipped shard=a.tar key=1 reason=damaged detail=cut",
    "partitions hold 3 to 9 images",
  ]);
});

test("levels", () => {
  const { log: warn, lines } = log("json", "warn");
  warn.debug("a");
  warn.info("b");
  warn.warn("c");
  warn.error("d");
  expect(lines.map((line) => (JSON.parse(line) as { event: string }).event)).toEqual(["c", "d"]);
  const silent = log("text", "silent");
  silent.log.error("e");
  silent.log.note("f");
  expect(silent.lines).toEqual([]);
});

test("who floods does not fill the disk: the rest is counted, other events are told", () => {
  const { log: text, lines, at } = log("text");
  for (let count = 0; count < 1_000; count++) text.warn("request refused", { count });
  text.info("client joined");
  expect(lines).toHaveLength(51);
  expect(lines.at(-1)).toBe("info client joined");
  at(10_000);
  text.warn("request refused", { count: 1_000 });
  expect(lines.at(-1)).toBe("warn request refused count=1000 left_out=950");
  text.warn("request refused", { count: 1_001 });
  expect(lines.at(-1)).toBe("warn request refused count=1001");
});

test("only what is the loader's fault is remembered as its last error", () => {
  const failures: string[] = [];
  const { log: text, lines } = log("text");
  const tell = logServer(text, ({ code }) => failures.push(code));
  for (const code of ["BAD_SLOTS", "NETWORK", "STEP_OUT_OF_RANGE", "CLOSED", "CACHE"] as const)
    tell({ kind: "failed", client, request: "get", error: new StreamError(code, "why") });
  expect(failures).toEqual(["NETWORK", "CACHE"]);
  expect(lines.map((line) => line.split(" ", 3).join(" "))).toEqual([
    "warn request refused",
    "error request failed",
    "warn request refused",
    "warn request refused",
    "error request failed",
  ]);
});

test("a wrong choice names what there is", () => {
  expect(() => choice("log-level", "loud", ["info", "warn"])).toThrow(
    '--log-level: got "loud"; there are info, warn',
  );
});
