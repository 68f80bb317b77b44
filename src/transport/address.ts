import { isIPv6 } from "node:net";
import { StreamError } from "../errors.ts";

/** Where a server listens: `tcp://host:port`, `tcp://[::1]:port`, the same with `tls://`, or `unix:///absolute/path`. Port 0 lets the system choose. */
export type Address =
  | { readonly kind: "tcp" | "tls"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** Throws BAD_OPTION. */
export function parseAddress(text: string): Address {
  if (text.startsWith("unix://")) {
    const path = text.slice("unix://".length);
    if (!path.startsWith("/") || path.includes("\0")) throw bad(text);
    return { kind: "unix", path };
  }
  const match = /^(tcp|tls):\/\/(?:\[([^\]/]+)\]|([^:/[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[2] ?? match?.[3];
  const port = Number(match?.[4]);
  if (host === undefined || port > 65_535) throw bad(text);
  return { kind: match?.[1] === "tls" ? "tls" : "tcp", host, port };
}

export function formatAddress(address: Address): string {
  if (address.kind === "unix") return `unix://${address.path}`;
  const { kind, host, port } = address;
  return `${kind}://${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

/** 127.0.0.0/8 and ::1, the latter also as a mapped IPv4 address. */
export function isLoopback(ip: string): boolean {
  return ip === "::1" || /^(?:::ffff:)?127\.\d+\.\d+\.\d+$/i.test(ip);
}

/** Whether bytes may be damaged on the way: over a network that does not encrypt, whose own checksums let one of many millions through. */
export function isOpenWay(address: Address): boolean {
  return address.kind === "tcp" && address.host !== "localhost" && !isLoopback(address.host);
}

function bad(text: string): StreamError {
  return new StreamError(
    "BAD_OPTION",
    `an address is tcp://host:port, tls://host:port ([ipv6] in brackets) or unix:///absolute/path, not ${JSON.stringify(text)}`,
  );
}
