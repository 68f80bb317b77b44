import { createHash } from "node:crypto";
import { describe, expect, onTestFinished, test } from "vitest";
import { createNet, type Clock } from "../../src/net/create.ts";
import type { Net } from "../../src/net/net.ts";
import { hubToken, type Env } from "../../src/sources/hub-env.ts";
import { openHub, type HubListing } from "../../src/sources/hub.ts";
import { collect, noise } from "../fixtures/files.ts";
import { startHub, tooMany, type Hub, type HubOptions } from "../fixtures/hub.ts";
import type { HubContent } from "../fixtures/hub-repo.ts";

/** Time goes by when somebody waits, so that waiting costs nothing. */
function patient(): Clock {
  let time = 0;
  return {
    now: () => time,
    wall: () => time,
    random: () => 0,
    sleep(milliseconds) {
      time += milliseconds;
      return Promise.resolve();
    },
  };
}

async function hubOf(options?: HubOptions): Promise<Hub> {
  const hub = await startHub(options);
  onTestFinished(() => hub.close());
  return hub;
}

async function netOf(env: Env): Promise<Net> {
  const net = createNet({ token: await hubToken(env), tries: 6 });
  onTestFinished(() => net.close());
  return net;
}

/** Without a look at this machine's own token and cache. */
function envOf(hub: Hub, env: Env = {}): Env {
  return { HF_ENDPOINT: hub.url, HOME: "/nowhere", ...env };
}

async function open(hub: Hub, address: string, given: Env = {}): Promise<HubListing> {
  const env = envOf(hub, given);
  return openHub(address, { net: await netOf(env), env, signal: new AbortController().signal });
}

function names({ files }: HubListing): string[] {
  return files.map(({ name }) => name);
}

function filled(...paths: string[]): Record<string, HubContent> {
  return Object.fromEntries(paths.map((path) => [path, path]));
}

