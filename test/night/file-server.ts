/** Files behind http on loopback, with ETags and ranges, which can be told to stop. */
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import { answerFile } from "../fixtures/hub-answer.ts";
import type { Blob } from "../fixtures/hub-repo.ts";

export interface FileServer {
  /** Without a slash at its end. */
  readonly url: string;
  /** "GET name" and "HEAD name", in the order of their coming. */
  readonly seen: string[];
  /** Bytes of each file after which nothing more comes, until it is undefined again. */
  hold: number | undefined;
  /** Every answer from now on. */
  status: number | undefined;
  /** Answers that have stopped. */
  readonly held: number;
  /** Lets go what has stopped. */
  release(): void;
}

/** Closed after the test. */
export async function serveFiles(files: {
  readonly [name: string]: Uint8Array;
}): Promise<FileServer> {
  const waiting = new Set<() => void>();
  const state: FileServer = {
    url: "",
    seen: [],
    hold: undefined,
    status: undefined,
    get held() {
      return waiting.size;
    },
    release() {
      state.hold = undefined;
      for (const go of waiting) go();
    },
  };
  const server = createServer((request, response) => {
    const name = (request.url ?? "").slice(1);
    state.seen.push(`${request.method} ${name}`);
    const content = files[name];
    if (state.status !== undefined || !content) {
      response.writeHead(state.status ?? 404).end();
      return;
    }
    const blob: Blob = { content, size: content.length, oid: "" };
    const etag = createHash("sha256").update(content).digest("hex").slice(0, 16);
    response.setHeader("ETag", `"${etag}"`);
    response.setHeader("Accept-Ranges", "bytes");
    const { hold } = state;
    if (request.method === "HEAD" || hold === undefined || hold >= content.length) {
      answerFile(request, response, blob, {});
      return;
    }
    // not the range: who asks for the rest gets the whole, and stops again
    response.writeHead(200, { "Content-Length": content.length });
    response.write(content.subarray(0, hold));
    const go = (): void => {
      waiting.delete(go);
      response.end(content.subarray(hold));
    };
    waiting.add(go);
    response.on("close", () => waiting.delete(go));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return Object.assign(state, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  });
}
