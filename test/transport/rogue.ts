import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import type { StreamInfo } from "../../src/model.ts";
import { cellFrames } from "../../src/transport/cells.ts";
import { createReader, MAX_FRAME_BYTES } from "../../src/transport/frame.ts";
import {
  calls,
  packMessage,
  PROTOCOL_VERSION,
  readClientMessage,
  type ClientMessage,
  type PlainMessage,
} from "../../src/transport/messages.ts";
import { createFake, type FakeOptions } from "./fake.ts";

type Get = Extract<ClientMessage, { kind: "get" }>;

/** What a server that does as it likes can do with a request. */
export interface Turn {
  readonly get: Get;
  readonly socket: Socket;
  /** How many gets came before, on any connection. */
  readonly number: number;
  /** The frames of a right answer, or one to other slots or another step under this request's id; without the end. */
  readonly cells: (slots?: readonly number[], step?: number) => Promise<readonly Uint8Array[]>;
  readonly say: (message: PlainMessage) => void;
  /** As a server should. */
  readonly answer: () => Promise<void>;
}

export interface RogueOptions extends FakeOptions {
  readonly loaders?: () => readonly string[];
  /** Instead of a welcome. */
  readonly greet?: (socket: Socket, info: StreamInfo) => void;
  readonly onGet?: (turn: Turn) => Promise<void> | void;
  /** Polls are answered. Default true. */
  readonly polls?: () => boolean;
  readonly onPoll?: (socket: Socket) => void;
}

export interface Rogue {
  readonly address: string;
  /** Those open now. */
  readonly sockets: ReadonlySet<Socket>;
  /** Connections so far. */
  readonly accepted: number;
  readonly gets: readonly Get[];
  readonly cancels: readonly number[];
  cut(): void;
  /** On the same port. */
  listen(): Promise<void>;
  close(): Promise<void>;
}

/** A server of the fake maker's stream that answers each request as the test says. */
export async function createRogue(options: RogueOptions): Promise<Rogue> {
  const maker = createFake(options);
  const sockets = new Set<Socket>();
  const gets: Get[] = [];
  const cancels: number[] = [];
  let accepted = 0;

  const cells = async (
    id: number,
    step: number,
    slots: readonly number[] | undefined,
  ): Promise<Uint8Array[]> => {
    const frames: Uint8Array[] = [];
    for await (const cell of maker.cells([slots === undefined ? { step } : { step, slots }])) {
      for (const { head, images } of cellFrames(id, cell))
        frames.push(Buffer.concat([head, ...images]));
      cell.release();
    }
    return frames;
  };

  const serve = (socket: Socket): void => {
    const reader = createReader(MAX_FRAME_BYTES);
    accepted++;
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    const say = (message: PlainMessage): void => void socket.write(packMessage(message));
    const place = {
      ...(options.near && { near: options.near }),
      ...(options.loaders && { loaders: options.loaders() }),
    };
    const take = async (message: ClientMessage): Promise<void> => {
      switch (message.kind) {
        case "hello":
          if (options.greet !== undefined) return options.greet(socket, maker.info());
          return say({
            kind: "welcome",
            protocol: PROTOCOL_VERSION,
            info: maker.info(),
            calls,
            ...place,
          });
        case "poll":
          if (options.polls?.() === false) return;
          if (options.onPoll !== undefined) return options.onPoll(socket);
          return say({ kind: "info", id: message.id, info: maker.info(), ...place });
        case "cancel":
          cancels.push(message.id);
          return say({ kind: "done", id: message.id });
        case "get": {
          const { id, step, slots } = message;
          const answer = async (): Promise<void> => {
            for (const frame of await cells(id, step, slots)) socket.write(frame);
            say({ kind: "end", id, step });
          };
          const number = gets.push(message) - 1;
          if (options.onGet === undefined) return await answer();
          return await options.onGet({
            get: message,
            socket,
            number,
            cells: (other = slots, at = step) => cells(id, at, other),
            say,
            answer,
          });
        }
        default:
      }
    };
    socket.on("data", (chunk) => {
      for (const frame of reader.push(chunk)) void take(readClientMessage(frame));
    });
  };

  let server = createServer({ noDelay: true }, serve);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    address: `tcp://127.0.0.1:${port}`,
    sockets,
    get accepted() {
      return accepted;
    },
    gets,
    cancels,
    cut,
    async listen() {
      server = createServer({ noDelay: true }, serve);
      server.listen(port, "127.0.0.1");
      await once(server, "listening");
    },
    async close() {
      cut();
      if (!server.listening) return;
      server.close();
      await once(server, "close");
    },
  };
}
