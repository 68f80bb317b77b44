import type { StreamOptions } from "../options.ts";
import { connect } from "../transport/client.ts";
import { clientSecrets, type SecretOptions } from "./secrets.ts";

/** Options whose counts are an address, `--counts tcp://host:port`, with those of the loader there: a stream itself knows no sockets. */
export async function withCounts(
  options: StreamOptions,
  from: SecretOptions = {},
): Promise<StreamOptions> {
  const { counts } = options;
  if (typeof counts !== "string" || !/^(tcp|tls|unix):/.test(counts)) return options;
  const client = await connect(counts, {
    name: "ssl-r1, for counts",
    reconnect: 0,
    ...clientSecrets(from),
  });
  try {
    return { ...options, counts: await client.counts() };
  } finally {
    await client.close();
  }
}
