import { readFile, stat } from "node:fs/promises";
import { StreamError } from "../errors.ts";

/** Files that something is made of, made anew when they change. */
export interface Watched<T> {
  readonly current: T;
  /** Looks now. Never rejects: what can't be read or used leaves `current` as it was, and is told once. */
  look(): Promise<void>;
  close(): void;
}

export interface WatchOptions {
  /** What the files are, for messages. */
  readonly what: string;
  /** The one that nobody else should be able to read. */
  readonly secret: string;
  /** Milliseconds between two looks. Default 1,000. */
  readonly every?: number;
  /** A failure, or something about a file that its owner should know. */
  readonly onWarning: (message: string) => void;
  readonly onChange?: () => void;
}

/** `make` gets the files' contents in the order of `paths`. The first time, what goes wrong is thrown: BAD_OPTION. */
export async function watch<T>(
  paths: readonly string[],
  make: (contents: readonly string[]) => T,
  options: WatchOptions,
): Promise<Watched<T>> {
  const { what, secret, every = 1_000, onWarning } = options;
  let seen = "";
  let looking: Promise<void> | undefined;

  const load = async (): Promise<T> => make(await Promise.all(paths.map((path) => read(path))));
  const reason = (error: unknown): string =>
    error instanceof Error ? error.message : String(error);

  seen = await state(paths);
  const watched = {
    current: await load().catch((error: unknown) =>
      Promise.reject(new StreamError("BAD_OPTION", `${what}: ${reason(error)}`, { cause: error })),
    ),
  };
  // Not refused: a secret of Kubernetes is such a file, in a container that has no other users.
  if (process.platform !== "win32" && ((await stat(secret)).mode & 0o004) !== 0)
    onWarning(`${secret} can be read by every user of this machine: chmod 600 it`);

  const again = async (): Promise<void> => {
    const found = await state(paths);
    if (found === seen) return;
    seen = found;
    try {
      watched.current = await load();
    } catch (error) {
      return onWarning(
        `${what}: the changed files are of no use, the old ones stay: ${reason(error)}`,
      );
    }
    options.onChange?.();
  };
  const look = (): Promise<void> => (looking ??= again().finally(() => (looking = undefined)));
  const timer = setInterval(() => void look(), every);
  timer.unref();
  return {
    get current() {
      return watched.current;
    },
    look,
    close: () => clearInterval(timer),
  };
}

async function read(path: string): Promise<string> {
  return await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) =>
    Promise.reject(new Error(`can't read ${path}: ${error.code}`)),
  );
}

/** Another text whenever a file has been written or exchanged; a link is followed, as Kubernetes exchanges secrets by links. */
async function state(paths: readonly string[]): Promise<string> {
  const states = paths.map(async (path) => {
    const found = await stat(path, { bigint: true }).catch(() => undefined);
    return found && `${found.dev} ${found.ino} ${found.size} ${found.mtimeNs} ${found.ctimeNs}`;
  });
  return (await Promise.all(states)).join("\n");
}
