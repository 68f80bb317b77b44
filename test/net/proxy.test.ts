import { createServer as createTls } from "node:tls";
import type { AddressInfo } from "node:net";
import { expect, test, vi } from "vitest";
import { createNet } from "../../src/net/create.ts";
import { cleanup, failure, get, network, sample, serve, testClock } from "./harness.ts";
import { createProxy, type Proxy } from "./proxy.ts";

const content = sample(300_000);

async function through(port: number): Promise<Proxy> {
  const proxy = await createProxy(port);
  cleanup(() => proxy.close());
  return proxy;
}

test("http goes through the proxy of the environment, but not to loopback and not where NO_PROXY says so", async () => {
  const server = await serve(content);
  const port = Number(new URL(server.url).port);
  const proxy = await through(port);
  for (const name of ["http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY"]) vi.stubEnv(name, "");
  cleanup(() => void vi.unstubAllEnvs());
  vi.stubEnv("http_proxy", proxy.url.replace("//", "//user:word@"));
  vi.stubEnv("no_proxy", "inner.invalid, .away.invalid");
  const net = createNet({
    clock: testClock(),
    tries: 2,
    token: { value: "hf_x", origins: ["http://shards.invalid"] },
  });
  cleanup(() => net.close());
  server.faults.push({ cut: 1000 }, {}, { redirect: "http://cdn.invalid/signed" });
  for (let round = 0; round < 2; round++)
    expect((await get(net, "http://shards.invalid/a.tar?x=1")).equals(content)).toBe(true);
  expect(proxy.seen).toEqual([
    "GET http://shards.invalid/a.tar?x=1",
    "GET http://shards.invalid/a.tar?x=1",
    "GET http://shards.invalid/a.tar?x=1",
    "GET http://cdn.invalid/signed",
  ]);
  expect(proxy.headers.map((one) => one["proxy-authorization"])).toEqual(
    Array(4).fill("Basic dXNlcjp3b3Jk"),
  );
  expect(server.seen.map(({ headers }) => headers.authorization)).toEqual([
    ...Array<string>(3).fill("Bearer hf_x"),
    undefined,
  ]);
  expect((await get(net, server.url)).equals(content)).toBe(true);
  await failure(get(net, "http://inner.invalid/x"));
  await failure(get(net, "http://far.away.invalid/x"));
  expect(proxy.seen).toHaveLength(4);
});

test("https goes through a tunnel", async () => {
  const names: string[] = [];
  const target = createTls({
    SNICallback: (name, done) => {
      names.push(name);
      done(new Error("no certificate here"));
    },
  });
  target.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => target.listen(0, "127.0.0.1", resolve));
  cleanup(() => void target.close());
  const proxy = await through((target.address() as AddressInfo).port);
  const net = network({ proxies: { https: proxy.url }, tries: 1 });
  const error = await failure(get(net, "https://shards.invalid/a.tar"));
  expect(error).toMatchObject({ code: "NETWORK", context: { host: "shards.invalid" } });
  expect(proxy.seen).toEqual(["CONNECT shards.invalid:443"]);
  expect(names).toEqual(["shards.invalid"]);
});

test("a proxy that wants a password, and one that is no address, fail at once", async () => {
  const server = await serve(content);
  server.always = { status: 407 };
  const proxies = { http: server.url };
  const net = network({ proxies });
  expect(await failure(get(net, "http://shards.invalid/a.tar"))).toMatchObject({
    code: "NETWORK",
    message: expect.stringMatching(/407/),
  });
  expect(net.counts).toMatchObject({ requests: 1, retries: 0 });
  expect(() => network({ proxies: { http: "me:geheim@nowhere:x" } })).toThrow(/^HTTP_PROXY or/);
});

test("a proxy that is not there is a failure of the network", async () => {
  const server = await serve(content);
  await server.close();
  const net = network({ proxies: { http: server.url, https: server.url }, tries: 2 });
  for (const address of ["http://shards.invalid/a.tar", "https://shards.invalid/a.tar"])
    expect(await failure(get(net, address))).toMatchObject({
      code: "NETWORK",
      message: expect.stringMatching(/ECONNREFUSED/),
    });
});
