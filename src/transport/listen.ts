import { chmod, lstat, unlink } from "node:fs/promises";
import { lookup } from "node:dns/promises";
import { connect, type Server } from "node:net";
import { isMainThread } from "node:worker_threads";
import { StreamError } from "../errors.ts";
import { formatAddress, isLoopback, type Address } from "./address.ts";

/** Binds the server and returns the address it really has. Throws UNSAFE_LISTEN or LISTEN_FAILED. */
export async function listen(
  server: Server,
  address: Address,
  insecure: boolean,
): Promise<Address> {
  return address.kind === "unix"
    ? await listenUnix(server, address)
    : await listenTcp(server, address, insecure);
}

async function listenTcp(
  server: Server,
  address: Address & { kind: "tcp" },
  insecure: boolean,
): Promise<Address> {
  const ip = await lookup(address.host).then(
    (found) => found.address,
    (error: unknown) => Promise.reject(failed(address, error)),
  );
  if (!insecure && !isLoopback(ip)) {
    const message = `${formatAddress(address)} can be reached from other machines, and nothing protects the token and the images on the way`;
    throw new StreamError(
      "UNSAFE_LISTEN",
      `${message}; listen on loopback or a unix socket, or say \`insecure: true\``,
    );
  }
  await start(server, address, () => server.listen({ host: ip, port: address.port }));
  const bound = server.address();
  return {
    kind: "tcp",
    host: ip,
    port: typeof bound === "object" && bound !== null ? bound.port : address.port,
  };
}

async function listenUnix(server: Server, address: Address & { kind: "unix" }): Promise<Address> {
  const { path } = address;
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
