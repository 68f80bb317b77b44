/** The seam between sources and the network. src/net knows HTTP and its failures; nothing else does. */

/** What is known of a file before it is read; what comes must agree. */
export interface Known {
  /** Bytes. */
  readonly size?: number;
  /** Strong ETag. */
  readonly etag?: string;
  /** Of the whole file, in hexadecimal. */
  readonly sha256?: string;
}

export interface Head {
  /** Bytes. */
  readonly size?: number;
  /** Strong ETags only. */
  readonly etag?: string;
  /** Whether parts can be asked for. */
  readonly ranges: boolean;
}

export interface Net {
  /** As the platform's, with the retries, limits and care for the token of everything here. For libraries that bring requests of their own. */
  readonly fetch: typeof globalThis.fetch;
  head(url: string, signal: AbortSignal): Promise<Head>;
  /**
   * The bytes from `from` (default 0) up to `to` (exclusive; default the end), in order, in one request; after a cut the rest is asked for by range. Checks
   * length and ETag, and sha256 where the whole file is read. Rejects NETWORK when the budget of retries is used up, SHARD_CORRUPT where the file is another
   * one than was known, SOURCE_NOT_FOUND (404, 410), UNAUTHORIZED (401, 403), ABORTED, CLOSED. The reader's pace is the pace of reading; one that rests while
   * others wait for their turn gives its connection up and asks for the rest when it goes on (permits.ts). Of a server that tells neither size nor ETag nor
   * date, only the bytes that come twice can be compared.
   */
  download(
    url: string,
    known: Known,
    options: { readonly from?: number; readonly to?: number; readonly signal: AbortSignal },
  ): AsyncIterable<Uint8Array>;
  /** Requests made and bytes received so far, for the terminal and for tests. */
  readonly counts: { readonly requests: number; readonly retries: number; readonly bytes: number };
  close(): Promise<void>;
}
