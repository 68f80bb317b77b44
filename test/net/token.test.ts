import { describe, expect, test } from "vitest";
import { failure, get, network, never, sample, serve } from "./harness.ts";

const content = sample(50_000);
const value = "hf_secret-of-mine";

async function pair() {
  const hub = await serve(content);
  const cdn = await serve(content);
  const net = network({ token: { value, origins: [hub.url] } });
  return { hub, cdn, net };
}

describe("the token", () => {
  test("goes to its own origins only, whoever redirects where, whatever the answers say", async () => {
    const { hub, cdn, net } = await pair();
    const headers = { "x-cache": "Miss from cloudfront", via: "1.1 x.cloudfront.net (CloudFront)" };
    cdn.headers = headers;
    for (const status of [301, 302, 303, 307, 308]) {
      hub.faults.push({ redirect: `${cdn.url}/signed?Signature=1`, status, headers });
      expect((await get(net, `${hub.url}/file`)).equals(content)).toBe(true);
    }
    expect(hub.seen.every(({ headers }) => headers.authorization === `Bearer ${value}`)).toBe(true);
    expect(cdn.seen).toHaveLength(5);
    expect(JSON.stringify(cdn.seen)).not.toContain(value);
  });

  test("comes back with a redirect that comes back", async () => {
    const { hub, cdn, net } = await pair();
    hub.faults.push({ redirect: `${cdn.url}/away` }, { redirect: "/there" });
    cdn.faults.push({ redirect: `${hub.url}/back` });
    expect((await get(net, `${hub.url}/file`)).equals(content)).toBe(true);
    expect(hub.seen.map(({ path, headers }) => [path, headers.authorization])).toEqual([
      ["/file", `Bearer ${value}`],
      ["/back", `Bearer ${value}`],
      ["/there", `Bearer ${value}`],
    ]);
    expect(JSON.stringify(cdn.seen)).not.toContain(value);
  });

  test("is not sent elsewhere by a library that adds it by itself", async () => {
    const { hub, cdn, net } = await pair();
    const headers = { Authorization: `Bearer ${value}` };
    hub.faults.push({ redirect: `${cdn.url}/signed` });
    expect((await net.fetch(`${hub.url}/file`, { headers })).status).toBe(200);
    // what @huggingface/hub does after an answer with a CloudFront header
    expect((await net.fetch(`${cdn.url}/signed`, { headers })).status).toBe(200);
    await net.head(`${cdn.url}/signed`, never);
    expect(hub.seen[0]!.headers.authorization).toBe(`Bearer ${value}`);
    expect(cdn.seen).toHaveLength(3);
    expect(JSON.stringify(cdn.seen)).not.toContain(value);
  });

  test("of somebody else, and a cookie, stay with the origin that was asked", async () => {
    const { hub, cdn } = await pair();
    const net = network();
    hub.faults.push({ redirect: `${cdn.url}/signed` });
    await net.fetch(`${hub.url}/file`, { headers: { authorization: "Basic abc", cookie: "a=b" } });
    expect(hub.seen[0]!.headers).toMatchObject({ authorization: "Basic abc", cookie: "a=b" });
    expect(cdn.seen[0]!.headers.authorization).toBeUndefined();
    expect(cdn.seen[0]!.headers.cookie).toBeUndefined();
  });

  test("and the secrets of an address are in no error", async () => {
    const { hub, cdn, net } = await pair();
    const messages: string[] = [];
    for (const status of [400, 401, 403, 404, 410, 418, 500]) {
      hub.faults.push(
        ...Array<object>(30).fill({ redirect: `${cdn.url}/signed?Signature=geheim` }),
      );
      cdn.faults.push(...Array<object>(30).fill({ status }));
      const error = await failure(
        get(net, `${hub.url.replace("//", "//me:word@")}/file?key=geheim`),
      );
      messages.push(error.message, JSON.stringify(error.context), String(error.stack));
      hub.faults.length = 0;
      cdn.faults.length = 0;
    }
    expect(messages.join("\n")).not.toMatch(/geheim|word|hf_secret/);
    expect(JSON.stringify(cdn.seen)).not.toMatch(/hf_secret|bWU6d29yZA/);
  });

  test("a password in the address is sent where it belongs", async () => {
    const { hub, cdn } = await pair();
    hub.faults.push({ redirect: `${cdn.url.replace("//", "//you:word@")}/signed` });
    await get(network(), `${hub.url.replace("//", "//me:word@")}/file`);
    expect(hub.seen[0]!.headers.authorization).toBe("Basic bWU6d29yZA==");
    expect(cdn.seen[0]!.headers.authorization).toBeUndefined();
  });
});

