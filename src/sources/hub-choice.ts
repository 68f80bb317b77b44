import { StreamError } from "../errors.ts";
import { isImageName } from "../shards/samples.ts";
import { formOf } from "./containers.ts";
import type { HubEntry, HubRepo } from "./hub-repo.ts";
import { compareUtf8, matcher, prefixOf } from "./hub-pattern.ts";
import { splitRule } from "./hub-splits.ts";
import { expandBraces, fixedPart, isPattern } from "./pattern.ts";

export type HubKind = "tar" | "parquet" | "images";

export interface Choice {
  readonly kind: HubKind;
  /** In the stream's order. */
  readonly entries: readonly HubEntry[];
  /** What was decided that the user did not say. */
  readonly notes: readonly string[];
}

/** So many files are asked for by name; for more of them their folder is listed. */
const MOST_NAMED = 2_000;

/** Of a repo that has several kinds the first is taken. */
const kinds: readonly HubKind[] = ["tar", "parquet", "images"];

/** What a file is to us, by its name; undefined for what is no data. */
function kindOf(path: string): HubKind | undefined {
  const form = formOf(path);
  if (form) return form === "parquet" ? form : "tar";
  return isImageName(path) ? "images" : undefined;
}

/** As kindOf, for files that nobody named: beside images, `datasets` keeps their labels in a file of this name. */
function kindFound(path: string): HubKind | undefined {
  return /(?:^|\/)metadata\.parquet$/.test(path) ? undefined : kindOf(path);
}

/** Data below a folder ("" for the whole repo): its tars, else its Parquet files, else its images. Where it has none, `seen` says what it has: number of files by extension. */
export async function chooseBelow(
  repo: HubRepo,
  commit: string,
  folder: string,
): Promise<Choice | { readonly seen: ReadonlyMap<string, number> }> {
  const found: Record<HubKind, HubEntry[]> = { tar: [], parquet: [], images: [] };
  const seen = new Map<string, number>();
  for await (const entry of repo.files(commit, folder)) {
    const hidden = /(?:^|\/)\./.test(entry.path.slice(folder.length));
    const kind = hidden ? undefined : kindFound(entry.path);
    if (kind) found[kind].push(entry);
    else if (!hidden) {
      const extension = extensionOf(entry.path);
      seen.set(extension, (seen.get(extension) ?? 0) + 1);
    }
  }
  const kind = kinds.find((one) => found[one].length > 0);
  if (!kind) return { seen };
  const left = kinds.filter((one) => one !== kind && found[one].length > 0);
  return {
    kind,
    entries: sorted(found[kind]),
    notes: left.map(
      (one) => `${nounOf(kind)} are taken; left out: ${found[one].length} ${nounOf(one)}`,
    ),
  };
}

/** Of several splits the one for training. Everything where there is none. Throws BAD_OPTION where there are several and none is for training. */
export function chooseTrain(
  choice: Choice,
  address: string,
  rule: (path: string) => string | undefined = splitRule(choice.entries.map(({ path }) => path)),
): Choice {
  const splits = new Map<string, HubEntry[]>();
  let unknown = 0;
  for (const entry of choice.entries) {
    const split = rule(entry.path);
    const known = split === undefined ? undefined : splits.get(split);
    if (known) known.push(entry);
    else if (split !== undefined) splits.set(split, [entry]);
    else unknown++;
  }
  if (splits.size === 0) return choice;
  const names = [...splits.keys()].sort(compareUtf8);
  const taken = splits.size === 1 ? names[0] : names.find((name) => name === "train");
  const entries = taken === undefined ? undefined : splits.get(taken);
  if (taken === undefined || !entries)
    throw new StreamError(
      "BAD_OPTION",
      `${address}: has the splits ${names.join(", ")}; name the files of one by a pattern; the first of ${names[0]} is ${splits.get(names[0] as string)?.[0]?.path}`,
    );
  const others = names.filter((name) => name !== taken);
  const notes = [...choice.notes];
  if (others.length > 0 || unknown > 0)
    notes.push(
      [
        `split ${taken} is taken`,
        ...(others.length > 0 ? [`other splits: ${others.join(", ")}`] : []),
        ...(unknown > 0 ? [`files of no split: ${unknown}`] : []),
      ].join("; "),
    );
  return { kind: choice.kind, entries, notes };
}

