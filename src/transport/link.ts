import { connect, type OnReadOpts, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { asStreamError, StreamError } from "../errors.ts";
import type { ImageFormat, StreamInfo } from "../model.ts";
import { isOpenWay, parseAddress, type Address } from "./address.ts";
import { createReader, MAX_FRAME_BYTES, PREFIX_BYTES, type Frame } from "./frame.ts";
import {
  packMessage,
  PROTOCOL_VERSION,
  readServerMessage,
  type ClientMessage,
  type Place,
  type ServerMessage,
} from "./messages.ts";
import { clientTls, tlsFailure, type ClientTls } from "./tls.ts";
import { clientToken } from "./tokens.ts";

/** One connection of a client, from hello to the end. */
export interface Link {
  readonly info: StreamInfo;
  /** As the welcome told. */
  readonly place: Place;
  /** What the server answers beyond what every server does. */
  readonly calls: readonly string[];
  /** Bytes that came, also of frames that are not complete. */
  readonly received: number;
  /** Aborted, with the error as its reason, when the connection is gone for whatever reason. */
  readonly lost: AbortSignal;
  /** Does nothing once the connection is gone: whoever waits for an answer is told by `lost`. */
  send(message: ClientMessage): void;
  /** Answers to this id go to the sink until it is removed. `bytes` is the length of the frame. */
  attach(id: number, sink: Sink): void;
  detach(id: number): void;
  close(): void;
}

export interface Sink {
  message(message: Answer, bytes: number): void;
  /** No more messages will come. */
  lost(error: StreamError): void;
}

export type Answer =
  | Extract<ServerMessage, { readonly id: number }>
  | (Extract<ServerMessage, { kind: "error" }> & { readonly id: number });

type Welcome = Extract<ServerMessage, { kind: "welcome" }>;

export interface LinkOptions {
  readonly address: string;
  readonly token?: string | undefined;
  readonly tokenFile?: string | undefined;
  /** For tls addresses. */
  readonly tls?: ClientTls | undefined;
  readonly format: ImageFormat;
  /** Whether cells come with a checksum; where left out, over a network without TLS. */
  readonly checksum?: boolean | undefined;
  readonly name: string;
  readonly fingerprint?: string | undefined;
  /** Milliseconds to the welcome. */
  readonly timeout: number;
  /** Ends the attempt, later the connection: CLOSED. */
  readonly signal?: AbortSignal | undefined;
}

/** Throws CONNECTION_LOST where nobody answers, else what the server refused the hello with. */
export async function openLink(options: LinkOptions): Promise<Link> {
  const { format, name, fingerprint } = options;
  const token = clientToken(options.token, options.tokenFile);
  const address = parseAddress(options.address);
  const { checksum = isOpenWay(address) } = options;
  const secure = address.kind === "tls" ? clientTls(address.host, options.tls) : undefined;
  const sinks = new Map<number, Sink>();
  const reader = createReader(MAX_FRAME_BYTES);
  const ended = new AbortController();
  let received = 0;

  return await new Promise((resolve, reject) => {
    let gone: StreamError | undefined;
    let welcomed = false;
    let shaken = false;

    const lose = (error: StreamError): void => {
      if (gone !== undefined) return;
      gone = error;
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", close);
      socket.destroy();
      reject(error);
      ended.abort(error);
      for (const sink of sinks.values()) sink.lost(error);
      sinks.clear();
    };
    const lost = (reason: string): void =>
      lose(new StreamError("CONNECTION_LOST", `${options.address}: ${reason}${doubt()}`));
    // A server that refuses a certificate does so after the handshake, and may be gone before its reason is here.
    const doubt = (): string =>
      shaken && !welcomed ? " (it may want another certificate of its clients)" : "";
    const close = (): void =>
      lose(new StreamError("CLOSED", `the connection to ${options.address} has been closed`));
    const timer = setTimeout(
      () => lost(`no welcome within ${options.timeout} ms`),
      options.timeout,
    );

    const link = ({ info, calls = [], near, loaders }: Welcome): Link => ({
      info,
      calls,
      place: { ...(near && { near }), ...(loaders && { loaders }) },
      lost: ended.signal,
      get received() {
        return received;
      },
      send(message) {
        if (gone === undefined) socket.write(packMessage(message));
      },
      attach(id, sink) {
        if (gone === undefined) sinks.set(id, sink);
        else sink.lost(gone);
      },
      detach(id) {
        sinks.delete(id);
      },
      close,
    });

    const handle = (frame: Frame): void => {
      const message = readServerMessage(frame);
      if (message.kind === "error" && message.id === undefined) {
        // The server goes away on purpose: for a client that is a lost connection like any other.
        return message.code === "CLOSED"
          ? lost(message.message)
          : lose(new StreamError(message.code, message.message));
      }
      if (message.kind === "welcome") {
        if (welcomed) throw new StreamError("PROTOCOL", "a second welcome");
        if (message.protocol !== PROTOCOL_VERSION)
          throw new StreamError(
            "PROTOCOL",
            `the server speaks protocol ${message.protocol}, this client ${PROTOCOL_VERSION}`,
          );
        welcomed = true;
        clearTimeout(timer);
        return resolve(link(message));
      }
      if (!welcomed)
        throw new StreamError("PROTOCOL", `the server answered hello with ${message.kind}`);
      // Frames of a request that was cancelled may still have been under way.
      sinks
        .get(message.id ?? 0)
        ?.message(message as Answer, PREFIX_BYTES + frame.meta.length + frame.body.length);
    };

    const filled = (bytes: number): void => {
      received += bytes;
      try {
        const frame = reader.filled(bytes);
        if (frame !== undefined) handle(frame);
      } catch (thrown) {
        lose(asStreamError(thrown));
      }
    };

    // The socket reads each part of a frame straight into its place: images are copied once, by the kernel.
    const onread = {
      buffer: () => reader.space(),
      callback: (bytes: number) => {
        if (gone === undefined) filled(bytes);
        return true;
      },
    };
    const socket = dial(address, onread, secure);
    socket.on("secureConnect", () => (shaken = true));
    socket.on("error", (error) => {
      const failure = tlsFailure(error, socket, options.address);
      if (failure === undefined) lost(error.message);
      else lose(failure);
    });
    socket.on("close", () => lost("the server closed the connection"));
    options.signal?.addEventListener("abort", close);
    if (options.signal?.aborted === true) return close();
    const given = {
      ...(token === undefined ? {} : { token }),
      ...(fingerprint === undefined ? {} : { fingerprint }),
    };
    socket.write(
      packMessage({
        kind: "hello",
        protocol: PROTOCOL_VERSION,
        format,
        client: name,
        checksum,
        ...given,
      }),
    );
  });
}

/** A socket that reads into what `onread` gives; `secure` where it is a TLS socket. */
function dial(address: Address, onread: OnReadOpts, secure?: ConnectionOptions): Socket {
  if (address.kind === "unix") return connect({ path: address.path, onread });
  const { host, port } = address;
  const options = {
    host,
    port,
    onread,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 30_000,
  };
  return secure === undefined ? connect(options) : connectTls({ ...options, ...secure });
}
