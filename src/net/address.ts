import { isIPv4 } from "node:net";
import { StreamError } from "../errors.ts";

/** For messages: host and path. Never the query, which in signed addresses is a secret, nor a password. */
export function nameOf(url: URL): string {
  return `${url.host}${url.pathname}`;
}

export function contextOf(url: URL): { readonly host: string; readonly file: string } {
  return { host: url.host, file: url.pathname };
}

/** An http or https address. SOURCE_NOT_FOUND. */
export function parseUrl(text: string): URL {
  const url = URL.parse(text);
  if (url && (url.protocol === "http:" || url.protocol === "https:")) return url;
  throw new StreamError(
    "SOURCE_NOT_FOUND",
    `not an http or https address: ${url ? `${url.protocol}//${nameOf(url)}` : JSON.stringify(text.split(/[?#]/)[0])}`,
  );
}

export function isLoopback(url: URL): boolean {
  const { hostname } = url;
  if (hostname === "localhost" || hostname.endsWith(".localhost") || hostname === "[::1]")
    return true;
  return isIPv4(hostname) && hostname.startsWith("127.");
}

/** Where a redirect leads. NETWORK for what is not followed. */
export function redirectTarget(from: URL, location: string, name: string): URL {
  const to = URL.parse(location, from.href);
  const refused = (reason: string): StreamError =>
    new StreamError("NETWORK", `${name}: ${reason}`, { context: contextOf(from) });
  if (!to) throw refused("redirected to something that is no address");
  if (to.protocol !== "http:" && to.protocol !== "https:")
    throw refused(`redirected to ${to.protocol}, which is not followed`);
  // a password in a redirect is nobody's that we know
  to.username = "";
  to.password = "";
  if (from.protocol === "https:" && to.protocol === "http:" && !isLoopback(to))
    throw refused(`redirected from https to http at ${to.host}, which is not followed`);
  return to;
}
