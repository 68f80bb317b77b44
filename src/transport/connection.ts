import { createHash, timingSafeEqual } from "node:crypto";
import type { Socket } from "node:net";
import { asStreamError, StreamError } from "../errors.ts";
import type { CellMaker, ImageFormat } from "../model.ts";
import { createReader, type Frame } from "./frame.ts";
import { startCounts } from "./counts.ts";
import {
  calls,
  packMessage,
  PROTOCOL_VERSION,
  readClientMessage,
  type ClientMessage,
  type Place,
  type Reward,
} from "./messages.ts";
import { createOutlet } from "./outlet.ts";
import { startRequest, type RequestContext, type Running } from "./request.ts";
import type { Activity, RequestKind, Tally, Waiting } from "./tally.ts";

/** What one client may ask of a server. */
export interface Limits {
  /** Clients at once. */
  readonly connections: number;
  /** Milliseconds from the connection to a complete hello. */
  readonly handshake: number;
  /** Unanswered requests of one connection. */
  readonly requests: number;
  /** Bytes of one connection that wait for the kernel before no further cell is pulled for it; each of its requests may be pulling one by then. */
  readonly queued: number;
  /** Bytes of a frame from a client, before and after its hello. */
  readonly helloFrame: number;
  readonly clientFrame: number;
  /** Bytes of credit a stream may hold. */
  readonly credit: number;
}

export const defaultLimits: Limits = {
  connections: 64,
  handshake: 10_000,
  requests: 16,
  queued: 32 * 2 ** 20,
  helloFrame: 64 * 2 ** 10,
  clientFrame: 2 ** 20,
  credit: 2 ** 40,
};

/** Rewards that a trainer gave to answers; for metrics and curriculum. */
export interface Feedback {
  readonly client: string;
  readonly step: number;
  readonly rewards: readonly Reward[];
}

export interface ConnectionContext {
  readonly maker: CellMaker;
  readonly limits: Limits;
  /** Addresses of all loaders of the stream, where this one was told. */
  loaders(): readonly string[] | undefined;
  /** SHA-256 of the token, where one is wanted. */
  readonly token: Buffer | undefined;
  readonly tally: Tally;
  onFeedback(feedback: Feedback): void;
  onError(error: StreamError): void;
  onEvent(event: ServerEvent): void;
}

/** What a log may want to know. Texts are the client's own: they may hold anything. */
export type ServerEvent =
  | { readonly kind: "joined"; readonly client: ClientInfo }
  /** With the reason, where it is the server that ended it. */
  | { readonly kind: "left"; readonly client: ClientInfo; readonly error?: StreamError }
  /** A client before its hello, or one too many. */
  | { readonly kind: "refused"; readonly address: string; readonly error: StreamError }
  | {
      readonly kind: "failed";
      readonly client: ClientInfo;
      readonly request: RequestKind;
      readonly error: StreamError;
    };

export interface ClientInfo {
  /** As the client calls itself; empty before its hello. */
  readonly name: string;
  readonly address: string;
  readonly format: ImageFormat;
  /** Unanswered requests. */
  readonly requests: number;
  readonly sentBytes: number;
  /** Rewards received. */
  readonly rewards: number;
  /** What it waits for, or is waited for. */
  readonly waiting: Waiting;
}

export interface Connection {
  info(): ClientInfo;
  /** Tells the client why and closes. */
  close(reason: StreamError): void;
  /** Finishes what was asked for, refuses more with CLOSED, then closes; a client that waits for nothing is sent away at once. */
  drain(reason: StreamError): void;
  /** The socket is closed, all work for it has stopped and every cell has been released. */
  readonly finished: Promise<void>;
}

/** Milliseconds for a client to read why it is being disconnected. */
const FAREWELL = 1_000;

export const tokenDigest = (token: string): Buffer =>
  createHash("sha256").update(token, "utf8").digest();

