import { createHash } from "node:crypto";
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";

/**
 * Who uses the folder. Each store has a file in users/ that says which of the cache's files it has open and how much room it took for those it writes. Its
 * name is the store's: host, what process numbers mean there, process, its start, a counter; so the next to come sees whether that process still lives. Of
 * other machines the file's time tells, which its store renews; all times are the file system's own, so that clocks need not agree.
 */
export interface Presence {
  /** Name of this store, and of its file. */
  readonly me: string;
  /** The file whose first line is `me`. */
  readonly path: string;
  mark(file: string): void;
  unmark(file: string): void;
  /** Bytes that a part may grow to; 0 when it is done. */
  reserve(file: string, bytes: number): void;
  /** Whether the store of that name may still be at work. */
  alive(name: string): boolean;
  /** Every store at work but this. */
  others(): readonly User[];
  /** What this one has said of itself. */
  readonly own: User;
  /** Milliseconds on the file system's clock. */
  now(): number;
  /** Removes the files of the dead. */
  sweep(): void;
  close(): void;
}

export interface User {
  readonly name: string;
  /** Files that are open, with the bytes reserved for each. */
  readonly files: ReadonlyMap<string, number>;
}

/** Seconds between signs of life, and without one after which a store on another machine is taken for dead. */
const BEAT = 10;
const SILENCE = 60;
/** Written when the store begins, so that later changes need no room on a full disk. Bytes. */
const PADDED = 8_192;

const hasProc = ((): boolean => {
  try {
    return readFileSync("/proc/self/stat").length > 0;
  } catch {
    return false;
  }
})();

export function createPresence(folder: string): Presence {
  mkdirSync(folder, { recursive: true });
  const host =
    hostname()
      .replaceAll(/[^A-Za-z0-9]/g, "")
      .slice(0, 24) || "host";
  const domain = createHash("sha256")
    .update([hostname(), bootId(), processSpace()].join("\n"))
    .digest("hex")
    .slice(0, 8);
  const open = new Map<string, number>();
  const reserved = new Map<string, number>();
  let me = "";
  let path = "";
  let fd = -1;

  function begin(): void {
    for (let count = 0; ; count++) {
      me = [host, domain, process.pid, startOf(process.pid) ?? 0, count].join("-");
      path = join(folder, me);
      try {
        fd = openSync(path, "wx+");
        break;
      } catch (error) {
        if (codeOf(error) !== "EEXIST") throw error;
      }
    }
    try {
      write();
    } catch (error) {
      closeSync(fd);
      rmSync(path, { force: true });
      throw error;
    }
  }

  function write(): void {
    const names = new Set([...open.keys(), ...reserved.keys()]);
    const body = JSON.stringify([...names].map((name) => [name, reserved.get(name) ?? 0]));
    const text = `${me}\n${crc32(body)} ${Buffer.byteLength(body)}\n${body}`;
    const bytes = Buffer.from(text.padEnd(PADDED));
    // where a disk gets full in the midst of it, only the next write says so
    for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done, undefined, done);
  }

  /** Also tells the world that we live. Where somebody took our file away (a machine that slept), there is a new one. */
  function beat(): void {
    try {
      if (fstatSync(fd).nlink === 0) {
        const lost = fd;
        fd = openSync(path, "w+");
        closeSync(lost);
      }
      write();
    } catch {
      // a full disk or a lost folder: whoever writes next meets it too
    }
  }

  function now(): number {
    beat();
    return fstatSync(fd).mtimeMs;
  }

  function alive(name: string): boolean {
    if (name === me) return true;
    const [start, pid, space] = name.split("-").reverse().slice(1) as [string?, string?, string?];
    if (space === domain && hasProc) return startOf(Number(pid)) === start;
    if (space === domain && !runs(Number(pid))) return false;
    try {
      return now() - statSync(join(folder, name)).mtimeMs < SILENCE * 1000;
    } catch {
      return false;
    }
  }

  begin();
  const timer = setInterval(beat, BEAT * 1000).unref();

  return {
    get me() {
      return me;
    },
    get path() {
      return path;
    },
    mark(file) {
      open.set(file, (open.get(file) ?? 0) + 1);
      beat();
    },
    unmark(file) {
      const left = (open.get(file) ?? 1) - 1;
      if (left > 0) open.set(file, left);
      else open.delete(file);
      beat();
    },
    reserve(file, bytes) {
      if (bytes > 0) reserved.set(file, bytes);
      else reserved.delete(file);
      beat();
    },
    alive,
    others: () =>
      readdirSync(folder)
        .filter((name) => name !== me && alive(name))
        .map((name) => ({ name, files: filesOf(join(folder, name)) })),
    get own() {
      const names = new Set([...open.keys(), ...reserved.keys()]);
      return {
        name: me,
        files: new Map([...names].map((name) => [name, reserved.get(name) ?? 0])),
      };
    },
    now,
    sweep() {
      for (const name of readdirSync(folder))
        if (!alive(name)) rmSync(join(folder, name), { force: true });
    },
    close() {
      clearInterval(timer);
      closeSync(fd);
      rmSync(path, { force: true });
    },
  };
}

/** Read while its owner may be writing: then once more. */
function filesOf(path: string): ReadonlyMap<string, number> {
  for (let tries = 0; tries < 100; tries++) {
    let text: string;
    try {
      text = readFileSync(path, "utf8");
    } catch {
      break;
    }
    const [, numbers = "", rest = ""] = text.split("\n", 3);
    const [sum, length] = numbers.split(" ").map(Number);
    const body = Buffer.from(rest).subarray(0, length).toString();
    if (numbers !== "" && crc32(body) === sum)
      return new Map(JSON.parse(body) as [string, number][]);
  }
  return new Map();
}

/** When the process began, in ticks since the machine did; undefined where there is none or it has ended (also if nobody has asked for its status yet). */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // the name in brackets may hold anything
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return /[ZX]/.test(fields[0] as string) ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

function runs(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
}

function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8");
  } catch {
    return "";
  }
}

/** Containers on one machine may share the folder and count their processes apart. */
function processSpace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}

/** What the system calls the reason of a failure. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string"
    ? error.code
    : undefined;
}
