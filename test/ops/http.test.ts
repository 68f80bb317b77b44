import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import type { StreamError } from "../../src/errors.ts";
import { serveHttp, text } from "../../src/ops/http.ts";

async function open(more: Partial<Parameters<typeof serveHttp>[0]> = {}): Promise<{
  address: string;
  readonly socket: () => Promise<Socket>;
  readonly close: () => Promise<void>;
}> {
  const http = await serveHttp({
    listen: "127.0.0.1:0",
    pages: { "/a": () => text(200, "a") },
    ...more,
  });
  onTestFinished(() => http.close());
  const { port, hostname } = new URL(http.address);
  return {
    ...http,
    async socket() {
      const socket = connect(Number(port), hostname);
      socket.on("error", () => {});
      onTestFinished(() => void socket.destroy());
      await once(socket, "connect");
      return socket;
    },
  };
}

test("who is slow with a question, or asks nothing, is sent away; others are answered", async () => {
  const { address, socket } = await open({ patience: 0.2 });
  const slow = await socket();
  slow.write("GET /a HTTP/1.1\r\nhost: x\r\nx-one: ");
  const silent = await socket();
  await Promise.all([once(slow, "close"), once(silent, "close")]);
  expect((await fetch(`${address}/a`)).status).toBe(200);
});

test("no more than 32 connections", async () => {
  const { socket } = await open();
  const first = await Promise.all(Array.from({ length: 32 }, socket));
  const late = await socket();
  await once(late, "close");
  for (const one of first) expect(one.closed).toBe(false);
});

test("a page that fails says nothing of why; its owner is told", async () => {
  const errors: StreamError[] = [];
  const { address } = await open({
    pages: {
      "/b": () => {
        throw new Error("/secret/path");
      },
    },
    onError: (error) => errors.push(error),
  });
  const answer = await fetch(`${address}/b`);
  expect([answer.status, await answer.text()]).toEqual([500, "failed; the log says why\n"]);
  expect(errors.map(({ message }) => message)).toEqual(["/secret/path"]);
});

test("addresses", async () => {
  for (const listen of ["9531", "host", "127.0.0.1:65536", "http://127.0.0.1:1/path", "a b:1", ""])
    await expect(open({ listen })).rejects.toMatchObject({ code: "BAD_OPTION" });
  for (const listen of ["localhost:0", "http://127.0.0.1:0"]) {
    const { address } = await open({ listen });
    expect(address).toMatch(/^http:\/\/(127\.0\.0\.1|\[::1\]):[1-9]\d*$/);
  }
  await expect(open({ listen: "0.0.0.0:0" })).rejects.toMatchObject({ code: "UNSAFE_LISTEN" });
  const wide = await open({ listen: "0.0.0.0:0", insecure: true });
  expect(wide.address).toMatch(/^http:\/\/0\.0\.0\.0:\d+$/);
});

test("closing ends connections, and again does nothing", async () => {
  const { address, socket, close } = await open();
  const held = await socket();
  const gone = once(held, "close");
  await Promise.all([close(), close()]);
  await gone;
  await expect(fetch(`${address}/a`)).rejects.toThrow();
});
