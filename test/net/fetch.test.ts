import { downloadFile, fileDownloadInfo, listFiles, pathsInfo } from "@huggingface/hub";
import { expect, test } from "vitest";
import { etagOf, type Fault } from "../fixtures/faulty-server.ts";
import { failure, network, never, sample, serve, soon } from "./harness.ts";

const content = sample(300_000);
const size = content.length;
const json = Buffer.from(JSON.stringify([{ type: "file", path: "a.tar", size: 5, oid: "abc" }]));

async function bytes(response: Response): Promise<Buffer> {
  return Buffer.from(await response.arrayBuffer());
}

test("an answer as the platform's, whatever happens on the way", async () => {
  const server = await serve(content);
  const net = network();
  const mishaps: readonly Fault[] = [
    {},
    { status: 429 },
    { cut: -1 },
    { cut: 1000 },
    { chunked: true, cut: 1000 },
    { gzip: true },
    { gzip: true, cut: 1000 },
  ];
  for (const fault of mishaps) {
    server.faults.push(fault);
    const response = await net.fetch(`${server.url}/x?y=1`, { headers: { Accept: "text/x" } });
    expect(response).toMatchObject({
      status: 200,
      statusText: "OK",
      ok: true,
      url: `${server.url}/x?y=1`,
    });
    expect(response.headers.get("etag")).toBe(etagOf(content));
    expect(response.headers.get("content-encoding")).toBeNull();
    expect((await bytes(response)).equals(content)).toBe(true);
    expect(server.seen.at(-1)?.headers.accept).toBe("text/x");
  }
  server.faults.push({ status: 404, headers: { "x-error-code": "EntryNotFound" } });
  const missing = await net.fetch(new URL(server.url));
  expect([missing.status, missing.headers.get("x-error-code"), await missing.text()]).toEqual([
    404,
    "EntryNotFound",
    "no file today",
  ]);
  const head = await net.fetch(new Request(server.url, { method: "HEAD" }));
  expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([
    200,
    String(size),
    "",
  ]);
});

test("a range is a range, also where the server ignores it", async () => {
  const server = await serve(content);
  const net = network();
  const wrong = { contentRange: `bytes 0-9/${size}` };
  for (const fault of [
    {},
    { ignoreRange: true },
    { gzip: true },
    wrong,
    { ignoreRange: true, chunked: true },
  ])
    for (const [from, to, range] of [
      [5, 10, "bytes=5-9"],
      [0, 1, "bytes=0-0"],
      [size - 5, size, `bytes=${size - 5}-`],
      [size - 5, size, `bytes=${size - 5}-${size + 9}`],
    ] as const) {
      server.faults.push(fault);
      const response = await net.fetch(server.url, { headers: { Range: range } });
      expect(response.status).toBe(206);
      const sized = "gzip" in fault || "chunked" in fault ? "*" : size;
      expect(response.headers.get("content-range")).toBe(`bytes ${from}-${to - 1}/${sized}`);
      expect((await bytes(response)).equals(content.subarray(from, to))).toBe(true);
    }
  for (const fault of [{}, { ignoreRange: true }]) {
    server.faults.push(fault);
    const beyond = await net.fetch(server.url, { headers: { Range: `bytes=${size}-` } });
    expect([beyond.status, beyond.headers.get("content-range")]).toEqual([416, `bytes */${size}`]);
  }
});

test("a body too large to hold comes piece by piece, and survives cuts", async () => {
  const large = sample((1 << 24) + 5);
  const server = await serve(large);
  const net = network();
  server.faults.push({ cut: 1 << 20 }, { cut: 1 << 20 });
  expect((await bytes(await net.fetch(server.url))).equals(large)).toBe(true);
  expect(server.seen.map(({ headers }) => headers.range)).toEqual([
    undefined,
    `bytes=${1 << 20}-`,
    `bytes=${2 << 20}-`,
  ]);
  server.faults.push({ cut: 9 }, { ignoreRange: true });
  const part = await net.fetch(server.url, { headers: { range: "bytes=3-" } });
  expect(part.status).toBe(206);
  expect((await bytes(part)).equals(large.subarray(3))).toBe(true);
  server.faults.push({ ignoreRange: true, cut: 9 });
  const cut = await net.fetch(server.url, { headers: { range: "bytes=3-" } });
  expect((await bytes(cut)).equals(large.subarray(3))).toBe(true);
  // given up before the first byte, and half-way: the request is over, the connection goes
  const single = network({ requests: 1, patience: 1e9 });
  await (await single.fetch(server.url)).body!.cancel();
  await single.head(server.url, never);
  const reader = (await net.fetch(server.url)).body!.getReader();
  await reader.read();
  await reader.cancel();
  await net.close();
  await expect.poll(() => server.open(), soon).toBe(0);
});

