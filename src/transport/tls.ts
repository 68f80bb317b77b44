import { readFileSync } from "node:fs";
import { isIP, type Socket } from "node:net";
import {
  checkServerIdentity,
  createSecureContext,
  createServer,
  type ConnectionOptions,
  type SecureContextOptions,
  type Server,
  TLSSocket,
} from "node:tls";
import { StreamError } from "../errors.ts";
import { watch } from "./watch.ts";

/**
 * Both ends are of this project, so nothing older than 1.3 is spoken: no choice of ciphers to get wrong, no renegotiation, and a client's certificate is
 * not sent in clear.
 */
const VERSION = { minVersion: "TLSv1.3" } as const;

/** PEM files of a server; looked at again once a second. */
export interface ServerTls {
  /** The certificate, with those between it and its authority. */
  readonly cert: string;
  readonly key: string;
  /** Authorities whose certificates a client must have; else none is asked for. */
  readonly clientCa?: string;
}

/** What a client trusts and shows: PEM files, read anew for each connection. */
export interface ClientTls {
  /** Authorities that the server's certificate may be of; a self-signed certificate is its own. Default: those of the system's list that Node has. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** The name that the server's certificate must have. Default: the host of the address. */
  readonly serverName?: string;
}

export interface Certificates {
  /** Its "secureConnection" gives the sockets of clients whose certificate, where one is asked for, is right. It does not listen. */
  readonly server: Server;
  look(): Promise<void>;
  close(): void;
}

/** Connections that are there go on when the files change, new ones see the new certificate. Throws BAD_OPTION. */
export async function openCertificates(
  { cert, key, clientCa }: ServerTls,
  handshakeTimeout: number,
  onWarning: (message: string) => void,
  onReload: () => void = () => {},
): Promise<Certificates> {
  const make = ([cert, key, ca]: readonly string[]): SecureContextOptions => {
    const options = { ...VERSION, cert, key, ...(ca !== undefined && { ca }) };
    createSecureContext(options);
    return options;
  };
  const files = await watch([cert, key, ...(clientCa === undefined ? [] : [clientCa])], make, {
    what: "TLS certificate",
    secret: key,
    onWarning,
    onChange() {
      server.setSecureContext(files.current);
      onReload();
    },
  });
  const asked = clientCa !== undefined;
  const server = createServer({
    ...files.current,
    requestCert: asked,
    rejectUnauthorized: asked,
    handshakeTimeout,
  });
  // Strangers that speak something else, or hang up: nobody's fault here. Node leaves those open that were too slow.
  server.on("tlsClientError", (error, socket) => {
    if ("code" in error && error.code === "ERR_TLS_HANDSHAKE_TIMEOUT") socket.destroy();
  });
  return { server, look: () => files.look(), close: () => files.close() };
}

/** The options of a client's socket: the server's certificate is always checked, and its name. Throws BAD_OPTION. */
export function clientTls(
  host: string,
  { ca, cert, key, serverName = host }: ClientTls = {},
): ConnectionOptions {
  if ((cert === undefined) !== (key === undefined))
    throw new StreamError("BAD_OPTION", "tls: cert and key belong together");
  const pems = {
    ...(ca !== undefined && { ca: pem("ca", ca) }),
    ...(cert !== undefined && { cert: pem("cert", cert) }),
    ...(key !== undefined && { key: pem("key", key) }),
  };
  try {
    return {
      ...VERSION,
      secureContext: createSecureContext({ ...VERSION, ...pems }),
      rejectUnauthorized: true,
      // TLS sends names only; the certificate is checked for an IP address all the same.
      ...(isIP(serverName) === 0 && { servername: serverName }),
      checkServerIdentity: (_, certificate) => checkServerIdentity(serverName, certificate),
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StreamError("BAD_OPTION", `tls: ca, cert or key is no use: ${reason}`, {
      cause: error,
    });
  }
}

/** What a failure of TLS means for whoever connects, where another try would not change it; undefined for what is a lost connection. */
export function tlsFailure(error: Error, socket: Socket, address: string): StreamError | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  // Set where the server's certificate was looked at and refused, whatever the types say.
  if (socket.authorizationError)
    return new StreamError(
      "UNAUTHORIZED",
      `${address}: its certificate is not trusted: ${error.message}`,
    );
  // EPROTO has OpenSSL's reason in its message only.
  const reason = `${"code" in error ? String(error.code) : ""} ${error.message}`
    .toLowerCase()
    .replaceAll("_", " ");
  if (/alert (certificate|bad certificate|unknown ca)/.test(reason))
    return new StreamError(
      "UNAUTHORIZED",
      `${address}: the server wants a certificate of its clients, or another than this one`,
    );
  if (/wrong version number|alert protocol version|unsupported protocol/.test(reason))
    return new StreamError("PROTOCOL", `${address}: no TLS 1.3 is spoken there`);
  return undefined;
}

function pem(option: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    throw new StreamError("BAD_OPTION", `tls.${option}: can't read ${path}: ${code}`, {
      cause: error,
    });
  }
}
