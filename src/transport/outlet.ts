import type { Socket } from "node:net";
import type { Account } from "./budget.ts";
import type { Tally } from "./tally.ts";

/** The writing side of a socket, with its bytes counted. */
export interface Outlet {
  /** Bytes given to the kernel or waiting for it, since the start. */
  readonly sent: number;
  /** Bytes that wait for the kernel. */
  readonly queued: number;
  /** Settles when the kernel has all of the bytes, or nothing will read them any more: their memory may then be used for something else. Never rejects. */
  write(chunks: readonly Uint8Array[]): Promise<void>;
  /** Settles when fewer than `limit` bytes wait for the kernel, or the socket is closed. */
  room(): Promise<void>;
}

export function createOutlet(
  socket: Socket,
  limit: number,
  tally: Pick<Tally, "bytes" | "queued">,
  account: Pick<Account, "add">,
  /** The kernel took something, or is given something after it had all. */
  onProgress: () => void,
): Outlet {
  let queued = 0;
  let sent = 0;
  const writes = new Set<() => void>();
  let waiting: (() => void)[] = [];

  const wake = (): void => {
    if (queued >= limit && !socket.closed) return;
    const woken = waiting;
    waiting = [];
    for (const resolve of woken) resolve();
  };
  // A destroyed socket calls back for what it never wrote, but not reliably for what was under way; "close" comes when the handle is gone.
  socket.once("close", () => {
    for (const settle of writes) settle();
    wake();
  });

  return {
    get sent() {
      return sent;
    },
    get queued() {
      return queued;
    },
    write(chunks) {
      const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
      if (socket.closed || bytes === 0) return Promise.resolve();
      if (queued === 0) onProgress();
      queued += bytes;
      sent += bytes;
      tally.bytes(bytes);
      tally.queued(bytes);
      account.add(bytes);
      return new Promise((resolve) => {
        const settle = (): void => {
          if (!writes.delete(settle)) return;
          queued -= bytes;
          tally.queued(-bytes);
          account.add(-bytes);
          onProgress();
          resolve();
          wake();
        };
        writes.add(settle);
        const last = chunks.length - 1;
        socket.cork();
        // The kernel reads straight from the given memory; a Uint8Array over shared memory must become a Buffer without a copy.
        chunks.forEach((chunk, i) => {
          const bytesOf = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
          if (i === last) socket.write(bytesOf, settle);
          else socket.write(bytesOf);
        });
        socket.uncork();
      });
    },
    room() {
      if (queued < limit || socket.closed) return Promise.resolve();
      return new Promise((resolve) => waiting.push(resolve));
    },
  };
}
