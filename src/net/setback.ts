/** A failure that another try may mend. Never leaves this folder. */
export class Setback extends Error {
  /** Milliseconds that the server asked for. */
  readonly wait: number | undefined;

  constructor(reason: string, wait?: number, cause?: unknown) {
    super(reason, { cause });
    this.wait = wait;
  }
}

/** The request was given up for others that wait, because its reader rested. Not a failure. */
export class Yielded extends Error {}

const words: Readonly<Record<string, string>> = {
  UND_ERR_SOCKET: "the connection was cut",
  UND_ERR_CONNECT_TIMEOUT: "no connection in time",
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: "the answer has another length than it said",
  ECONNREFUSED: "the connection was refused (ECONNREFUSED)",
  ECONNRESET: "the connection was cut (ECONNRESET)",
  ENOTFOUND: "the host's name is not known (ENOTFOUND)",
};

/** No try mends these: certificates, a proxy that wants a password. */
const hopeless =
  /^(CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|ERR_TLS_CERT|ERR_SSL|UND_ERR_PRX_TLS|UND_ERR_INVALID_ARG|ERR_INVALID)/;

/** What a failure of the connection means. `hopeless` says that it will not pass by itself. */
export function failureOf(error: unknown): { readonly reason: string; readonly hopeless: boolean } {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (typeof code !== "string")
    return { reason: error instanceof Error ? error.message : String(error), hopeless: false };
  // 407: the proxy wants a password
  if (hopeless.test(code) || (error as Error).message.includes("(407)"))
    return { reason: `${(error as Error).message} (${code})`, hopeless: true };
  return { reason: words[code] ?? code, hopeless: false };
}
