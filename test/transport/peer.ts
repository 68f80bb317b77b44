import { connect as connectSocket, type Socket } from "node:net";
import { parseAddress } from "../../src/transport/address.ts";
import { createReader, MAX_FRAME_BYTES, PREFIX_BYTES } from "../../src/transport/frame.ts";
import {
  packMessage,
  readServerMessage,
  type ClientMessage,
  type ServerMessage,
} from "../../src/transport/messages.ts";

/** A client that does only what a test says, good or bad. */
export interface Peer {
  readonly socket: Socket;
  send(...messages: ClientMessage[]): void;
  raw(bytes: Uint8Array): void;
  /** The next message, with the length of its frame; undefined when the connection is closed. */
  next(): Promise<(ServerMessage & { readonly bytes: number }) | undefined>;
  /** All messages up to and including the first of these kinds. */
  until(...kinds: string[]): Promise<ServerMessage[]>;
}

export const hello: ClientMessage & { kind: "hello" } = {
  kind: "hello",
  protocol: 1,
  format: "raw",
  client: "test",
};

export async function dial(address: string): Promise<Peer> {
  const parsed = parseAddress(address);
  const socket =
    parsed.kind === "unix" ? connectSocket(parsed.path) : connectSocket(parsed.port, parsed.host);
  const reader = createReader(MAX_FRAME_BYTES);
  socket.on("error", () => {});
  const messages = (async function* () {
    for await (const chunk of socket as AsyncIterable<Buffer>)
      for (const frame of reader.push(chunk)) {
        const bytes = PREFIX_BYTES + frame.meta.length + frame.body.length;
        yield { ...readServerMessage(frame), bytes };
      }
  })();
  await new Promise((resolve) => socket.once("connect", resolve));
  const peer: Peer = {
    socket,
    send(...sent) {
      for (const message of sent) socket.write(packMessage(message));
    },
    raw: (bytes) => void socket.write(bytes),
    async next() {
      const next = await messages.next().catch(() => undefined);
      return next?.done === false ? next.value : undefined;
    },
    async until(...kinds) {
      const found: ServerMessage[] = [];
      for (;;) {
        const message = await peer.next();
        if (message === undefined) throw new Error(`closed before any of ${kinds.join()}`);
        found.push(message);
        if (kinds.includes(message.kind)) return found;
      }
    },
  };
  return peer;
}

/** Connected and welcomed. */
export async function greeted(address: string, more: Partial<typeof hello> = {}): Promise<Peer> {
  const peer = await dial(address);
  peer.send({ ...hello, ...more });
  const [welcome] = await peer.until("welcome", "error");
  if (welcome?.kind !== "welcome") throw new Error(JSON.stringify(welcome));
  return peer;
}
