/** A TCP proxy on loopback that treats the bytes between a client and a loader as bad links do, by a script. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { parseAddress } from "../../src/transport/address.ts";

export type FaultKind =
  | "cut" // closed at this byte
  | "reset" // closed at this byte, with a reset
  | "refuse" // closed as soon as it is open
  | "freeze" // nothing more from this byte on, and no end
  | "half-close" // this direction ends at this byte, the other goes on
  | "truncate" // bytes are missing, the rest follows
  | "duplicate" // bytes come twice
  | "reorder" // two neighbouring pieces change places
  | "delay" // nothing for a while
  | "throttle"; // a few bytes at a time

export interface Fault {
  readonly kind: FaultKind;
  /** Which way the bytes go: from the loader (down) or to it (up). */
  readonly way: "down" | "up";
  /** Byte of this direction of the connection at which it happens. */
  readonly at: number;
  /** How many bytes are treated so. */
  readonly bytes: number;
  readonly milliseconds: number;
}

/** What happens to the n-th connection. */
export type Script = (connection: number) => readonly Fault[];

export interface Proxy {
  /** tcp://127.0.0.1:PORT */
  readonly address: string;
  /** Faults that have happened, by kind. */
  readonly counts: { readonly [Kind in FaultKind]?: number };
  /** What happens to connections from now on; none at first. */
  script: Script;
  /** Connections so far, and those open now. */
  readonly connections: number;
  readonly open: number;
  /** Closes what is open; new ones are taken. */
  cutAll(): void;
  close(): Promise<void>;
}

type Bytes = AsyncIterable<Buffer>;

/** What the proxy does on purpose, where a direction ends with it. */
class Cut extends Error {
  readonly reset: boolean;

  constructor(reset: boolean) {
    super("cut");
    this.reset = reset;
  }
}

/** @param target where connections go on to: `tcp://` or `unix://` */
export async function createProxy(target: string): Promise<Proxy> {
  const counts: { [Kind in FaultKind]?: number } = {};
  const sockets = new Set<Socket>();
  const count = (kind: FaultKind): void => void (counts[kind] = (counts[kind] ?? 0) + 1);
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => accept(near));
  let script: Script = () => [];
  let connections = 0;

  function accept(near: Socket): void {
    const faults = script(connections++);
    keep(near);
    if (faults.some(({ kind }) => kind === "refuse")) {
      count("refuse");
      near.resetAndDestroy();
      return;
    }
    const address = parseAddress(target);
    const far = connect({
      ...(address.kind === "unix" ? { path: address.path } : { ...address, noDelay: true }),
      allowHalfOpen: true,
    });
    keep(far);
    const end = (reset: boolean): void => {
      for (const socket of [near, far])
        // a Unix socket knows no reset
        if (reset && socket.remoteAddress !== undefined) socket.resetAndDestroy();
        else socket.destroy();
    };
    const way = (from: Socket, to: Socket, name: Fault["way"]): void => {
      const own = faults.filter((fault) => fault.way === name);
      const carried = own.reduce<Bytes>((bytes, fault) => treat(bytes, fault, count), from);
      carry(carried, to).catch((error: unknown) => end(error instanceof Cut && error.reset));
    };
    way(near, far, "up");
    way(far, near, "down");
  }

  function keep(socket: Socket): void {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
  }

  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cutAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    address: `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`,
    counts,
    get script() {
      return script;
    },
    set script(to) {
      script = to;
    },
    get connections() {
      return connections;
    },
    get open() {
      return sockets.size / 2;
    },
    cutAll,
    async close() {
      server.close();
      cutAll();
      if (server.listening) await once(server, "close");
    },
  };
}

async function carry(bytes: Bytes, to: Socket): Promise<void> {
  for await (const chunk of bytes) {
    if (to.destroyed) throw new Cut(false);
    if (chunk.length > 0 && !to.write(chunk))
      await Promise.race([once(to, "drain"), once(to, "close")]);
  }
  to.end();
}

/** The bytes with one fault. */
async function* treat(
  bytes: Bytes,
  fault: Fault,
  count: (kind: FaultKind) => void,
): AsyncGenerator<Buffer, void, undefined> {
  const { kind, at, milliseconds } = fault;
  let before = 0;
  let happened = false;
  /** Bytes that the fault still concerns. */
  let left = fault.bytes;
  for await (const chunk of bytes) {
    const from = Math.max(at - before, 0);
    before += chunk.length;
    if (happened ? left === 0 : from >= chunk.length) {
      yield chunk;
      continue;
    }
    const head = happened ? chunk.subarray(0, 0) : chunk.subarray(0, from);
    const rest = chunk.subarray(head.length);
    const size = Math.min(left, rest.length);
    // Pieces of one chunk change places or come again: to wait for more bytes might be to wait for ever.
    const half = Math.min(fault.bytes, rest.length >> 1);
    if (kind === "reorder" && half === 0) {
      yield chunk;
      continue;
    }
    yield head;
    if (!happened) count(kind);
    happened = true;
    left -= size;
    switch (kind) {
      case "cut":
      case "reset":
        throw new Cut(kind === "reset");
      case "freeze":
        await sleep(2 ** 31 - 1, undefined, { ref: false });
        break;
      case "half-close":
        return;
      case "truncate":
        yield rest.subarray(size);
        break;
      case "duplicate":
        left = 0;
        yield rest.subarray(0, size);
        yield rest;
        break;
      case "reorder":
        left = 0;
        yield rest.subarray(half, 2 * half);
        yield rest.subarray(0, half);
        yield rest.subarray(2 * half);
        break;
      case "delay":
        left = 0;
        await sleep(milliseconds);
        yield rest;
        break;
      case "throttle":
        for (let part = 0; part < size; part += 997) {
          yield rest.subarray(part, Math.min(part + 997, size));
          await sleep(milliseconds);
        }
        yield rest.subarray(size);
        break;
      case "refuse":
        break;
    }
  }
}
