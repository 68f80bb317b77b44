import { chmod, lstat, stat, unlink } from "node:fs/promises";
import { lookup } from "node:dns/promises";
import { connect, type Server } from "node:net";
import { dirname } from "node:path";
import { isMainThread } from "node:worker_threads";
import { StreamError } from "../errors.ts";
import { formatAddress, isLoopback, type Address } from "./address.ts";

export interface Protection {
  /** Clients must have a token or a certificate. */
  readonly guarded: boolean;
  /** The owner says that it may be without. */
  readonly insecure: boolean;
}

type Port = Extract<Address, { readonly port: number }>;
type Path = Extract<Address, { readonly path: string }>;

/** Binds the server and returns the address it really has. Throws UNSAFE_LISTEN or LISTEN_FAILED. */
export async function listen(
  server: Server,
  address: Address,
  protection: Protection,
): Promise<Address> {
  return address.kind === "unix"
    ? await listenUnix(server, address, protection)
    : await listenTcp(server, address, protection);
}

async function listenTcp(server: Server, address: Port, protection: Protection): Promise<Address> {
  const ip = await lookup(address.host).then(
    (found) => found.address,
    (error: unknown) => Promise.reject(failed(address, error)),
  );
  if (!protection.insecure && !isLoopback(ip)) checkExposed(address, protection);
  await start(server, address, () => server.listen({ host: ip, port: address.port }));
  const bound = server.address();
  return {
    kind: address.kind,
    // A certificate is for a name rather than for what the name is today.
    host: address.kind === "tls" ? address.host : ip,
    port: typeof bound === "object" && bound !== null ? bound.port : address.port,
  };
}

function checkExposed(address: Port, { guarded }: Protection): void {
  const where = `${formatAddress(address)} can be reached from other machines`;
  if (address.kind === "tcp")
    throw new StreamError(
      "UNSAFE_LISTEN",
      `${where}, and nothing protects the token and the images on the way; listen on tls://, with a certificate and a token (or clients' certificates), on loopback or on a unix socket, or say in words that this network is trusted: \`--insecure\`, \`insecure: true\``,
    );
  if (!guarded)
    throw new StreamError(
      "UNSAFE_LISTEN",
      `${where}, and anybody may connect; set a token (SSL_R1_TOKEN, --token-file) or ask for clients' certificates (--tls-client-ca), or say in words that everybody on this network may: \`--insecure\`, \`insecure: true\``,
    );
}

async function listenUnix(
  server: Server,
  address: Path,
  { insecure }: Protection,
): Promise<Address> {
  const { path } = address;
  const folder = await stat(dirname(path)).catch((error: unknown) =>
    Promise.reject(failed(address, error)),
  );
  // Where others may rename what is ours, they can put a socket of their own in its place and be given the token.
  if (!insecure && (folder.mode & 0o002) !== 0 && (folder.mode & 0o1000) === 0)
    throw new StreamError(
      "UNSAFE_LISTEN",
      `${formatAddress(address)}: every user of this machine may exchange files in that folder; use a folder of your own (chmod o-w), or say \`--insecure\`, \`insecure: true\``,
    );
  const there = await lstat(path).catch(() => undefined);
  if (there !== undefined) {
    if (!there.isSocket())
      throw new StreamError(
        "LISTEN_FAILED",
        `can't listen on ${formatAddress(address)}: a file of this name exists and is no socket`,
      );
    if (await answers(path))
      throw new StreamError(
        "LISTEN_FAILED",
        `can't listen on ${formatAddress(address)}: another server answers there`,
      );
    await unlink(path).catch((error: unknown) => Promise.reject(failed(address, error)));
  }
  await start(server, address, () => {
    // Bound under a narrow mask, or there would be a moment in which everybody may connect. A worker thread can't set it.
    const mask = isMainThread ? process.umask(0o177) : undefined;
    try {
      server.listen(path);
    } finally {
      if (mask !== undefined) process.umask(mask);
    }
  });
  await chmod(path, 0o600);
  return address;
}

/** Refused means that its server is gone without having removed it; anything else is not ours to judge. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", (error: NodeJS.ErrnoException) =>
      resolve(error.code !== "ECONNREFUSED" && error.code !== "ENOENT"),
    );
  });
}

function start(server: Server, address: Address, begin: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void => reject(failed(address, error));
    server.once("error", onError);
    server.once("listening", () => {
      server.off("error", onError);
      resolve();
    });
    begin();
  });
}

function failed(address: Address, cause: unknown): StreamError {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
  const reason =
    code === "EADDRINUSE"
      ? "the address is in use"
      : code === "EACCES"
        ? "no permission"
        : code === "EADDRNOTAVAIL"
          ? "the address is not of this machine"
          : code;
  return new StreamError("LISTEN_FAILED", `can't listen on ${formatAddress(address)}: ${reason}`, {
    cause,
  });
}