function sha256(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

describe("which files are the data", () => {
  test("tars before Parquet files before images, in the order of their names", async () => {
    const hub = await hubOf();
    const repo = hub.create("o/n");
    repo.commit(
      filled(
        "README.md",
        ".gitattributes",
        "b.jpg",
        "a/c.PNG",
        ".hidden/d.jpg",
        "metadata.parquet",
      ),
    );
    const images = await open(hub, "hf://datasets/o/n");
    expect([images.kind, names(images), images.notes]).toEqual([
      "images",
      ["a/c.PNG", "b.jpg"],
      [],
    ]);
    repo.commit(filled("a.parquet"));
    const parquet = await open(hub, "hf://datasets/o/n");
    expect([parquet.kind, names(parquet)]).toEqual(["parquet", ["a.parquet"]]);
    expect(parquet.notes).toEqual(["Parquet files are taken; left out: 2 images"]);
    repo.commit(filled("z.tar", "B.tar.gz", "a/x.tgz", "a/x-é.tar.zst", "a/x-z.tar", "a-b.tar"));
    const tars = await open(hub, "hf://datasets/o/n");
    expect([tars.kind, names(tars)]).toEqual([
      "tar",
      ["B.tar.gz", "a-b.tar", "a/x-z.tar", "a/x-é.tar.zst", "a/x.tgz", "z.tar"],
    ]);
  });

  test("size, hash, address and what must agree of each", async () => {
    const hub = await hubOf();
    const bytes = noise(1000, 1);
    const commit = hub.create("o/n").commit({ "a b#?%.jpg": bytes, "x.avif": "small" });
    const listing = await open(hub, "hf://datasets/o/n");
    const git = createHash("sha1").update("blob 5\0small").digest("hex");
    const plain = listing.files.map(({ name, size, hash, known, url }) => ({
      name,
      size,
      hash,
      known,
      url,
    }));
    expect({ ...listing, files: plain }).toEqual({
      address: "hf://datasets/o/n",
      repo: "o/n",
      revision: "main",
      commit,
      kind: "images",
      notes: [],
      files: [
        {
          name: "a b#?%.jpg",
          size: 1000,
          hash: `sha256:${sha256(bytes)}`,
          known: { size: 1000, sha256: sha256(bytes) },
          url: `${hub.url}/datasets/o/n/resolve/${commit}/a%20b%23%3F%25.jpg`,
        },
        {
          name: "x.avif",
          size: 5,
          hash: `git-sha1:${git}`,
          known: { size: 5 },
          url: `${hub.url}/datasets/o/n/resolve/${commit}/x.avif`,
        },
      ],
    });
    const net = await netOf(envOf(hub));
    const { signal } = new AbortController();
    for (const [i, { url, known }] of listing.files.entries())
      expect(Buffer.concat(await collect(net.download(url, known, { signal })))).toEqual(
        Buffer.from(i === 0 ? bytes : "small"),
      );
    expect(hub.violations).toEqual([]);
  });

  test("of several splits the one for training, and the others are named", async () => {
    const hub = await hubOf();
    const repo = hub.create("o/n");
    repo.commit(
      filled("x-train-1.tar", "x-train-0.tar", "x-val-0.tar", "x-test-0.tar", "extra.tar"),
    );
    const listing = await open(hub, "hf://datasets/o/n");
    expect(names(listing)).toEqual(["x-train-0.tar", "x-train-1.tar"]);
    expect(listing.notes).toEqual([
      "split train is taken; other splits: test, validation; files of no split: 1",
    ]);
    expect(names(await open(hub, "hf://datasets/o/n/x-test*"))).toEqual(["x-test-0.tar"]);

    const only = hub.create("o/only");
    only.commit(filled("test-0.tar", "test-1.tar"));
    expect(names(await open(hub, "hf://datasets/o/only"))).toEqual(["test-0.tar", "test-1.tar"]);
    only.commit(filled("val-0.tar"));
    await expect(open(hub, "hf://datasets/o/only")).rejects.toMatchObject({
      code: "BAD_OPTION",
      message:
        "hf://datasets/o/only: has the splits test, validation; name the files of one by a pattern; the first of test is test-0.tar",
    });
  });

  test("what the README declares goes before the names", async () => {
    const hub = await hubOf();
    const files = filled(
      "en/train-0.parquet",
      "en/test-0.parquet",
      "de/train-0.parquet",
      "x/0.parquet",
    );
    const listed = async (...configs: unknown[]): Promise<HubListing> => {
      hub.create("o/n", { cardData: { configs } }).commit(files);
      return open(hub, "hf://datasets/o/n");
    };
    const en = {
      config_name: "en",
      data_files: [
        { split: "train", path: "en/train-*" },
        { split: "test", path: ["en/test-*"] },
      ],
    };
    const de = { config_name: "de", data_files: "de/*.parquet" };
    const one = await listed(en);
    expect([names(one), one.notes]).toEqual([
      ["en/train-0.parquet"],
      ["split train is taken; other splits: test"],
    ]);
    const chosen = await listed(en, { ...de, default: true });
    expect([names(chosen), chosen.notes]).toEqual([
      ["de/train-0.parquet"],
      ["configuration de is taken of en, de"],
    ]);
    await expect(listed(en, de)).rejects.toMatchObject({
      code: "BAD_OPTION",
      message:
        "hf://datasets/o/n: has the configurations en, de; name the files of one by a pattern; those of en are en/train-*, en/test-*",
    });
    await expect(
      listed({
        config_name: "x",
        data_files: [
          { split: "a", path: "x/*" },
          { split: "b", path: "x/*" },
        ],
      }),
    ).rejects.toMatchObject({
      code: "BAD_OPTION",
      message: expect.stringContaining("has the splits a, b") as unknown,
    });
    // what says nothing of these files, or nothing that can be understood, is passed over
    const byName = names(await listed());
    expect(byName).toEqual(["de/train-0.parquet", "en/train-0.parquet"]);
    for (const config of [
      { config_name: "z", data_files: "z/*.csv" },
      { config_name: 1 },
      null,
      "x",
      { data_files: [1, null, {}] },
    ])
      expect(names(await listed(config))).toEqual(byName);
  });

  test("the Hub's own Parquet copy where there is nothing else", async () => {
    const hub = await hubOf();
    const repo = hub.create("o/n");
    repo.commit(filled("a.csv", "b.csv", "c.zip", "LICENSE"));
    await expect(open(hub, "hf://datasets/o/n")).rejects.toMatchObject({
      code: "SOURCE_EMPTY",
      message:
        "hf://datasets/o/n: no tar, Parquet file or image there; seen: 2 .csv, 1 .zip, 1 without extension",
    });
    const branch = "refs/convert/parquet";
    const commit = repo.commit(
      filled(
        "default/train/0001.parquet",
        "default/train/0000.parquet",
        "default/test/0000.parquet",
      ),
      { branch },
    );
    const copy = await open(hub, "hf://datasets/o/n");
    expect(copy).toMatchObject({ kind: "parquet", revision: branch, commit });
    expect(names(copy)).toEqual(["default/train/0000.parquet", "default/train/0001.parquet"]);
    expect(copy.notes).toEqual([
      "the repo has no data of a form that is read; its Parquet copy is taken",
      "split train is taken; other splits: test",
    ]);
    // it is a copy of the main branch
    await expect(open(hub, "hf://datasets/o/n@main")).rejects.toMatchObject({
      code: "SOURCE_EMPTY",
    });

    repo.commit(filled("other/train/0000.parquet", "other/partial-train/0000.parquet"), { branch });
    expect((await open(hub, "hf://datasets/o/n")).notes).toContain(
      "configuration default is taken of default, other",
    );
    repo.commit(
      {
        "default/train/0000.parquet": null,
        "default/train/0001.parquet": null,
        "default/test/0000.parquet": null,
        ...filled(
          "third/partial-train/0000.parquet",
          "third/train-part1/0000.parquet",
          "third/train_x/0.parquet",
        ),
      },
      { branch },
    );
    await expect(open(hub, "hf://datasets/o/n")).rejects.toMatchObject({
      code: "BAD_OPTION",
      message:
        "hf://datasets/o/n: the data set has the configurations other, third; say which: hf://datasets/o/n@refs/convert/parquet/other/train/*.parquet",
    });
    repo.commit(
      { "other/train/0000.parquet": null, "other/partial-train/0000.parquet": null },
      { branch },
    );
    const partial = await open(hub, "hf://datasets/o/n@refs/convert/parquet");
    expect(names(partial)).toEqual([
      "third/partial-train/0000.parquet",
      "third/train-part1/0000.parquet",
    ]);
    expect(partial.notes).toContain(
      "the copy is not complete: the Hub converts only the beginning of large data",
    );
    expect(
      names(await open(hub, "hf://datasets/o/n@refs%2Fconvert%2Fparquet/third/**")),
    ).toHaveLength(3);
  });
});

describe("paths and patterns", () => {
  async function many(): Promise<Hub> {
    const hub = await hubOf({ page: 3 });
    hub
      .create("o/n")
      .commit(
        filled(
          ...Array.from({ length: 12 }, (_, i) => `data/s-${String(i).padStart(2, "0")}.tar`),
          "data/README.md",
          "data/deep/er/y.tar",
          "data/deep/.git/z.tar",
          "p/a.parquet",
          "p/metadata.parquet",
          "p/b.jpg",
          "ü #?%/[x].jpg",
          "top.tar",
        ),
      );
    return hub;
  }

  test.each([
    ["data/s-0[0-2].tar", ["data/s-00.tar", "data/s-01.tar", "data/s-02.tar"]],
    ["data/s-{11..11}.tar", ["data/s-11.tar"]],
    ["data/s-{10,02}.tar", ["data/s-10.tar", "data/s-02.tar"]],
    ["{top,data/s-1*}.tar", ["top.tar", "data/s-10.tar", "data/s-11.tar"]],
    ["data/s-1?.tar", ["data/s-10.tar", "data/s-11.tar"]],
    ["data/**/y.tar", ["data/deep/er/y.tar"]],
    ["**/[yz].tar", ["data/deep/er/y.tar"]],
    ["data/deep/**", ["data/deep/er/y.tar"]],
    ["data/deep", ["data/deep/er/y.tar"]],
    ["top.tar", ["top.tar"]],
    ["p/*.parquet", ["p/a.parquet"]],
    ["p/metadata.parquet", ["p/metadata.parquet"]],
    ["ü #?%/*.jpg", ["ü #?%/[x].jpg"]],
    ["ü #?%", []],
  ])("%s", async (path, expected) => {
    const hub = await many();
    if (expected.length > 0)
      expect(names(await open(hub, `hf://datasets/o/n/${path}`))).toEqual(expected);
    // a ? is a wildcard, so that a folder of that name can't be named
    else
      await expect(open(hub, `hf://datasets/o/n/${path}`)).rejects.toMatchObject({
        code: "SOURCE_NOT_FOUND",
      });
  });

  test.each([
    ["none.tar", "SOURCE_NOT_FOUND", "no such file: none.tar"],
    ["data/s-{08..13}.tar", "SOURCE_NOT_FOUND", "no such file: data/s-12.tar"],
    ["none/*.tar", "SOURCE_NOT_FOUND", "no tar, Parquet file or image matches none/*.tar"],
    ["data/*.md", "SOURCE_NOT_FOUND", "no tar, Parquet file or image matches data/*.md"],
    ["{data,none}/*.tar", "SOURCE_NOT_FOUND", "no tar, Parquet file or image matches none/*.tar"],
    [
      "data/README.md",
      "BAD_OPTION",
      "data/README.md is no tar (.tar, .tar.gz, .tgz, .tar.zst), Parquet file or image",
    ],
    [
      "p/*",
      "BAD_OPTION",
      "names files of several kinds (1 Parquet files, 1 images); name one kind",
    ],
    [
      "{top.tar,p/b.jpg}",
      "BAD_OPTION",
      "names files of several kinds (1 tar files, 1 images); name one kind",
    ],
    ["data/s-{01,0*}.tar", "BAD_OPTION", "names data/s-01.tar twice"],
    ["{data,top.tar}", "BAD_OPTION", "data is a folder; expected files"],
    ["data/s-{5..1}.tar", "BAD_OPTION", "data/s-{5..1}.tar: {5..1} runs backwards"],
  ])("%s is %s", async (path, code, reason) => {
    const hub = await many();
    const error: unknown = await open(hub, `hf://datasets/o/n/${path}`).catch((e: unknown) => e);
    expect(error).toMatchObject({ code, message: expect.stringContaining(reason) as unknown });
  });

  test("named files are asked for by name, however large the repo is", async () => {
    const hub = await many();
    await open(hub, "hf://datasets/o/n/data/s-{00..11}.tar");
    expect(hub.requests.map(({ kind }) => kind)).toEqual(["info", "paths-info"]);
  });

  test("only the folder before the first wildcard is listed", async () => {
    const hub = await many();
    await open(hub, "hf://datasets/o/n/data/deep/**/y.tar");
    const listed = hub.requests
      .filter(({ kind }) => kind === "tree")
      .map(({ url }) => url.split("?")[0]);
    expect(new Set(listed)).toEqual(
      new Set([
        `/api/datasets/o/n/tree/${(await open(hub, "hf://datasets/o/n")).commit}/data/deep`,
      ]),
    );
  });
});

describe("revisions", () => {
  test("a branch is resolved once; the files stay those of the commit", async () => {
    const hub = await hubOf({ page: 2 });
    const repo = hub.create("o/n");
    const first = repo.commit({ "a.tar": "one", "b.tar": "two", "c.tar": "three", "d.tar": "4" });
    // the branch moves between the question for the commit and the listing, and again before the files are read
    hub.fault = ({ kind, nth }) => {
      if (kind === "tree" && nth === 0)
        repo.commit({ "a.tar": "other", "c.tar": null, "z.tar": "new" });
      return undefined;
    };
    const listing = await open(hub, "hf://datasets/o/n");
    expect([listing.commit, names(listing)]).toEqual([first, ["a.tar", "b.tar", "c.tar", "d.tar"]]);
    const net = await netOf(envOf(hub));
    const file = listing.files[2]!;
    const { signal } = new AbortController();
    expect(
      Buffer.concat(await collect(net.download(file.url, file.known, { signal }))).toString(),
    ).toBe("three");
    expect((await open(hub, "hf://datasets/o/n")).commit).not.toBe(first);
  });

  test("branches, tags, commits, special references", async () => {
    const hub = await hubOf();
    const repo = hub.create("o/n");
    const first = repo.commit(filled("a.tar"));
    repo.tag("v1", first);
    const branch = repo.commit(filled("b.tar"), { branch: "feature/x" });
    const pull = repo.commit(filled("c.tar"), { branch: "refs/pr/3" });
    repo.commit(filled("d.tar"));
    for (const [revision, commit, name] of [
      ["v1", first, "a.tar"],
      [first, first, "a.tar"],
      ["feature%2Fx", branch, "b.tar"],
      ["refs/pr/3", pull, "c.tar"],
    ]) {
      const listing = await open(hub, `hf://datasets/o/n@${revision}`);
      expect([listing.commit, names(listing)]).toEqual([commit, [name]]);
    }
    await expect(open(hub, "hf://datasets/o/n@none")).rejects.toMatchObject({
      code: "SOURCE_NOT_FOUND",
      message: "hf://datasets/o/n@none: no branch, tag or commit none",
    });
  });

  test("a data set that has moved, and one from before there were owners", async () => {
    const hub = await hubOf();
    const commit = hub.create("new/name").commit(filled("a.tar"));
    hub.rename("old/name", "new/name");
    hub.rename("bare", "new/name");
    for (const address of ["hf://datasets/old/name", "hf://datasets/bare"]) {
      const listing = await open(hub, address);
      expect(listing).toMatchObject({
        repo: "new/name",
        commit,
        files: [{ url: `${hub.url}/datasets/new/name/resolve/${commit}/a.tar` }],
      });
    }
  });
});

describe("who may read", () => {
  const tokens = { hf_owner: ["o/private", "o/gated"], hf_stranger: [] };

  async function guarded(): Promise<Hub> {
    const hub = await hubOf({ tokens });
    hub.create("o/private", { private: true }).commit(filled("a.tar"));
    hub.create("o/gated", { gated: "auto" }).commit(filled("a.tar"));
    hub.create("o/open").commit(filled("a.tar"));
    return hub;
  }

  test("with a token that opens them", async () => {
    const hub = await guarded();
    for (const name of ["private", "gated", "open"]) {
      const env = { HF_TOKEN: "hf_owner" };
      const { files } = await open(hub, `hf://datasets/o/${name}`, env);
      const net = await netOf(envOf(hub, env));
      const { url, known } = files[0]!;
      const { signal } = new AbortController();
      expect(Buffer.concat(await collect(net.download(url, known, { signal }))).toString()).toBe(
        "a.tar",
      );
    }
    expect(hub.violations).toEqual([]);
    expect(hub.requests.filter(({ host, token }) => host === "hub" && !token)).toEqual([]);
    expect(hub.requests.filter(({ host }) => host === "files")).toHaveLength(3);
  });

  test.each([
    [
      "private",
      undefined,
      "SOURCE_NOT_FOUND",
      "o/private: no such data set, or a private one: check the name; for a private one set HF_TOKEN",
    ],
    [
      "none",
      undefined,
      "SOURCE_NOT_FOUND",
      "o/none: no such data set, or a private one: check the name; for a private one set HF_TOKEN",
    ],
    [
      "private",
      "hf_stranger",
      "SOURCE_NOT_FOUND",
      "o/private: no such data set, or a private one that the token does not open",
    ],
    [
      "none",
      "hf_stranger",
      "SOURCE_NOT_FOUND",
      "o/none: no such data set, or a private one that the token does not open",
    ],
    [
      "open",
      "hf_wrong",
      "UNAUTHORIZED",
      "o/open: the Hub does not know this token: it is mistyped, expired or revoked; make one at",
    ],
    ["gated", undefined, "UNAUTHORIZED", "o/gated: this data set is gated: ask for access at"],
    [
      "gated",
      "hf_stranger",
      "UNAUTHORIZED",
      "o/gated: this data set is gated and the token's owner has no access yet: ask for it at",
    ],
  ])("%s with token %s: %s", async (name, token, code, reason) => {
    const hub = await guarded();
    const error: unknown = await open(hub, `hf://datasets/o/${name}`, { HF_TOKEN: token }).catch(
      (e: unknown) => e,
    );
    expect(error).toMatchObject({ code, message: expect.stringContaining(reason) as unknown });
    expect(String(error)).not.toContain("hf_wrong");
  });

  test("a mirror that does not know the question for access", async () => {
    const hub = await guarded();
    hub.fault = ({ kind }) =>
      kind === "auth-check" ? { status: 404, message: "no such page" } : undefined;
    expect(names(await open(hub, "hf://datasets/o/gated", { HF_TOKEN: "hf_owner" }))).toEqual([
      "a.tar",
    ]);
  });
});

describe("a bad night", () => {
  test("too many requests, errors in bursts and answers that break off change nothing", async () => {
    const hub = await hubOf({ page: 4 });
    const paths = Array.from({ length: 40 }, (_, i) => `d${i % 3}/${i}.tar`);
    hub.create("o/n").commit(filled(...paths));
    const calm = await open(hub, "hf://datasets/o/n");
    const least = hub.requests.length;
    const env = envOf(hub);
    const net = createNet({ clock: patient(), tries: 10 });
    onTestFinished(() => net.close());
    const before = hub.requests.length;
    let asked = 0;
    hub.fault = () => {
      asked++;
      if (asked % 5 === 1) return tooMany(30);
      if (asked % 5 === 2) return { status: 503 };
      if (asked % 5 === 3) return { cut: 100 };
      if (asked % 5 === 4) return { hangUp: true };
      return undefined;
    };
    const { signal } = new AbortController();
    expect(await openHub("hf://datasets/o/n", { net, env, signal })).toEqual(calm);
    expect(hub.requests.length - before).toBe(5 * least);
  });

  test("a file comes whole through cuts, signed addresses that expire and ranges that are ignored", async () => {
    const hub = await hubOf({ tokens: { hf_owner: ["o/n"] } });
    const bytes = noise(1_000_000, 3);
    hub.create("o/n", { private: true }).commit({ "a.tar": bytes });
    const env = { HF_TOKEN: "hf_owner" };
    const listing = await open(hub, "hf://datasets/o/n", env);
    const net = createNet({ token: await hubToken(envOf(hub, env)), clock: patient(), tries: 10 });
    onTestFinished(() => net.close());
    let asked = 0;
    hub.fault = ({ kind }) => {
      if (kind !== "file") return undefined;
      asked++;
      if (asked === 2) return { ignoreRange: true, cut: 600_000 };
      if (asked === 3) return { length: 5000 };
      if (asked > 3) return undefined;
      // the next request with this address comes too late
      setImmediate(() => hub.expireLinks());
      return { cut: 300_000 };
    };
    const { signal } = new AbortController();
    const { url, known } = listing.files[0]!;
    expect(sha256(Buffer.concat(await collect(net.download(url, known, { signal }))))).toBe(
      sha256(bytes),
    );
    expect(asked).toBeGreaterThan(2);
    expect(hub.violations).toEqual([]);
    // every byte that differs is found
    hub.fault = ({ kind }) => (kind === "file" ? { garble: 999_999 } : undefined);
    await expect(collect(net.download(url, known, { signal }))).rejects.toMatchObject({
      code: "SHARD_CORRUPT",
    });
  });

  test("answers that are no Hub's", async () => {
    const hub = await hubOf();
    hub.create("o/n").commit(filled("a.tar"));
    const real = await netOf(envOf(hub));
    const answers = (body: string): Net => ({
      ...real,
      fetch: (input, init) =>
        String(input).includes("/tree/")
          ? Promise.resolve(new Response(body, { headers: { "content-type": "application/json" } }))
          : real.fetch(input, init),
    });
    const oid = "0".repeat(40);
    for (const [body, reason] of [
      ["<html>", "it is not JSON"],
      ["{}", "not iterable"],
      [`[{"type":"file","path":"../a.tar","size":1,"oid":"${oid}"}]`, "without a proper path"],
      [`[{"type":"file","path":"/etc/a.tar","size":1,"oid":"${oid}"}]`, "without a proper path"],
      [`[{"type":"file","size":1,"oid":"${oid}"}]`, "without a proper path"],
      [`[{"type":"file","path":"a.tar","size":-1,"oid":"${oid}"}]`, "no size for a.tar"],
      [`[{"type":"file","path":"a.tar","size":1}]`, "no hash for a.tar"],
      [
        `[{"type":"file","path":"a.tar","size":1,"oid":"${oid}","lfs":{"oid":"x","size":1}}]`,
        "no hash for a.tar",
      ],
    ] as const) {
      const env = envOf(hub);
      const { signal } = new AbortController();
      const error: unknown = await openHub("hf://datasets/o/n", {
        net: answers(body),
        env,
        signal,
      }).catch((e: unknown) => e);
      expect(error).toMatchObject({
        code: "NETWORK",
        message: expect.stringContaining(reason) as unknown,
      });
    }
  });

  test("the caller gives up", async () => {
    const hub = await hubOf();
    hub.create("o/n").commit(filled("a.tar"));
    const env = envOf(hub);
    const net = await netOf(env);
    const early = AbortSignal.abort();
    await expect(openHub("hf://datasets/o/n", { net, env, signal: early })).rejects.toMatchObject({
      code: "ABORTED",
    });
    const late = new AbortController();
    hub.fault = ({ kind }) => {
      if (kind === "tree") late.abort();
      return undefined;
    };
    await expect(
      openHub("hf://datasets/o/n", { net, env, signal: late.signal }),
    ).rejects.toMatchObject({ code: "ABORTED" });
  });
});
