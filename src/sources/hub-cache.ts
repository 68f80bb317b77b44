import { readdirSync, readFileSync, readlinkSync, statSync, type Dirent } from "node:fs";
import { basename, join } from "node:path";
import { hubCacheFolder, type Env } from "./hub-env.ts";
import type { HubEntry, HubRepo } from "./hub-repo.ts";

/**
 * One data set in the Python client's cache, which is only read: `datasets--OWNER--NAME/` with `refs/REVISION` (holds a commit), `snapshots/COMMIT/PATH`
 * (links) and `blobs/HASH` (https://huggingface.co/docs/huggingface_hub/guides/manage-cache).
 */
export interface HubCache {
  /** The commit that a revision meant when the client saw it last. */
  commit(revision: string): string | undefined;
  /** What the cache holds of a commit; undefined where it holds nothing. */
  entries(commit: string): HubEntry[] | undefined;
  /** Whether the README declares configurations. What they are only the Hub says: it alone reads the README here. */
  declares(commit: string): boolean;
  /** Where the very file lies: of this commit, with this size and, where the cache says it, this hash. */
  find(commit: string, entry: HubEntry): string | undefined;
}

const fullCommit = /^[0-9a-f]{40}$/;

/** @param repo "OWNER/NAME", as parseHubAddress has checked it. */
export function openHubCache(env: Env, repo: string): HubCache {
  const folder = join(hubCacheFolder(env), `datasets--${repo.replace("/", "--")}`);
  const snapshot = (commit: string): string => join(folder, "snapshots", commit);
  /** Commits looked for and whether there is anything: most runs have no cache, and then a hundred thousand files need not be looked for. */
  const known = new Map<string, boolean>();
  const has = (commit: string): boolean => {
    let found = known.get(commit);
    if (found === undefined) {
      found = statSync(snapshot(commit), { throwIfNoEntry: false })?.isDirectory() ?? false;
      known.set(commit, found);
    }
    return found;
  };
  return {
    commit(revision) {
      if (fullCommit.test(revision)) return has(revision) ? revision : undefined;
      try {
        const commit = readFileSync(join(folder, "refs", revision), "utf8").trim();
        return fullCommit.test(commit) ? commit : undefined;
      } catch {
        return undefined;
      }
    },
    entries(commit) {
      if (!has(commit)) return undefined;
      const entries: HubEntry[] = [];
      const folders = [""];
      for (let below = folders.pop(); below !== undefined; below = folders.pop()) {
        for (const one of list(join(snapshot(commit), below))) {
          const path = below + one.name;
          if (one.isDirectory()) folders.push(`${path}/`);
          else {
            const found = describe(join(snapshot(commit), path));
            if (found) entries.push({ path, ...found });
          }
        }
      }
      return entries;
    },
    declares(commit) {
      try {
        const readme = readFileSync(join(snapshot(commit), "README.md"), "utf8");
        return /^---\r?\n(?:(?!---\s)[^\n]*\n)*?configs:/.test(readme);
      } catch {
        return false;
      }
    },
    find(commit, { path, size, hash }) {
      if (!has(commit)) return undefined;
      const place = join(snapshot(commit), path);
      const found = describe(place);
      if (found?.size !== size) return undefined;
      // without links (Windows) the cache does not say the hash
      return found.hash === undefined || found.hash === hash ? place : undefined;
    },
  };
}

function list(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}

/** Size, and the hash that the link's target is named by. Undefined where there is no file, or a link whose target is gone. */
function describe(place: string): Omit<HubEntry, "path"> | undefined {
  try {
    const stats = statSync(place, { throwIfNoEntry: false });
    if (!stats?.isFile()) return undefined;
    const hash = hashNamed(place);
    return { size: stats.size, ...(hash !== undefined && { hash }) };
  } catch {
    return undefined;
  }
}

function hashNamed(place: string): string | undefined {
  let name: string;
  try {
    name = basename(readlinkSync(place));
  } catch {
    return undefined;
  }
  if (/^[0-9a-f]{64}$/.test(name)) return `sha256:${name}`;
  return fullCommit.test(name) ? `git-sha1:${name}` : undefined;
}

/** The repo as far as the cache holds it. */
export function createCachedRepo(env: Env, repo: string): HubRepo {
  const cache = openHubCache(env, repo);
  return {
    name: repo,
    configs: undefined,
    async commit(revision) {
      const commit = cache.commit(revision);
      return commit !== undefined && cache.entries(commit) ? commit : undefined;
    },
    async *files(commit, folder) {
      for (const entry of cache.entries(commit) ?? [])
        if (folder === "" || entry.path.startsWith(`${folder}/`)) yield entry;
    },
    async find(commit, paths) {
      const entries = cache.entries(commit) ?? [];
      const files = new Map(entries.map((entry) => [entry.path, entry]));
      const found = new Map<string, HubEntry | true>();
      for (const path of paths) {
        const file = files.get(path);
        if (file) found.set(path, file);
        else if (entries.some((entry) => entry.path.startsWith(`${path}/`))) found.set(path, true);
      }
      return found;
    },
  };
}
