import { StreamError } from "../errors.ts";
import type { Net } from "../net/net.ts";
import { checkAborted } from "../abort.ts";
import type { HubEntry, HubRepo } from "./hub-repo.ts";

export interface HubApiOptions {
  readonly net: Net;
  /** As hubEndpoint says. */
  readonly endpoint: string;
  /** Whether requests carry a token; for the advice in messages. */
  readonly token: boolean;
  readonly signal: AbortSignal;
}

/** Paths in one question; the Hub refuses very long ones. */
const PATHS = 500;
/** Files of one listing. Each takes some 300 bytes of memory. */
const MOST_FILES = 10_000_000;

/** A data set on the Hub, by @huggingface/hub with the network's fetch. */
export function createHubApi(name: string, options: HubApiOptions): HubRepo {
  const { endpoint, signal } = options;
  let repo = name;
  let configs: unknown;
  let opened = false;
  const shared = { fetch: apiFetch(options), hubUrl: endpoint } as const;

  return {
    get name() {
      return repo;
    },
    get configs() {
      return configs;
    },
    async commit(revision) {
      // loading it takes longer than a local source takes to open
      const { datasetInfo } = await import("@huggingface/hub");
      const info = await datasetInfo({
        ...shared,
        name,
        revision,
        additionalFields: ["sha", "cardData"],
      }).catch((error: unknown) => {
        if (error instanceof Refused && error.reason === "RevisionNotFound") return undefined;
        throw failure(error, name, options);
      });
      if (!info) return undefined;
      if (typeof info.sha !== "string" || !/^[0-9a-f]{40}$/.test(info.sha))
        throw strange(name, "it names no commit");
      if (typeof info.name === "string" && /^[\w.-]+\/[\w.-]+$/.test(info.name)) repo = info.name;
      configs = (info.cardData as { configs?: unknown } | null | undefined)?.configs;
      if (info.gated && !opened) await checkAccess();
      opened = true;
      return info.sha;
    },
    async *files(commit, folder) {
      const { listFiles } = await import("@huggingface/hub");
      const path = folder === "" ? {} : { path: encodePath(folder) };
      const designation = { type: "dataset", name: repo } as const;
      let count = 0;
      try {
        for await (const item of listFiles({
          ...shared,
          ...path,
          repo: designation,
          revision: commit,
          recursive: true,
        })) {
          if (item.type !== "file") continue;
          if (++count > MOST_FILES)
            throw new StreamError(
              "BAD_OPTION",
              `${name}: more than ${MOST_FILES} files; name a folder or a pattern`,
            );
          yield checked(name, item);
        }
      } catch (error) {
        // a folder that is not there has no files
        if (error instanceof Refused && error.reason === "EntryNotFound") return;
        throw failure(error, name, options);
      }
    },
    async find(commit, paths) {
      const { pathsInfo } = await import("@huggingface/hub");
      const found = new Map<string, HubEntry | true>();
      for (let from = 0; from < paths.length; from += PATHS) {
        const infos = await pathsInfo({
          ...shared,
          repo: { type: "dataset", name: repo },
          revision: commit,
          paths: paths.slice(from, from + PATHS),
        }).catch((error: unknown) => {
          throw failure(error, name, options);
        });
        for (const info of infos)
          found.set(info.path, info.type === "directory" ? true : checked(name, info));
      }
      return found;
    },
  };

  /** Everyone may list a gated repo; whether its files can be read is said here, before the first of them is asked for. */
  async function checkAccess(): Promise<void> {
    try {
      await shared.fetch(`${endpoint}/api/datasets/${repo}/auth-check`);
    } catch (error) {
      checkAborted(signal);
      // a mirror need not know this question
      if (error instanceof Refused && error.status === 404) return;
      throw failure(error, name, options);
    }
  }
}

interface Listed {
  readonly path: string;
  readonly size: number;
  readonly oid?: string;
  readonly lfs?: { readonly oid: string; readonly size: number };
}

