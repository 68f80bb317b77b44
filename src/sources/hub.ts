import { StreamError } from "../errors.ts";
import type { Known, Net } from "../net/net.ts";
import { parseHubAddress, type HubAddress } from "./hub-address.ts";
import { createHubApi, encodePath } from "./hub-api.ts";
import { createCachedRepo, openHubCache, type HubCache } from "./hub-cache.ts";
import {
  chooseBelow,
  chooseConverted,
  chooseNamed,
  chooseTrain,
  emptyReason,
  type Choice,
  type HubKind,
} from "./hub-choice.ts";
import { chooseConfigured } from "./hub-configs.ts";
import { hubEndpoint, hubToken, isHubOffline, type Env } from "./hub-env.ts";
import type { HubEntry, HubRepo } from "./hub-repo.ts";
import { hashColumn, infoOf, listOf, numberColumn, textColumn } from "./listing.ts";
import type { List } from "./source.ts";

export interface HubFile {
  /** Path in the repo. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** "sha256:…" where the repo keeps the file in LFS, else "git-sha1:…", git's name of the blob. Absent only offline, from a cache that has no links. */
  readonly hash?: string | undefined;
  /** For Net.download. */
  readonly known: Known;
  /** Of this very commit, so that a branch may move meanwhile. */
  readonly url: string;
  /** Where the Python client's cache holds the file. */
  readonly local?: string | undefined;
}

export interface HubListing {
  /** As the user wrote it. */
  readonly address: string;
  /** "OWNER/NAME" as the Hub has it now. */
  readonly repo: string;
  /** What the commit was found by. */
  readonly revision: string;
  /** Full hash. */
  readonly commit: string;
  readonly kind: HubKind;
  /** At least one, in the stream's order. */
  readonly files: readonly HubFile[];
  /** What was decided that the user did not say, a line each; for people. */
  readonly notes: readonly string[];
}

export interface HubOptions {
  /** Should send hubToken(env) to its origins and nowhere else. */
  readonly net: Net;
  readonly env: Env;
  readonly signal: AbortSignal;
}

const MAIN = "main";
/** Where the Hub keeps a copy of each data set that it could convert. */
const CONVERTED = "refs/convert/parquet";

const UNDECLARED =
  "the README declares configurations, which are not read offline: the files were chosen by their names";

/**
 * The files of `hf://datasets/OWNER/NAME[@REVISION][/PATH]` at the commit that the revision means now.
 *
 * Without a path: the tars of the repo (.tar, .tar.gz, .tgz, .tar.zst), else its Parquet files, else its images, else the Parquet copy that the Hub made; of
 * several splits (those that the README declares, else those of the names: see hub-configs.ts and hub-splits.ts) the one for training. A path is a folder, of which all splits are taken, a file, or a pattern. Whatever is decided here is
 * said in the notes.
 *
 * Offline (HF_HUB_OFFLINE) all of this is read from the Python client's cache.
 *
 * Rejects BAD_OPTION, SOURCE_NOT_FOUND (also for a private repo without a token: the Hub does not tell the two apart), SOURCE_EMPTY, UNAUTHORIZED, NETWORK, ABORTED.
 */
export async function openHub(address: string, options: HubOptions): Promise<HubListing> {
  const { net, env, signal } = options;
  const wanted = parseHubAddress(address);
  const endpoint = hubEndpoint(env);
  const offline = isHubOffline(env);
  const token = offline ? undefined : await hubToken(env);
  const repo = offline
    ? createCachedRepo(env, wanted.repo)
    : createHubApi(wanted.repo, { net, endpoint, token: token !== undefined, signal });

  const revision = wanted.revision ?? MAIN;
  const commit = await repo.commit(revision);
  if (commit === undefined) throw noRevision(address, revision, offline);
  const { choice, at } = await choose(repo, wanted, { revision, commit });

  const root = `${endpoint}/datasets/${repo.name}/resolve/${at.commit}/`;
  const caches = [...new Set([wanted.repo, repo.name])].map((name) => openHubCache(env, name));
  return {
    address,
    repo: repo.name,
    revision: at.revision,
    commit: at.commit,
    kind: choice.kind,
    files: choice.entries.map((entry) => fileOf(entry, root, caches, at.commit)),
    notes:
      offline && wanted.path === "" && caches.some((cache) => cache.declares(at.commit))
        ? [...choice.notes, UNDECLARED]
        : choice.notes,
  };
}