/** Files of a path or pattern: those of braces in the order written, those of each wildcard sorted. Rejects SOURCE_NOT_FOUND, BAD_OPTION. */
export async function chooseNamed(
  repo: HubRepo,
  commit: string,
  path: string,
  address: string,
): Promise<Choice> {
  const patterns = expandBraces(path);
  const named = !patterns.some((pattern) => /[*?[]/.test(pattern));
  if (named && patterns.length <= MOST_NAMED) {
    const found = await repo.find(commit, patterns);
    if (!isPattern(path) && found.get(path) === true)
      return chooseFolder(repo, commit, path, address);
    return alike(
      patterns
        .map((one) => [one, found.get(one)] as const)
        .map(([one, entry]) => fileOf(one, entry, address)),
      address,
    );
  }
  return alike(await matching(repo, commit, patterns, fixedPart(path), address), address);
}

async function chooseFolder(
  repo: HubRepo,
  commit: string,
  folder: string,
  address: string,
): Promise<Choice> {
  const choice = await chooseBelow(repo, commit, folder);
  if ("kind" in choice) return choice;
  throw new StreamError("SOURCE_EMPTY", `${address}: ${emptyReason(choice.seen)}`);
}

async function matching(
  repo: HubRepo,
  commit: string,
  patterns: readonly string[],
  base: string,
  address: string,
): Promise<HubEntry[]> {
  const all: HubEntry[] = [];
  for await (const entry of repo.files(commit, base.replace(/\/$/, ""))) all.push(entry);
  sorted(all);
  return patterns.flatMap((pattern) => {
    const wildcard = /[*?[]/.test(pattern);
    const matches = matcher(pattern);
    const files: HubEntry[] = [];
    const prefix = prefixOf(pattern);
    for (let i = firstWith(all, prefix); i < all.length; i++) {
      const entry = all[i] as HubEntry;
      if (!entry.path.startsWith(prefix)) break;
      if (matches(entry.path) && (!wildcard || kindFound(entry.path) !== undefined))
        files.push(entry);
    }
    if (files.length === 0) throw noFile(address, pattern, wildcard);
    return files;
  });
}

/** Index of the first path that is not before `prefix`. */
function firstWith(entries: readonly HubEntry[], prefix: string): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareUtf8((entries[middle] as HubEntry).path, prefix) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function fileOf(path: string, entry: HubEntry | true | undefined, address: string): HubEntry {
  if (entry === undefined) throw noFile(address, path, false);
  if (entry === true)
    throw new StreamError("BAD_OPTION", `${address}: ${path} is a folder; expected files`);
  return entry;
}

/** Checks that the files are of one kind and that none stands twice. */
function alike(entries: readonly HubEntry[], address: string): Choice {
  const seen = new Set<string>();
  const counts = new Map<HubKind, number>();
  for (const { path } of entries) {
    if (seen.has(path)) throw new StreamError("BAD_OPTION", `${address}: names ${path} twice`);
    seen.add(path);
    const kind = kindOf(path);
    if (!kind)
      throw new StreamError(
        "BAD_OPTION",
        `${address}: ${path} is no tar (.tar, .tar.gz, .tgz, .tar.zst), Parquet file or image`,
      );
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  const [kind] = counts.keys();
  if (kind === undefined || counts.size > 1)
    throw new StreamError(
      "BAD_OPTION",
      `${address}: names files of several kinds (${[...counts].map(([one, count]) => `${count} ${nounOf(one)}`).join(", ")}); name one kind`,
    );
  return { kind, entries, notes: [] };
}

/** Of the branch in which the Hub keeps a Parquet copy of what it could convert: CONFIG/SPLIT/0000.parquet. Undefined where it is empty. */
export async function chooseConverted(
  repo: HubRepo,
  commit: string,
  address: string,
): Promise<Choice | undefined> {
  const choice = await chooseBelow(repo, commit, "");
  if (!("kind" in choice) || choice.kind !== "parquet") return undefined;
  const configs = new Set(choice.entries.map(({ path }) => path.split("/", 1)[0] as string));
  const config =
    configs.size === 1 ? [...configs][0] : configs.has("default") ? "default" : undefined;
  if (config === undefined)
    throw new StreamError(
      "BAD_OPTION",
      `${address}: the data set has the configurations ${[...configs].join(", ")}; say which: ${address.replace(/@.*$/, "")}@refs/convert/parquet/${[...configs][0]}/train/*.parquet`,
    );
  const entries = choice.entries.filter(({ path }) => path.startsWith(`${config}/`));
  const notes = ["the repo has no data of a form that is read; its Parquet copy is taken"];
  if (configs.size > 1)
    notes.push(`configuration ${config} is taken of ${[...configs].join(", ")}`);
  const train = chooseTrain({ ...choice, entries, notes }, address, convertedSplit);
  if (!train.entries.some(({ path }) => isPartial(path))) return train;
  return {
    ...train,
    notes: [
      ...train.notes,
      "the copy is not complete: the Hub converts only the beginning of large data",
    ],
  };
}

/** "train", "partial-train" where only the beginning was converted, "train-part0" where there are very many files. */
function convertedSplit(path: string): string | undefined {
  return /^[^/]+\/(?:partial-)?([^/]+?)(?:-part\d+)?\//.exec(path)?.[1];
}

function isPartial(path: string): boolean {
  return /^[^/]+\/partial-/.test(path);
}

export function emptyReason(seen: ReadonlyMap<string, number>): string {
  const what = [...seen]
    .sort(([a, m], [b, n]) => n - m || compareUtf8(a, b))
    .map(([extension, count]) => `${count} ${extension}`);
  const most = 8;
  const more = what.length > most ? ` and ${what.length - most} other kinds` : "";
  return `no tar, Parquet file or image there; ${
    what.length === 0 ? "it is empty" : `seen: ${what.slice(0, most).join(", ")}${more}`
  }`;
}

function sorted(entries: HubEntry[]): HubEntry[] {
  return entries.sort((a, b) => compareUtf8(a.path, b.path));
}

function extensionOf(path: string): string {
  const name = path.slice(path.lastIndexOf("/") + 1);
  const dot = name.lastIndexOf(".");
  return dot > 0 ? name.slice(dot) : "without extension";
}

function nounOf(kind: HubKind): string {
  return kind === "tar" ? "tar files" : kind === "parquet" ? "Parquet files" : "images";
}

function noFile(address: string, pattern: string, wildcard: boolean): StreamError {
  return new StreamError(
    "SOURCE_NOT_FOUND",
    `${address}: ${wildcard ? `no tar, Parquet file or image matches ${pattern}` : `no such file: ${pattern}`}`,
  );
}
