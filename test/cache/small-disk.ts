/** A disk of a few pages, made up in this process, so that one gets full on every machine: writes find no more room than it has left. */
import type * as fs from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";

const PAGE = 4_096;

const handles = new Set<FileHandle>();
let disk: { readonly folder: string; readonly pages: number } | undefined;

/** All files that are written from now on are on a disk of so many bytes, and below this folder. Returns what takes it away. */
export function insertDisk(folder: string, bytes: number): () => void {
  disk = { folder, pages: Math.floor(bytes / PAGE) };
  return () => {
    disk = undefined;
  };
}

const pagesOf = (bytes: number): number => Math.ceil(bytes / PAGE);

/** What opens and writes through node:fs and its promises, as part of the disk where one is there; `real`: the modules themselves. */
export function onDisk(real: typeof fs): {
  readonly sync: Pick<typeof fs, "writeSync" | "writevSync">;
  readonly promises: Pick<typeof fs.promises, "open" | "statfs">;
} {
  function pagesLeft({ folder, pages }: NonNullable<typeof disk>): number {
    const names = real.readdirSync(folder, { recursive: true, encoding: "utf8" });
    // a file with several names takes its room once, and one that was removed until it is closed
    const files = new Map<number, number>();
    for (const found of [
      ...names.map((name) => real.statSync(join(folder, name))),
      ...[...handles].map(({ fd }) => real.fstatSync(fd)),
    ])
      if (found.isFile()) files.set(found.ino, pagesOf(found.size));
    return pages - [...files.values()].reduce((sum, one) => sum + one, 0);
  }

  /** As much of it as finds room, as a system writes. Throws ENOSPC where nothing does. */
  function fitting(fd: number, parts: readonly Uint8Array[], at: number): Uint8Array[] {
    if (!disk) return [...parts];
    const largest = (pagesOf(real.fstatSync(fd).size) + pagesLeft(disk)) * PAGE;
    if (at >= largest)
      throw Object.assign(new Error("ENOSPC: no space left on device, write"), {
        code: "ENOSPC",
        syscall: "write",
      });
    let room = largest - at;
    return parts.map((part) => {
      const fits = part.subarray(0, room);
      room -= fits.length;
      return fits;
    });
  }

  async function open(...given: Parameters<typeof fs.promises.open>): Promise<FileHandle> {
    const handle = await real.promises.open(...given);
    const [writev, close] = [handle.writev.bind(handle), handle.close.bind(handle)];
    handles.add(handle);
    handle.close = () => {
      handles.delete(handle);
      return close();
    };
    handle.writev = (async (parts: readonly Uint8Array[], at: number) =>
      writev(fitting(handle.fd, parts, at), at)) as FileHandle["writev"];
    return handle;
  }

  return {
    sync: {
      writevSync: ((fd: number, parts: readonly Uint8Array[], at: number) =>
        real.writevSync(fd, fitting(fd, parts, at), at)) as typeof fs.writevSync,
      writeSync: ((fd: number, data: Uint8Array, from: number, _length: undefined, at: number) =>
        real.writevSync(
          fd,
          fitting(fd, [data.subarray(from)], at),
          at,
        )) as unknown as typeof fs.writeSync,
    },
    promises: {
      open,
      statfs: (async (path: string) =>
        disk
          ? { bavail: pagesLeft(disk), bsize: PAGE }
          : real.promises.statfs(path)) as typeof fs.promises.statfs,
    },
  };
}