interface Pinned {
  readonly revision: string;
  readonly commit: string;
}

async function choose(
  repo: HubRepo,
  { address, path, revision }: HubAddress,
  at: Pinned,
): Promise<{ choice: Choice; at: Pinned }> {
  if (path !== "") return { choice: await chooseNamed(repo, at.commit, path, address), at };
  if (at.revision === CONVERTED) {
    const choice = await chooseConverted(repo, at.commit, address);
    if (choice) return { choice, at };
  }
  const choice = await chooseBelow(repo, at.commit, "");
  if ("kind" in choice)
    return {
      choice: chooseConfigured(choice, repo.configs, address) ?? chooseTrain(choice, address),
      at,
    };
  // a copy is of the main branch: it would be other data than a revision that was asked for
  const commit = revision === undefined ? await repo.commit(CONVERTED) : undefined;
  const copy = commit === undefined ? undefined : await chooseConverted(repo, commit, address);
  if (commit !== undefined && copy) return { choice: copy, at: { revision: CONVERTED, commit } };
  throw new StreamError("SOURCE_EMPTY", `${address}: ${emptyReason(choice.seen)}`);
}

/** Of a hundred thousand files only a few are read: what reading needs is made when it is asked for. */
class ListedFile implements HubFile {
  readonly name: string;
  readonly size: number;
  readonly hash: string | undefined;
  readonly local: string | undefined;
  readonly #root: string;

  constructor({ path, size, hash }: HubEntry, root: string, local: string | undefined) {
    this.name = path;
    this.size = size;
    this.hash = hash;
    this.local = local;
    this.#root = root;
  }

  get known(): Known {
    const { size, hash } = this;
    // not git's name as an ETag, though the Hub sends it so: a mirror need not
    return hash?.startsWith("sha256:") ? { size, sha256: hash.slice("sha256:".length) } : { size };
  }

  get url(): string {
    return this.#root + encodePath(this.name);
  }
}

/** The files of a listing, kept in few bytes each. */
export function packFiles({ files }: HubListing): List<HubFile> {
  const [names, sizes, hashes] = [textColumn(), numberColumn(), hashColumn()];
  const locals = hashColumn();
  for (const { name, size, hash, local } of files) {
    names.push(name);
    sizes.push(size);
    hashes.push(hash);
    locals.push(local);
  }
  const [{ url, name }] = files as [HubFile];
  const root = url.slice(0, url.length - encodePath(name).length);
  return listOf(files.length, (at) => {
    const entry = infoOf({ name: names.at(at), size: sizes.at(at), hash: hashes.at(at) });
    return new ListedFile({ ...entry, path: entry.name }, root, locals.at(at));
  });
}

function fileOf(
  entry: HubEntry,
  root: string,
  caches: readonly HubCache[],
  commit: string,
): HubFile {
  let local: string | undefined;
  for (const cache of caches) local ??= cache.find(commit, entry);
  return new ListedFile(entry, root, local);
}

function noRevision(address: string, revision: string, offline: boolean): StreamError {
  return new StreamError(
    "SOURCE_NOT_FOUND",
    offline
      ? `${address}: revision ${revision} is not in the cache, and HF_HUB_OFFLINE forbids to ask the Hub; download it first, or unset HF_HUB_OFFLINE`
      : `${address}: no branch, tag or commit ${revision}`,
  );
}