/** What came over the network may be anything, whatever its type says. */
function checked(repo: string, { path, size, oid, lfs }: Listed): HubEntry {
  const bytes: unknown = lfs ? lfs.size : size;
  if (typeof path !== "string" || path === "" || /(?:^|\/)(?:\.{0,2})(?:\/|$)/.test(path))
    throw strange(repo, "it lists a file without a proper path");
  if (!Number.isSafeInteger(bytes) || (bytes as number) < 0)
    throw strange(repo, `it gives no size for ${path}`);
  if (lfs && /^[0-9a-f]{64}$/.test(lfs.oid))
    return { path, size: bytes as number, hash: `sha256:${lfs.oid}` };
  if (!lfs && typeof oid === "string" && /^[0-9a-f]{40}$/.test(oid))
    return { path, size: bytes as number, hash: `git-sha1:${oid}` };
  throw strange(repo, `it gives no hash for ${path}`);
}

/** An answer that is no success. Only between here and failure(). */
class Refused extends Error {
  readonly status: number;
  /** X-Error-Code. */
  readonly reason: string;

  constructor(status: number, reason: string, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

/** Answers that are no success never reach the library, which would lose the Hub's own code of the error. */
function apiFetch({ net, signal }: HubApiOptions): typeof globalThis.fetch {
  return async (input, init) => {
    const response = await net.fetch(input, { ...init, signal });
    if (response.ok) return response;
    const { status, headers, statusText } = response;
    await response.body?.cancel();
    throw new Refused(
      status,
      headers.get("X-Error-Code") ?? "",
      printable(headers.get("X-Error-Message") ?? statusText),
    );
  };
}

/** Made harmless for a terminal. */
function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, " ").slice(0, 200);
}

function failure(error: unknown, repo: string, { signal, token, endpoint }: HubApiOptions): Error {
  if (error instanceof StreamError) return error;
  checkAborted(signal);
  if (!(error instanceof Refused))
    return strange(
      repo,
      error instanceof SyntaxError
        ? "it is not JSON; is HF_ENDPOINT the address of a Hub?"
        : String(error),
    );
  const { status, reason, message } = error;
  const page = `${endpoint}/datasets/${repo}`;
  if (reason === "GatedRepo" && !token)
    return unauthorized(
      `${repo}: this data set is gated: ask for access at ${page}, then set HF_TOKEN`,
    );
  if (reason === "GatedRepo")
    return unauthorized(
      `${repo}: this data set is gated and the token's owner has no access yet: ask for it at ${page}`,
    );
  if (status === 401 && message === "Invalid credentials in Authorization header")
    return unauthorized(
      `${repo}: the Hub does not know this token: it is mistyped, expired or revoked; make one at ${endpoint}/settings/tokens`,
    );
  if (reason === "RevisionNotFound")
    return new StreamError("SOURCE_NOT_FOUND", `${repo}: the commit is gone: ${message}`);
  if (reason === "RepoNotFound" || status === 401 || status === 404)
    return new StreamError(
      "SOURCE_NOT_FOUND",
      token
        ? `${repo}: no such data set, or a private one that the token does not open`
        : `${repo}: no such data set, or a private one: check the name; for a private one set HF_TOKEN`,
    );
  if (status === 403)
    return unauthorized(`${repo}: the Hub refuses access: ${message}; may the token read this?`);
  return new StreamError("SOURCE_NOT_FOUND", `${repo}: the Hub answers ${status} ${message}`);
}

function unauthorized(message: string): StreamError {
  return new StreamError("UNAUTHORIZED", message);
}

function strange(repo: string, reason: string): StreamError {
  return new StreamError("NETWORK", `${repo}: the Hub's answer can't be used: ${reason}`);
}

/** The library puts paths into addresses as they are. */
export function encodePath(path: string): string {
  // most need nothing, and then a listing holds each of them once
  if (/^[\w./-]*$/.test(path)) return path;
  return path.split("/").map(encodeURIComponent).join("/");
}