describe("redirects", () => {
  test("the rest is asked for where the address redirected to, as long as that is good", async () => {
    const { hub, cdn, net } = await pair();
    const signed = (number: number) => ({ redirect: `${cdn.url}/${number}?Signature=${number}` });
    hub.faults.push(signed(1), signed(2), signed(3));
    cdn.faults.push(
      { cut: 20_000 },
      { status: 503 },
      { cut: 10_000 },
      { status: 403 },
      { status: 500 },
      { status: 429 },
      { cut: -1 },
    );
    expect((await get(net, `${hub.url}/file`)).equals(content)).toBe(true);
    expect(hub.seen.map(({ path }) => path)).toEqual(["/file", "/file", "/file"]);
    expect(cdn.seen.map(({ path, headers }) => `${path[1]} ${headers.range}`)).toEqual([
      "1 undefined",
      "1 bytes=20000-",
      "1 bytes=20000-",
      "1 bytes=30000-",
      "2 bytes=30000-",
      "2 bytes=30000-",
      "2 bytes=30000-",
      "3 bytes=30000-",
    ]);
    expect(cdn.seen.some(({ headers }) => headers.authorization)).toBe(false);
    expect(hub.seen.every(({ headers }) => headers.authorization)).toBe(true);
  });

  test("a signed address that is refused once is asked for anew", async () => {
    const { hub, cdn, net } = await pair();
    const redirect = { redirect: `${cdn.url}/signed` };
    hub.faults.push(redirect, redirect);
    cdn.faults.push({ status: 403 });
    expect((await get(net, `${hub.url}/file`)).equals(content)).toBe(true);
    hub.faults.push(redirect, redirect);
    cdn.faults.push({ status: 403 }, { status: 403 });
    expect(await failure(get(net, `${hub.url}/file`))).toMatchObject({ code: "UNAUTHORIZED" });
  });

  test("ten are followed, not more, and none to where none should lead", async () => {
    const server = await serve(content);
    const net = network();
    server.faults.push(...Array<object>(10).fill({ redirect: "/on" }));
    expect((await get(net, `${server.url}/file`)).equals(content)).toBe(true);
    server.faults.push(...Array<object>(11).fill({ redirect: "/on" }));
    expect(await failure(get(net, `${server.url}/file`))).toMatchObject({
      code: "NETWORK",
      message: expect.stringMatching(/\/file: more than 10 redirects/),
    });
    for (const redirect of ["file:///etc/passwd", "ftp://x/y", "https://[", "data:text/plain,x"]) {
      server.faults.push({ redirect });
      const before = server.seen.length;
      expect(await failure(get(net, `${server.url}/file`))).toMatchObject({ code: "NETWORK" });
      expect(server.seen).toHaveLength(before + 1);
    }
  });

  test("what the Hub says of a file while it redirects must fit", async () => {
    const { hub, cdn, net } = await pair();
    const size = content.length;
    const linked = (size: number, etag: string) => ({
      redirect: `${cdn.url}/signed`,
      headers: { "x-linked-size": String(size), "x-linked-etag": etag },
    });
    hub.faults.push(linked(size, '"abc"'));
    expect((await get(net, `${hub.url}/file`, { size, etag: "abc" })).equals(content)).toBe(true);
    hub.faults.push(linked(size, '"abc"'));
    expect(await net.head(`${hub.url}/file`, never)).toEqual({ size, etag: '"abc"', ranges: true });
    expect(cdn.seen).toHaveLength(1);
    hub.faults.push(linked(size, '"def"'), linked(size, '"def"'));
    expect(await failure(get(net, `${hub.url}/file`, { size, etag: "abc" }))).toMatchObject({
      code: "SHARD_CORRUPT",
      message: expect.stringMatching(/ETag was abc and is "def" now/),
    });
    hub.faults.push(linked(size + 1, '"abc"'), linked(size + 1, '"abc"'));
    expect(await failure(get(net, `${hub.url}/file`))).toMatchObject({ code: "SHARD_CORRUPT" });
  });
});
