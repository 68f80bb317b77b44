import { fstatSync } from "node:fs";
import { open } from "node:fs/promises";
import { StreamError } from "../errors.ts";

/** The seam between a shard and where its bytes are. */
export interface ByteSource {
  /** Bytes. */
  readonly size: number;
  /** Exactly `length` bytes from `at`, in memory of their own; rejects where there are fewer. */
  read(at: number, length: number): Promise<Uint8Array>;
  /** Idempotent. Reads after it reject with CLOSED. */
  close(): Promise<void>;
}

export interface File extends ByteSource {
  /** Modification time, milliseconds. */
  readonly time: number;
}

/** A local file, opened once. `shard` is its logical name, for messages. Rejects SOURCE_NOT_FOUND. */
export async function openFile(path: string, shard: string): Promise<File> {
  const handle = await open(path, "r").catch((cause: unknown) => {
    throw new StreamError("SOURCE_NOT_FOUND", `${shard}: can't be opened: ${reasonOf(cause)}`, {
      cause,
      context: { shard },
    });
  });
  const { size, mtimeMs } = await handle.stat();
  let closing: Promise<void> | undefined;
  return {
    size,
    time: mtimeMs,
    async read(at, length) {
      const into = new Uint8Array(length);
      if (closing) throw closed(shard);
      checkRange(shard, size, at, length);
      let done = 0;
      while (done < length) {
        const { bytesRead } = await handle
          .read(into, done, length - done, at + done)
          .catch((cause: unknown) => {
            throw new StreamError(
              "SHARD_CORRUPT",
              `${shard}: can't be read at byte ${at + done}: ${reasonOf(cause)}`,
              {
                cause,
                context: { shard, offset: at + done },
              },
            );
          });
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      if (closing) throw closed(shard);
      // after the read, so that no byte of another version gets through; costs 2 microseconds
      const now = fstatSync(handle.fd);
      if (now.size !== size || now.mtimeMs !== mtimeMs || done < length) throw changed(shard, at);
      return into;
    },
    close: () => (closing ??= handle.close()),
  };
}

/** Bytes in memory. */
export function fromBytes(bytes: Uint8Array, shard: string): ByteSource {
  let open = true;
  return {
    size: bytes.length,
    async read(at, length) {
      if (!open) throw closed(shard);
      checkRange(shard, bytes.length, at, length);
      return bytes.slice(at, at + length);
    },
    async close() {
      open = false;
    },
  };
}

export function changed(shard: string, offset?: number): StreamError {
  return new StreamError("SHARD_CORRUPT", `${shard}: changed while in use`, {
    context: { shard, ...(offset === undefined ? {} : { offset }) },
  });
}

export function closed(shard: string): StreamError {
  return new StreamError("CLOSED", `${shard}: read after close`, { context: { shard } });
}

/** What the operating system says, without the path: it may be one of this machine. */
export function reasonOf(cause: unknown): string {
  if (cause instanceof Error && "code" in cause && typeof cause.code === "string")
    return cause.code;
  return cause instanceof Error ? cause.message : String(cause);
}

function checkRange(shard: string, size: number, at: number, length: number): void {
  if (at >= 0 && length >= 0 && at + length <= size) return;
  throw new StreamError(
    "SHARD_CORRUPT",
    `${shard}: ends at byte ${size}, ${length} bytes wanted from byte ${at}`,
    {
      context: { shard, offset: at },
    },
  );
}
