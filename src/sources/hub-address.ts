import { StreamError } from "../errors.ts";

/** `hf://datasets/OWNER/NAME[@REVISION][/PATH]`, taken apart. */
export interface HubAddress {
  /** As the user wrote it. */
  readonly address: string;
  /** "OWNER/NAME", or "NAME" for a data set from before there were owners. */
  readonly repo: string;
  /** Branch, tag, commit or special reference, decoded; undefined where none is named. */
  readonly revision?: string;
  /** File, folder or pattern in the repo, "/" as separator; "" for the whole repo. */
  readonly path: string;
}

const SCHEME = "hf://";
const PREFIX = `${SCHEME}datasets/`;

/** References with a "/" that may be written as they are; every other "/" of a revision is written %2F. As huggingface_hub's HfFileSystem reads them. */
const special = /^refs\/(?:convert\/[\w.-]+|pr\/\d+)(?=\/|$)/;

export function isHubAddress(address: string): boolean {
  return address.startsWith(SCHEME);
}

/** Throws BAD_OPTION. */
export function parseHubAddress(address: string): HubAddress {
  if (!address.startsWith(PREFIX))
    throw bad(address, "expected hf://datasets/OWNER/NAME[@REVISION][/PATH]");
  const rest = address.slice(PREFIX.length).replace(/^\/+|\/+$/g, "");
  const at = rest.indexOf("@");
  // an @ further on belongs to a file's name
  if (at < 0 || rest.slice(0, at).split("/").length > 2) {
    const parts = rest.split("/");
    const repo = parts.slice(0, 2).join("/");
    return { address, repo: checkRepo(address, repo), path: checkPath(address, parts.slice(2)) };
  }
  const after = rest.slice(at + 1);
  const written = special.exec(after)?.[0] ?? after.split("/", 1)[0] ?? "";
  return {
    address,
    repo: checkRepo(address, rest.slice(0, at)),
    revision: checkRevision(address, decoded(address, written)),
    path: checkPath(address, after === written ? [] : after.slice(written.length + 1).split("/")),
  };
}

/** The Hub's own rule for names (huggingface_hub, validate_repo_id). */
function checkRepo(address: string, repo: string): string {
  const parts = repo.split("/");
  const fine =
    repo.length <= 96 &&
    parts.every((part) => /^\w(?:[\w.-]*\w)?$/.test(part)) &&
    !/--|\.\./.test(repo) &&
    !repo.endsWith(".git");
  if (!fine) throw bad(address, `"${repo}" is no name of a data set; expected OWNER/NAME`);
  return repo;
}

/** git's rules for references, where they matter here: a revision becomes part of URLs and of paths in the cache. */
function checkRevision(address: string, revision: string): string {
  const fine =
    /^[^/]/.test(revision) &&
    !/\/$|\/\/|\.\.|(?:^|\/)\.|[\s~^:?*[\\]/.test(revision) &&
    !hasControl(revision);
  if (!fine) throw bad(address, `"${revision}" is no branch, tag or commit`);
  return revision;
}

function checkPath(address: string, parts: readonly string[]): string {
  const kept = parts.filter((part) => part !== "");
  const path = kept.join("/");
  if (kept.some((part) => part === "." || part === "..") || hasControl(path))
    throw bad(address, `"${path}" is no path in a repo`);
  return path;
}

function hasControl(text: string): boolean {
  return Array.from(text).some((letter) => letter < " " || letter === "\x7f");
}

function decoded(address: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw bad(address, `"${text}" is not percent-encoded UTF-8`);
  }
}

function bad(address: string, reason: string): StreamError {
  return new StreamError("BAD_OPTION", `${address}: ${reason}`);
}
