/** A file of a repo at a commit. */
export interface HubEntry {
  /** "/" as separator, from the root of the repo. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** "sha256:…" of the content where the repo keeps it in LFS, else "git-sha1:…", git's name of the blob. Absent where a cache without links does not say it. */
  readonly hash?: string;
}

/** The seam between choosing files and where a repo is asked: the Hub, or the Python client's cache where there is no network. */
export interface HubRepo {
  /** "OWNER/NAME" as the Hub has it now: data sets move. Known once a commit was asked for. */
  readonly name: string;
  /** The configurations that its README declares, as the Hub has read them (anything); undefined offline, and where there are none. Known with the name. */
  readonly configs: unknown;
  /** The full hash of a revision's commit; undefined where there is no such revision. Rejects SOURCE_NOT_FOUND where there is no such repo, UNAUTHORIZED, NETWORK. */
  commit(revision: string): Promise<string | undefined>;
  /** Every file below a folder ("" for all), in any order. */
  files(commit: string, folder: string): AsyncIterable<HubEntry>;
  /** Those of the paths that are there; a folder is true. */
  find(commit: string, paths: readonly string[]): Promise<Map<string, HubEntry | true>>;
}
