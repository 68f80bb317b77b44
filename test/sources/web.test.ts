import { expect, onTestFinished, test } from "vitest";
import { openOrigin } from "../../src/origin.ts";
import { resolveSourceOptions } from "../../src/options.ts";
import { createFaultyServer, etagOf } from "../fixtures/faulty-server.ts";
import { noise, temporaryFolder } from "../fixtures/files.ts";

test("a file of a server is listed with its path, size and ETag: they are in the stream's fingerprint", async () => {
  const content = noise(1000, 1);
  const server = await createFaultyServer(content);
  onTestFinished(() => server.close());
  const base = server.url;
  const options = { source: `${base}/d/{x,y}.tar`, cache: temporaryFolder() };
  const origin = await openOrigin(resolveSourceOptions(options));
  onTestFinished(() => origin.close());
  const { length: size } = content;
  const hash = `etag:${etagOf(content)}`;
  const list = await origin.source.list();
  expect([...list]).toEqual([
    { name: "x.tar", size, hash },
    { name: "y.tar", size, hash },
  ]);
  expect(list.at(1)).toEqual({ name: "y.tar", size, hash });
  expect(list.at(2)).toBeUndefined();
});
