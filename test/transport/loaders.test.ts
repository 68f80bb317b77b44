import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import type { StreamError } from "../../src/errors.ts";
import { openLoaders, type Loaders, type LoadersSeams } from "../../src/transport/loaders.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { createFakeClock } from "./fake-clock.ts";

async function open(given: string | readonly string[], seams: LoadersSeams = {}): Promise<Loaders> {
  const loaders = await openLoaders(given, seams);
  onTestFinished(() => loaders.close());
  return loaders;
}

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "opened",
    (error: StreamError) => error.code,
  );

/** The next list. */
function changed(loaders: Loaders): Promise<readonly string[]> {
  return new Promise((resolve) => loaders.onChange(resolve));
}

describe("a list", () => {
  test.each([
    ["tcp://a:1,tcp://b:1"],
    [" tcp://a:1 , tcp://b:1,"],
    [["tcp://a:1", "tcp://b:1"]],
    [["tcp://a:1,tcp://b:1", "tcp://a:1"]],
  ])("written %j", async (given) => {
    const { list, alone } = await open(given);
    expect({ list, alone }).toEqual({ list: ["tcp://a:1", "tcp://b:1"], alone: false });
  });

  test.each([
    [""],
    [" , "],
    [[]],
    ["http://a:1"],
    ["tcp://a"],
    ["dns+unix:///a"],
    ["file://host/x"],
  ])("%j is none", async (given) => {
    expect(await codeOf(open(given))).toBe("BAD_OPTION");
  });

  test("one loader tells of others, and not of what it must not", async () => {
    const loaders = await open("tls://a:1");
    expect(loaders.alone).toBe(true);
    const next = changed(loaders);
    loaders.tell(["tls://b:1", "tls://a:1", "tcp://c:1", "file:///etc/passwd", "dns+tls://d:1"]);
    expect(await next).toEqual(["tls://a:1", "tls://b:1"]);
    loaders.tell([]);
    expect(loaders.list).toEqual(["tls://a:1"]);
  });

  test("that was given is not changed by what a loader tells", async () => {
    const loaders = await open("tcp://a:1,tcp://b:1");
    loaders.tell(["tcp://c:1"]);
    expect(loaders.list).toEqual(["tcp://a:1", "tcp://b:1"]);
  });
});

describe("a file", () => {
  test("is read anew when it changes; what is no list leaves the old one", async () => {
    const clock = createFakeClock();
    const file = join(temporaryFolder(), "load ers.txt");
    writeFileSync(file, "# ours\ntcp://a:1 # first\n\ntcp://b:1\n");
    const loaders = await open(pathToFileURL(file).href, { clock });
    expect(loaders.list).toEqual(["tcp://a:1", "tcp://b:1"]);
    expect(loaders.alone).toBe(false);
    const seen: (readonly string[])[] = [];
    loaders.onChange((list) => seen.push(list));
    for (const text of [
      "",
      "tcp://a:1\ntcp://c:",
      undefined,
      "tcp://b:1\r\ntcp://c:1",
      "tcp://b:1\ntcp://c:1\n",
      "tcp://d:1",
    ]) {
      if (text === undefined) rmSync(file);
      else writeFileSync(file, text);
      await clock.advance(1_000);
      // The next look begins when this one is over.
      await clock.sleeping(1);
    }
    expect(seen).toEqual([["tcp://b:1", "tcp://c:1"], ["tcp://d:1"]]);
  });

  test("that is not there, or is no file", async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "sub"));
    expect(await codeOf(open(pathToFileURL(join(folder, "no")).href))).toBe("SOURCE_NOT_FOUND");
    expect(await codeOf(open(pathToFileURL(join(folder, "sub")).href))).toBe("BAD_OPTION");
  });
});

describe("a name", () => {
  test("stands for all its addresses, asked again every 10 s", async () => {
    const clock = createFakeClock();
    let answer: readonly string[] | Error = ["10.0.0.2", "fd00::1", "10.0.0.1"];
    const asked: string[] = [];
    const resolve = (host: string): Promise<readonly string[]> => {
      asked.push(host);
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    };
    const loaders = await open("dns+tls://ssl.example:7531", { clock, resolve });
    const first = ["tls://10.0.0.1:7531", "tls://10.0.0.2:7531", "tls://[fd00::1]:7531"];
    expect(loaders.list).toEqual(first);
    expect(loaders.nameOf(first[0]!)).toBe("ssl.example");
    const seen: (readonly string[])[] = [];
    loaders.onChange((list) => seen.push(list));
    for (const next of [new Error("no such host"), [], ["10.0.0.2"], ["10.0.0.2"]]) {
      answer = next;
      await clock.advance(9_999);
      expect(asked).toHaveLength(1);
      await clock.advance(1);
      await clock.sleeping(1);
      expect(asked.splice(0, 1)).toEqual(["ssl.example"]);
    }
    expect(seen).toEqual([["tls://10.0.0.2:7531"]]);
  });

  test("without an address", async () => {
    const none = (): Promise<readonly string[]> => Promise.resolve([]);
    expect(await codeOf(open("dns+tcp://a:1", { resolve: none }))).toBe("CONNECTION_LOST");
    const fails = (): Promise<never> => Promise.reject(new Error("ENOTFOUND"));
    expect(await codeOf(open("dns+tcp://a:1", { resolve: fails }))).toBe("CONNECTION_LOST");
  });

  test("the machine's own resolver", async () => {
    const { list } = await open("dns+tcp://127.0.0.1:9,tcp://a:1");
    expect(list).toEqual(["tcp://127.0.0.1:9", "tcp://a:1"]);
  });
});

test("after close nothing is asked any more", async () => {
  const clock = createFakeClock();
  const loaders = await open("dns+tcp://a:1", {
    clock,
    resolve: () => Promise.resolve(["10.0.0.1"]),
  });
  loaders.close();
  await clock.sleeping(0);
});
