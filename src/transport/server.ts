import {
  createServer as createSocketServer,
  type Server as SocketServer,
  type Socket,
} from "node:net";
import { StreamError } from "../errors.ts";
import type { CellMaker } from "../model.ts";
import { formatAddress, parseAddress } from "./address.ts";
import {
  defaultLimits,
  serveConnection,
  tokenDigest,
  type ClientInfo,
  type Connection,
  type ConnectionContext,
  type Feedback,
  type Limits,
  type ServerEvent,
} from "./connection.ts";
import { listen } from "./listen.ts";
import { packMessage } from "./messages.ts";
import { createTally, type ServerCounts } from "./tally.ts";
import { openCertificates, type ServerTls } from "./tls.ts";

export type { ClientInfo, Feedback, Limits, ServerEvent } from "./connection.ts";
export type { ServerCounts } from "./tally.ts";
export type { ServerTls } from "./tls.ts";

export interface ServerOptions {
  /** `tcp://127.0.0.1:7531`, `tls://0.0.0.0:7531`, `tcp://[::1]:0` or `unix:///run/ssl-r1.sock`; port 0 lets the system choose. */
  readonly listen: string;
  /** For `tls:` addresses, and only for these. */
  readonly tls?: ServerTls;
  /** What every client must present; compared in constant time. */
  readonly token?: string;
  /** Allows an address beyond loopback without encryption (anybody on the way can read token and images) or without a token (anybody may connect). */
  readonly insecure?: boolean;
  /** Addresses of all loaders of the stream, for clients that know this one alone; asked for each client. */
  readonly loaders?: () => readonly string[] | undefined;
  readonly limits?: Partial<Limits>;
  readonly onFeedback?: (feedback: Feedback) => void;
  /** Failures that are the server's own, for its log. */
  readonly onError?: (error: StreamError) => void;
  /** Who came, who left, what was refused; for its log. */
  readonly onEvent?: (event: ServerEvent) => void;
  /** What the owner should know of the files of tls: other users can read a key, a changed file is of no use. */
  readonly onWarning?: (message: string) => void;
}

export interface Server {
  /** With the real port. */
  readonly address: string;
  /** Those connected now. */
  readonly clients: readonly ClientInfo[];
  /** What was done so far, for metrics. */
  counts(): ServerCounts;
  /**
   * Takes no more clients, refuses requests with CLOSED, finishes those under way (a stream ends with the step that it is in) and disconnects everybody:
   * clients go to another loader. Settles when all have gone, which may take as long as a client does not read. Idempotent.
   */
  drain(): Promise<void>;
  /** Reads the files of tls again now, where they have changed; they are looked at once a second anyway. */
  reload(): Promise<void>;
  /** Disconnects everybody; settles when all work has stopped and every cell has been released. Idempotent. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Serves a maker's cells to many clients at once. Throws BAD_OPTION, UNSAFE_LISTEN or LISTEN_FAILED. */
export async function createServer(maker: CellMaker, options: ServerOptions): Promise<Server> {
  const address = parseAddress(options.listen);
  if ((address.kind === "tls") !== (options.tls !== undefined))
    throw new StreamError(
      "BAD_OPTION",
      address.kind === "tls"
        ? "a tls address needs a certificate and its key (--tls-cert, --tls-key)"
        : `a certificate is given, and ${options.listen} is no tls address`,
    );
  if (options.token === "") throw new StreamError("BAD_OPTION", "token is empty");
  const limits: Limits = { ...defaultLimits, ...options.limits };
  const tally = createTally();
  const context: ConnectionContext = {
    maker,
    limits,
    tally,
    loaders: () => options.loaders?.(),
    token: options.token === undefined ? undefined : tokenDigest(options.token),
    onFeedback: (feedback) => options.onFeedback?.(feedback),
    onError: (error) => options.onError?.(error),
    onEvent: (event) => options.onEvent?.(event),
  };
  let draining: Promise<void> | undefined;
  const connections = new Set<Connection>();
  const open = new Set<Promise<void>>();

  const accept = (socket: Socket): void => {
    if (connections.size >= limits.connections) {
      const error = new StreamError("LIMIT", `at most ${limits.connections} clients at a time`);
      tally.connection(error.code);
      context.onEvent({ kind: "refused", address: socket.remoteAddress ?? "unix", error });
      return refuse(socket, error);
    }
    const connection = serveConnection(socket, context);
    connections.add(connection);
    const finished = connection.finished.then(() => {
      connections.delete(connection);
      open.delete(finished);
    });
    open.add(finished);
    if (draining) connection.drain(goingAway());
  };

  const certificates =
    options.tls === undefined
      ? undefined
      : await openCertificates(options.tls, limits.handshake, (text) => options.onWarning?.(text));
  certificates?.server.on("secureConnection", accept);
  const server = createSocketServer(
    { noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 },
    certificates === undefined
      ? accept
      : (socket) => void certificates.server.emit("connection", socket),
  );
  const guarded = context.token !== undefined || options.tls?.clientCa !== undefined;
  const bound = await listen(server, address, {
    guarded,
    insecure: options.insecure === true,
  }).catch((error: unknown) => {
    certificates?.close();
    throw error;
  });
  // One connection that could not be accepted (out of file descriptors, say) must not end the others.
  server.on("error", (error) =>
    context.onError(new StreamError("INTERNAL", error.message, { cause: error })),
  );

  const drain = async (): Promise<void> => {
    const stopped = new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
    for (const connection of connections) connection.drain(goingAway());
    await stopped;
    await Promise.all(open);
  };

  let closing: Promise<void> | undefined;
  const close = (): Promise<void> =>
    (closing ??= stop(server, connections).then(async () => {
      certificates?.close();
      await Promise.all(open);
    }));
  return {
    address: formatAddress(bound),
    get clients() {
      return [...connections].map((connection) => connection.info());
    },
    reload: async () => {
      await certificates?.look();
    },
    counts: () => tally.counts(),
    drain: () => (draining ??= drain()),
    close,
    [Symbol.asyncDispose]: close,
  };
}

function stop(server: SocketServer, connections: Iterable<Connection>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    for (const connection of connections) connection.close(goingAway());
  });
}

function goingAway(): StreamError {
  return new StreamError("CLOSED", "the server is shutting down");
}

function refuse(socket: Socket, { code, message }: StreamError): void {
  socket.on("error", () => {});
  socket.resume();
  socket.end(packMessage({ kind: "error", code, message }), () => socket.destroy());
}
