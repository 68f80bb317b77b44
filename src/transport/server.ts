import { createServer as createSocketServer, type Socket } from "node:net";
import type { Server as TlsServer } from "node:tls";
import { StreamError } from "../errors.ts";
import type { CellMaker } from "../model.ts";
import { formatAddress, parseAddress } from "./address.ts";
import { createBudget } from "./budget.ts";
import {
  serveConnection,
  type ClientInfo,
  type Connection,
  type ConnectionContext,
  type Feedback,
  type ServerEvent,
} from "./connection.ts";
import { createDoor, UNKNOWN, type Guest } from "./door.ts";
import { limitsOf, type Limits } from "./limits.ts";
import { listen } from "./listen.ts";
import { createTally, type ServerCounts } from "./tally.ts";
import { openCertificates, type ServerTls } from "./tls.ts";
import { openTokens } from "./tokens.ts";

export type { ClientInfo, Feedback, ServerEvent } from "./connection.ts";
export type { Limits } from "./limits.ts";
export type { ServerCounts } from "./tally.ts";
export type { ServerTls } from "./tls.ts";

export interface ServerOptions {
  /** `tcp://127.0.0.1:7531`, `tls://0.0.0.0:7531`, `tcp://[::1]:0` or `unix:///run/ssl-r1.sock`; port 0 lets the system choose. */
  readonly listen: string;
  /** For `tls:` addresses, and only for these. */
  readonly tls?: ServerTls;
  /** What every client must present one of; compared in constant time. */
  readonly token?: string | readonly string[];
  /** File with more tokens, one a line, read anew when it changes. Who came with one that is gone has to connect again with another. */
  readonly tokenFile?: string;
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
  /** What the owner should know of the files of tls and tokens: other users can read a secret, a changed file is of no use. */
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
  /** Reads the files of tls and tokens again now, where they have changed; they are looked at once a second anyway. */
  reload(): Promise<void>;
  /** Disconnects everybody; settles when all work has stopped and every cell has been released. Idempotent. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What tests put in the place of the machine. */
export interface ServerSeams {
  /** Milliseconds. */
  readonly now?: () => number;
  /** Milliseconds between two reviews of who has been quiet for too long. */
  readonly every?: number;
}

/** Serves a maker's cells to many clients at once. Throws BAD_OPTION, UNSAFE_LISTEN or LISTEN_FAILED. */
export async function createServer(
  maker: CellMaker,
  options: ServerOptions,
  seams: ServerSeams = {},
): Promise<Server> {
  const { now = () => performance.now(), every = 1_000 } = seams;
  const address = parseAddress(options.listen);
  if ((address.kind === "tls") !== (options.tls !== undefined))
    throw new StreamError(
      "BAD_OPTION",
      address.kind === "tls"
        ? "a tls address needs a certificate and its key (--tls-cert, --tls-key)"
        : `a certificate is given, and ${options.listen} is no tls address`,
    );
  const limits = limitsOf(options.limits);
  const connections = new Set<Connection>();
  const review = (): void => {
    for (const connection of connections) connection.review();
  };
  const onWarning = (text: string): void => options.onWarning?.(text);
  const tokens = await openTokens({
    tokens: [options.token ?? []].flat(),
    file: options.tokenFile,
    onWarning,
    onChange() {
      review();
      options.onEvent?.({ kind: "reloaded", what: "tokens" });
    },
  });
  const tally = createTally();
  const door = createDoor(limits);
  const context: ConnectionContext = {
    maker,
    limits,
    tally,
    tokens,
    now,
    budget: createBudget({
      cells: limits.cells,
      inAll: limits.queuedInAll,
      each: limits.queued,
    }),
    loaders: () => options.loaders?.(),
    onFeedback: (feedback) => options.onFeedback?.(feedback),
    onError: (error) => options.onError?.(error),
    onEvent: (event) => options.onEvent?.(event),
  };
  let draining: Promise<void> | undefined;
  const open = new Set<Promise<void>>();

  const serve = (socket: Socket, guest: Guest): Connection => {
    const connection = serveConnection(socket, context, guest);
    connections.add(connection);
    const finished = connection.finished.then(() => {
      connections.delete(connection);
      open.delete(finished);
    });
    open.add(finished);
    if (draining) connection.drain(goingAway());
    return connection;
  };
  const accept = (socket: Socket): void => {
    const guest = door.enter(socket.remoteAddress ?? UNKNOWN, () =>
      connection.close(
        new StreamError("LIMIT", `at most ${limits.strangers} connections without a hello`),
      ),
    );
    const connection = serve(socket, guest);
  };

  const certificates =
    options.tls &&
    (await openCertificates(options.tls, limits.handshake, onWarning, () =>
      options.onEvent?.({ kind: "reloaded", what: "certificates" }),
    ).catch((error: unknown) => {
      tokens?.close();
      throw error;
    }));
  /** Sockets of which the handshake is not over, by what they and their TLS socket have in common. */
  const shaking = new Map<string, { readonly socket: Socket; readonly guest: Guest }>();
  const ends = (socket: Socket): string =>
    `${socket.localAddress} ${socket.remoteAddress} ${socket.remotePort}`;
  const acceptTls = (secure: TlsServer, socket: Socket): void => {
    const guest = door.enter(socket.remoteAddress ?? UNKNOWN, () => socket.destroy());
    const key = ends(socket);
    shaking.set(key, { socket, guest });
    socket.once("close", () => {
      if (shaking.get(key)?.socket === socket) shaking.delete(key);
      guest.leave();
    });
    secure.emit("connection", socket);
  };
  certificates?.server.on("secureConnection", (socket) => {
    const found = shaking.get(ends(socket));
    shaking.delete(ends(socket));
    if (found === undefined) socket.destroy();
    else serve(socket, found.guest);
  });
  const server = createSocketServer(
    { noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 },
    (socket) => {
      if (certificates === undefined) accept(socket);
      else acceptTls(certificates.server, socket);
    },
  );
  const guarded = tokens !== undefined || options.tls?.clientCa !== undefined;
  const closeFiles = (): void => {
    tokens?.close();
    certificates?.close();
  };
  const bound = await listen(server, address, {
    guarded,
    insecure: options.insecure === true,
  }).catch((error: unknown) => {
    closeFiles();
    throw error;
  });
  const reviewing = setInterval(review, every);
  reviewing.unref();
  // One connection that could not be accepted (out of file descriptors, say) must not end the others.
  server.on("error", (error) =>
    context.onError(new StreamError("INTERNAL", error.message, { cause: error })),
  );

  const drain = async (): Promise<void> => {
    const stopped = new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
    for (const { socket } of shaking.values()) socket.destroy();
    for (const connection of connections) connection.drain(goingAway());
    await stopped;
    await Promise.all(open);
  };

  let closing: Promise<void> | undefined;
  const close = (): Promise<void> =>
    (closing ??= stop().then(async () => {
      await Promise.all(open);
    }));
  const stop = (): Promise<void> => {
    closeFiles();
    clearInterval(reviewing);
    for (const { socket } of shaking.values()) socket.destroy();
    return new Promise((resolve) => {
      server.close(() => resolve());
      for (const connection of connections) connection.close(goingAway());
    });
  };
  return {
    address: formatAddress(bound),
    get clients() {
      return [...connections].map((connection) => connection.info());
    },
    reload: async () => {
      await Promise.all([certificates?.look(), tokens?.look()]);
    },
    counts: () => tally.counts(),
    drain: () => (draining ??= drain()),
    close,
    [Symbol.asyncDispose]: close,
  };
}

function goingAway(): StreamError {
  return new StreamError("CLOSED", "the server is shutting down");
}
