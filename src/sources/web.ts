import { StreamError } from "../errors.ts";
import type { RowOptions } from "../shards/feed.ts";
import { countingOf, createContainersSource, formOf, type Container } from "./containers.ts";
import { expandBraces } from "./pattern.ts";
import { hashColumn, listOf, numberColumn, textColumn } from "./listing.ts";
import type { List, Source } from "./source.ts";
import type { Supplies } from "./supplies.ts";

/** Files behind http and https addresses: one, or a brace list. Size and ETag of each are asked for once, when they are listed. BAD_OPTION, SOURCE_NOT_FOUND. */
export function createWebSource(
  address: string,
  { rows, supplies }: { readonly rows: RowOptions; readonly supplies: Supplies },
): Source {
  const urls = expandBraces(address).map(checkUrl);
  const names = namesOf(urls);
  return createContainersSource(shown(address), {
    rows,
    supplies,
    container: (file: Container) => file,
    counting: countingOf(names.map((name) => ({ name, here: false }))),
    list: listing(urls, names, supplies),
  });
}

/** A function of its own, so that nothing else holds the addresses. */
function listing(urls: readonly URL[], names: readonly string[], supplies: Supplies) {
  return async (signal = new AbortController().signal): Promise<List<Container>> => {
    const net = await supplies.net();
    const found = await Promise.all(urls.map((url) => net.head(url.href, signal)));
    const [name, href, etags] = [textColumn(), textColumn(), hashColumn()];
    const [sizes, parts] = [numberColumn(), numberColumn()];
    for (const [at, { size, etag, ranges }] of found.entries()) {
      const url = urls[at]!;
      if (size === undefined)
        throw new StreamError(
          "SOURCE_NOT_FOUND",
          `${names[at]}: ${url.host} does not tell its size, so a cut could pass for its end`,
        );
      name.push(names[at]!);
      href.push(url.href);
      sizes.push(size);
      etags.push(etag);
      parts.push(ranges ? 1 : 0);
    }
    return listOf(urls.length, (at) => {
      const [size, etag] = [sizes.at(at), etags.at(at)];
      const known = { size, ...(etag !== undefined && { etag }) };
      return {
        name: name.at(at),
        size,
        ...(etag !== undefined && { hash: `etag:${etag}` }),
        place: { url: href.at(at), known, ranges: parts.at(at) === 1 },
      };
    });
  };
}

/** An address for messages: its query may hold a signature, what stands before an @ a password. */
function shown(address: string): string {
  return address.replace(/\?.*$/s, "").replace(/\/\/[^/]*@/, "//");
}

function checkUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url) throw new StreamError("BAD_OPTION", `${shown(text)}: not an address`);
  if (url.username !== "" || url.password !== "")
    throw new StreamError("BAD_OPTION", `${url.host}: an address with a user or a password in it`);
  if (!formOf(url.pathname))
    throw new StreamError(
      "BAD_OPTION",
      `${url.origin}${url.pathname}: expected a .tar, .tar.gz, .tar.zst or .parquet file`,
    );
  return url;
}

/** Paths from the folder on that all have in common; never the query, which may hold secrets. */
function namesOf(urls: readonly URL[]): string[] {
  const paths = urls.map(({ pathname }) => decodeURIComponent(pathname).split("/"));
  let shared = 0;
  const [first = []] = paths;
  while (
    shared < first.length - 1 &&
    paths.every((path) => shared < path.length - 1 && path[shared] === first[shared])
  )
    shared++;
  return paths.map((path) => path.slice(shared).join("/"));
}
