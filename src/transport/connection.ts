import type { Socket } from "node:net";
import { StreamError } from "../errors.ts";
import type { CellMaker, ImageFormat } from "../model.ts";
import { createBucket } from "./bucket.ts";
import type { Budget } from "./budget.ts";
import { UNKNOWN, type Guest } from "./door.ts";
import { createReader, type Frame } from "./frame.ts";
import { startCounts } from "./counts.ts";
import type { Limits } from "./limits.ts";
import {
  calls,
  packMessage,
  PROTOCOL_VERSION,
  readClientMessage,
  type ClientMessage,
  type PlainMessage,
  type Place,
  type Reward,
} from "./messages.ts";
import { createOutlet } from "./outlet.ts";
import { startRequest, type RequestContext, type Running } from "./request.ts";
import type { Activity, RequestKind, Tally, Waiting } from "./tally.ts";
import { tell } from "./told.ts";
import type { Tokens } from "./tokens.ts";

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
  /** Where one is wanted. */
  readonly tokens: Tokens | undefined;
  readonly budget: Budget;
  /** Milliseconds. */
  readonly now: () => number;
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
  /** Files that had changed are in use. */
  | { readonly kind: "reloaded"; readonly what: "certificates" | "tokens" }
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
  /** Closes what has been quiet for too long, has not read while memory was short, or came with a token that is none any more. */
  review(): void;
  /** The socket is closed, all work for it has stopped and every cell has been released. */
  readonly finished: Promise<void>;
}

type Hello = Extract<ClientMessage, { kind: "hello" }>;

/** Milliseconds for a client to read why it is being disconnected. */
const FAREWELL = 1_000;

/** Bytes of answers to polls and of refusals that may wait for a client to read them before more of it is read. */
const ANSWERS = 2 ** 20;

/** Answers one client until either side goes. Nothing that a client sends throws here. */
export function serveConnection(
  socket: Socket,
  context: ConnectionContext,
  guest: Guest,
): Connection {
  const { maker, limits, tally, budget, tokens, now } = context;
  const account = budget.open();
  /** When the client last said something, or took something. */
  let heard = now();
  let took = now();
  const outlet = createOutlet(socket, limits.queued, tally, account, () => (took = now()));
  const requestRate = createBucket(limits.requestRate, now);
  const messageRate = createBucket(limits.messageRate, now);
  const reader = createReader(limits.helloFrame);
  const running = new Map<number, Running>();
  const work = new Set<Promise<void>>();
  const address =
    socket.remoteAddress === undefined ? UNKNOWN : `${socket.remoteAddress}:${socket.remotePort}`;
  let hello: Hello | undefined;
  let activity: Activity | undefined;
  let token: Buffer | undefined;
  let rewards = 0;
  let answers = 0;
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
        packMessage({ kind: "error", code: reason.code, message: reason.message }),
      ]);
    }
    socket.end();
    socket.resume();
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
    token = tokens?.check(message.token);
    if (tokens !== undefined && token === undefined) {
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
    guest.admit();
    clearTimeout(handshake);
    // What it needs of its hello, without the token.
    hello = { ...message, token: "" };
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
    { format, checksum = false }: Hello,
    activity: Activity,
  ): void => {
    const { id } = message;
    if (running.has(id))
      throw new StreamError("PROTOCOL", `request ${id} has not been answered yet, its id is taken`);
    if (draining) return refuse(message, draining);
    if (overRate()) return refuse(message, tooOften());
    if (running.size >= limits.requests) {
      const reason = `at most ${limits.requests} requests of one connection at a time`;
      return refuse(message, new StreamError("LIMIT", reason));
    }
    if (message.kind === "stream") checkCredit(id, message.credit);
    const own: RequestContext = {
      maker,
      outlet,
      account,
      format,
      checksum,
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

  const overRate = (): boolean => {
    if (requestRate.debt > 0) return true;
    requestRate.take();
    return requestRate.debt > 0;
  };
  const tooOften = (): StreamError =>
    new StreamError("LIMIT", `at most ${limits.requestRate} requests of one connection a second`);

  /** An answer that is not asked to wait for the client to have read others. */
  const answer = (message: PlainMessage): void => {
    const frame = packMessage(message);
    answers += frame.length;
    void outlet.write([frame]).then(() => {
      answers -= frame.length;
      resume();
    });
  };

  const refuse = (
    { id, kind }: { readonly id: number; readonly kind: RequestKind },
    error: StreamError,
  ): void => {
    const { code, message } = error;
    tally.request(kind, code);
    answer({ kind: "error", id, code, message });
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
        return start(message, hello, activity);
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
        if (overRate()) {
          const { code, message: reason } = tooOften();
          return answer({ kind: "error", id: message.id, code, message: reason });
        }
        return answer({ kind: "info", id: message.id, info: maker.info(), ...place() });
      case "bye":
        return close();
    }
  };

  const receive = (frame: Frame): void => {
    heard = now();
    messageRate.take();
    if (!leaving) handle(readClientMessage(frame));
  };

  let pausing: NodeJS.Timeout | undefined;
  /** Reads on, unless the client has said too much or reads too little itself. */
  const resume = (): void => {
    clearTimeout(pausing);
    if (leaving) return;
    const { debt } = messageRate;
    if (debt > 0) pausing = setTimeout(resume, debt).unref();
    if (debt > 0 || answers >= ANSWERS) socket.pause();
    else if (socket.isPaused()) socket.resume();
  };

  socket.on("data", (chunk: Buffer) => {
    if (leaving) return;
    try {
      for (const frame of reader.push(chunk)) receive(frame);
    } catch (thrown) {
      close(tell(thrown, (bug) => context.onError(bug)));
    }
    resume();
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
    review() {
      if (hello === undefined || leaving) return;
      const unread = outlet.queued === 0 ? 0 : now() - took;
      const quiet = activity?.waiting === "cells" ? 0 : now() - Math.max(heard, took);
      const seconds = (time: number): number => Math.round(time / 1000);
      if (tokens !== undefined && (token === undefined || !tokens.valid(token)))
        close(new StreamError("CLOSED", "the token of this connection has been withdrawn"));
      else if (unread >= limits.stall && budget.tight)
        close(
          new StreamError(
            "CLOSED",
            `nothing was read for ${seconds(unread)} s, and memory is short`,
          ),
        );
      else if (quiet >= limits.idle)
        close(new StreamError("CLOSED", `nothing was said for ${seconds(quiet)} s`));
    },
    finished: new Promise<void>((resolve) => {
      socket.once("close", () => {
        leave();
        clearTimeout(pausing);
        guest.leave();
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
