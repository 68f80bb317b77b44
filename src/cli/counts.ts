import { readFileSync } from "node:fs";
import type { StreamOptions } from "../options.ts";
import { connect } from "../transport/client.ts";

/** A token as the flags or the environment give it. */
export interface TokenOptions {
  readonly token?: string;
  readonly tokenFile?: string;
}

export function tokenOf({ token, tokenFile }: TokenOptions): string | undefined {
  if (token !== undefined) return token;
  if (tokenFile !== undefined) return readFileSync(tokenFile, "utf8").trim();
  return process.env["SSL_R1_TOKEN"] || undefined;
}

/** Options whose counts are an address, `--counts tcp://host:port`, with those of the loader there: a stream itself knows no sockets. */
export async function withCounts(
  options: StreamOptions,
  from: TokenOptions = {},
): Promise<StreamOptions> {
  const { counts } = options;
  if (typeof counts !== "string" || !/^(tcp|unix):/.test(counts)) return options;
  const token = tokenOf(from);
  const client = await connect(counts, {
    name: "ssl-r1, for counts",
    reconnect: 0,
    ...(token !== undefined && { token }),
  });
  try {
    return { ...options, counts: await client.counts() };
  } finally {
    await client.close();
  }
}