/** Answers one client until either side goes. Nothing that a client sends throws here. */
export function serveConnection(socket: Socket, context: ConnectionContext): Connection {
  const { maker, limits, tally } = context;
  const outlet = createOutlet(socket, limits.queued, tally);
  const reader = createReader(limits.helloFrame);
  const running = new Map<number, Running>();
  const work = new Set<Promise<void>>();
  const address =
    socket.remoteAddress === undefined ? "unix" : `${socket.remoteAddress}:${socket.remotePort}`;
  let hello: Extract<ClientMessage, { kind: "hello" }> | undefined;
  let activity: Activity | undefined;
  let rewards = 0;
  let leaving = false;
  let draining: StreamError | undefined;
  let ended: StreamError | undefined;

  const info = (): ClientInfo => ({
    name: hello?.client ?? "",
    address,
    format: hello?.format ?? "raw",
    requests: running.size,
    sentBytes: outlet.sent,
    rewards,
    waiting: activity?.waiting ?? "request",
  });

  const leave = (): void => {
    leaving = true;
    clearTimeout(handshake);
    for (const request of running.values()) request.cancel();
  };
  const close = (reason?: StreamError): void => {
    if (leaving) return;
    leave();
    if (reason !== undefined) {
      ended = reason;
      tally.connection(reason.code);
      void outlet.write([
        packMessage({ kind: "error", code: reason.code, message: reason.message.toWellFormed() }),
      ]);
    }
    socket.end();
    // What the client still sends is read and dropped: closing with unread bytes would reset the connection and lose the error.
    setTimeout(() => socket.destroy(), FAREWELL).unref();
  };
  const handshake = setTimeout(
    () => close(new StreamError("PROTOCOL", `no hello within ${limits.handshake} ms`)),
    limits.handshake,
  );
  handshake.unref();

  const place = (): Place => {
    const { near } = maker;
    const loaders = context.loaders();
    return { ...(near && { near }), ...(loaders && { loaders }) };
  };

  const greet = (message: ClientMessage): void => {
    if (message.kind !== "hello")
      throw new StreamError("PROTOCOL", `the first message must be hello, not ${message.kind}`);
    if (
      context.token !== undefined &&
      !timingSafeEqual(tokenDigest(message.token ?? ""), context.token)
    ) {
      throw new StreamError(
        "UNAUTHORIZED",
        message.token === undefined ? "this server wants a token" : "wrong token",
      );
    }
    if (message.protocol !== PROTOCOL_VERSION) {
      throw new StreamError(
        "PROTOCOL",
        `this server speaks protocol ${PROTOCOL_VERSION}, the client ${message.protocol}`,
      );
    }
    const stream = maker.info();
    if (message.fingerprint !== undefined && message.fingerprint !== stream.fingerprint) {
      throw new StreamError(
        "OTHER_STREAM",
        `this server's stream is ${stream.fingerprint}, not ${message.fingerprint.slice(0, 200)}`,
      );
    }
    clearTimeout(handshake);
    hello = message;
    activity = tally.client();
    tally.connection("welcomed");
    reader.limit = limits.clientFrame;
    void outlet.write([
      packMessage({ kind: "welcome", protocol: PROTOCOL_VERSION, info: stream, calls, ...place() }),
    ]);
    context.onEvent({ kind: "joined", client: info() });
  };

  const start = (
    message: Extract<ClientMessage, { kind: "get" | "stream" | "counts" }>,
    format: ImageFormat,
    activity: Activity,
  ): void => {
    const { id } = message;
    if (running.has(id))
      throw new StreamError("PROTOCOL", `request ${id} has not been answered yet, its id is taken`);
    if (draining) return refuse(message, draining);
    if (running.size >= limits.requests) {
      const reason = `at most ${limits.requests} requests of one connection at a time`;
      return refuse(message, new StreamError("LIMIT", reason));
    }
    if (message.kind === "stream") checkCredit(id, message.credit);
    const own: RequestContext = {
      maker,
      outlet,
      format,
      tally,
      activity,
      onError: (error) => context.onError(error),
      onFailure: (request, error) =>
        context.onEvent({ kind: "failed", client: info(), request, error }),
    };
    const done = (): void => void running.delete(id);
    const request =
      message.kind === "counts" ? startCounts(id, own, done) : startRequest(message, own, done);
    running.set(id, request);
    const finished = request.finished.then(() => {
      work.delete(finished);
      if (draining && work.size === 0) close(draining);
    });
    work.add(finished);
  };

  const refuse = (
    { id, kind }: { readonly id: number; readonly kind: RequestKind },
    error: StreamError,
  ): void => {
    const { code, message } = error;
    tally.request(kind, code);
    void outlet.write([packMessage({ kind: "error", id, code, message })]);
    context.onEvent({ kind: "failed", client: info(), request: kind, error });
  };

  const checkCredit = (id: number, bytes: number): void => {
    if (bytes > limits.credit)
      throw new StreamError(
        "PROTOCOL",
        `request ${id} holds more than ${limits.credit} bytes of credit`,
      );
  };

  const handle = (message: ClientMessage): void => {
    if (hello === undefined || activity === undefined) return greet(message);
    switch (message.kind) {
      case "hello":
        throw new StreamError("PROTOCOL", "a second hello");
      case "get":
      case "stream":
      case "counts":
        return start(message, hello.format, activity);
      case "credit": {
        // A request that has just ended may still be given credit.
        const credit = running.get(message.id)?.credit;
        checkCredit(message.id, (credit?.balance ?? 0) + message.bytes);
        return credit?.give(message.bytes);
      }
      case "cancel":
        return running.get(message.id)?.cancel();
      case "feedback":
        rewards += message.rewards.length;
        return context.onFeedback({
          client: hello.client,
          step: message.step,
          rewards: message.rewards,
        });
      case "poll":
        return void outlet.write([
          packMessage({ kind: "info", id: message.id, info: maker.info(), ...place() }),
        ]);
      case "bye":
        return close();
    }
  };

  const receive = (frame: Frame): void => {
    if (!leaving) handle(readClientMessage(frame));
  };

  socket.on("data", (chunk: Buffer) => {
    if (leaving) return;
    try {
      for (const frame of reader.push(chunk)) receive(frame);
    } catch (thrown) {
      const error = asStreamError(thrown);
      if (error.code === "INTERNAL") context.onError(error);
      close(error);
    }
  });
  // The other side hung up, in the middle of a frame or not: nobody is left to be told.
  socket.on("end", () => socket.destroy());
  socket.on("error", leave);

  return {
    info,
    close,
    drain(reason) {
      draining = reason;
      for (const request of running.values()) request.drain();
      if (work.size === 0) close(reason);
    },
    finished: new Promise<void>((resolve) => {
      socket.once("close", () => {
        leave();
        activity?.end();
        if (hello)
          context.onEvent({ kind: "left", client: info(), ...(ended && { error: ended }) });
        else if (ended) context.onEvent({ kind: "refused", address, error: ended });
        resolve();
      });
    }).then(async () => {
      await Promise.all(work);
    }),
  };
}
