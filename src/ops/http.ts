import { lookup } from "node:dns/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { isIPv6 } from "node:net";
import { asStreamError, StreamError } from "../errors.ts";
import { isLoopback } from "../transport/address.ts";

/** What is answered for one path: always plain, never cached, nothing in it of the request. */
export interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

export interface HttpOptions {
  /** `127.0.0.1:9531`, `[::1]:0`, also with `http://` before it; port 0 lets the system choose. */
  readonly listen: string;
  /** Allows an address beyond loopback: everybody there can read how the loader is. */
  readonly insecure?: boolean;
  /** By path. */
  readonly pages: { readonly [path: string]: () => Page | Promise<Page> };
  /** Seconds that a client may take for its question, and for reading the answer; 5. */
  readonly patience?: number;
  readonly onError?: (error: StreamError) => void;
}

export interface Http {
  /** `http://127.0.0.1:9531`, with the real port. */
  readonly address: string;
  /** Drops who is connected. Idempotent. */
  close(): Promise<void>;
}

/** Scrapers and probes are few and quick; who is neither must not hold anything of the loader. */
const limits = { connections: 32, headerBytes: 8_192 };

/** A small HTTP server for GET and HEAD. Throws BAD_OPTION, UNSAFE_LISTEN, LISTEN_FAILED. */
export async function serveHttp(options: HttpOptions): Promise<Http> {
  const { pages } = options;
  const { host, port } = parse(options.listen);
  const ip = await lookup(host).then(
    ({ address }) => address,
    (cause: unknown) => Promise.reject(failed(options.listen, cause)),
  );
  if (!options.insecure && !isLoopback(ip))
    throw new StreamError(
      "UNSAFE_LISTEN",
      `--http ${options.listen} can be reached from other machines, and it asks nobody who he is; listen on loopback, or say in words that everybody there may read how this loader is: \`--http-insecure\``,
    );
  const patience = (options.patience ?? 5) * 1000;
  const server = createServer(
    {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: patience,
      requestTimeout: patience,
      keepAliveTimeout: patience,
      connectionsCheckingInterval: 1_000,
    },
    (request, response) =>
      void answer(request, response).catch((error: unknown) => {
        options.onError?.(asStreamError(error));
        response.destroy();
      }),
  );
  server.maxConnections = limits.connections;
  // a client that never reads what it asked for
  server.setTimeout(patience);

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { status, type, body } = await pageOf(request);
    response.writeHead(status, {
      "content-type": type,
      "content-length": Buffer.byteLength(body),
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      ...(status === 405 && { allow: "GET, HEAD" }),
    });
    response.end(request.method === "HEAD" ? undefined : body);
  }

  async function pageOf({ method, url = "/" }: IncomingMessage): Promise<Page> {
    if (method !== "GET" && method !== "HEAD") return text(405, "only GET and HEAD");
    const path = url.split("?", 1)[0]!;
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
    if (!page) return text(404, `there are ${Object.keys(pages).join(", ")}`);
    try {
      return await page();
    } catch (error) {
      options.onError?.(asStreamError(error));
      return text(500, "failed; the log says why");
    }
  }

  await new Promise<void>((resolve, reject) => {
    const onError = (cause: Error): void => reject(failed(options.listen, cause));
    server.once("error", onError);
    server.listen({ host: ip, port }, () => {
      server.off("error", onError);
      resolve();
    });
  });
  server.on("error", (error) => options.onError?.(asStreamError(error)));
  server.unref();
  const bound = server.address() as { readonly port: number };
  let closing: Promise<void> | undefined;
  return {
    address: `http://${isIPv6(ip) ? `[${ip}]` : ip}:${bound.port}`,
    close: () =>
      (closing ??= new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      })),
  };
}

export function text(status: number, body: string): Page {
  return { status, type: "text/plain; charset=utf-8", body: `${body}\n` };
}

function parse(given: string): { host: string; port: number } {
  const match = /^(?:http:\/\/)?(?:\[([^\]/]+)\]|([^\s:/[\]]+)):(\d{1,5})\/?$/.exec(given);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535)
    throw new StreamError(
      "BAD_OPTION",
      `--http: got ${JSON.stringify(given)}; expected host:port, as 127.0.0.1:9531`,
    );
  return { host, port };
}

function failed(given: string, cause: unknown): StreamError {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
  const reason = code === "EADDRINUSE" ? "the address is in use" : code;
  return new StreamError("LISTEN_FAILED", `can't listen on --http ${given}: ${reason}`, { cause });
}