test("only what changes nothing is sent again", async () => {
  const server = await serve(json);
  const net = network();
  const post = (path: string): Promise<Response> =>
    net.fetch(`${server.url}${path}`, {
      method: "POST",
      body: '{"paths":["a"]}',
      headers: { "content-type": "application/json" },
    });
  server.faults.push({ status: 503 }, { cut: 3 });
  expect((await post("/api/datasets/a/b/paths-info/main")).status).toBe(200);
  expect(server.seen.map(({ body }) => body)).toEqual(Array(3).fill('{"paths":["a"]}'));
  server.faults.push({ status: 503 });
  expect(await failure(post("/api/repos/create"))).toMatchObject({
    code: "NETWORK",
    context: { tries: 1 },
  });
  expect(server.seen).toHaveLength(4);
  server.faults.push({ status: 303, redirect: "/done" }, {}, { status: 307, redirect: "/on" }, {});
  await post("/api/repos/create");
  await post("/api/repos/create");
  expect(server.seen.slice(4).map(({ method, body }) => [method, body])).toEqual([
    ["POST", '{"paths":["a"]}'],
    ["GET", ""],
    ["POST", '{"paths":["a"]}'],
    ["POST", '{"paths":["a"]}'],
  ]);
});

test("@huggingface/hub through it", async () => {
  const hub = await serve(json);
  const cdn = await serve(content);
  const accessToken = "hf_mine";
  const { fetch } = network({ token: { value: accessToken, origins: [hub.url] } });
  const common = { repo: "datasets/a/b", hubUrl: hub.url, accessToken, fetch } as const;
  hub.faults.push({ status: 429, headers: { ratelimit: '"api";r=0;t=3' } }, { cut: 7 });
  const listed = [];
  for await (const file of listFiles(common)) listed.push(file.path);
  expect(listed).toEqual(["a.tar"]);
  hub.faults.push({ cut: -1 });
  expect((await pathsInfo({ ...common, paths: ["a.tar"] })).map(({ path }) => path)).toEqual([
    "a.tar",
  ]);
  const redirect = { redirect: `${cdn.url}/signed?Signature=1` };
  cdn.headers = { "x-cache": "Hit from cloudfront" };
  for (const fault of [{}, { ignoreRange: true }, { status: 429 }]) {
    hub.faults.push(redirect, redirect);
    cdn.faults.push(fault);
    expect(await fileDownloadInfo({ ...common, path: "a.tar" })).toMatchObject({
      size,
      etag: etagOf(content),
    });
    hub.faults.length = 0;
    hub.faults.push(redirect, redirect, redirect);
    const blob = await downloadFile({ ...common, path: "a.tar", xet: false });
    hub.faults.length = 0;
    hub.faults.push(redirect);
    cdn.faults.push({ ignoreRange: true });
    const part = Buffer.from(await blob!.slice(10, 20).arrayBuffer());
    expect(part.equals(content.subarray(10, 20))).toBe(true);
  }
  expect(JSON.stringify(cdn.seen)).not.toContain(accessToken);
  expect(hub.seen.every(({ headers }) => headers.authorization === `Bearer ${accessToken}`)).toBe(
    true,
  );
});

test("answers that nobody reads do not stop the others", async () => {
  const server = await serve(sample((1 << 24) + 1));
  const net = network({ requests: 2, patience: 10 });
  const unread = [await net.fetch(server.url), await net.fetch(server.url)];
  expect((await net.head(server.url, never)).ranges).toBe(true);
  for (const one of unread) expect(await bytes(one)).toHaveLength((1 << 24) + 1);
});
