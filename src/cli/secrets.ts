import type { Command } from "commander";
import { StreamError } from "../errors.ts";
import type { ConnectOptions } from "../transport/client.ts";
import type { Limits, ServerOptions } from "../transport/server.ts";

/** Tokens and certificates as the flags give them, of a server or of a client. */
export interface SecretOptions {
  readonly token?: readonly string[];
  readonly tokenFile?: string;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsClientCa?: string;
  readonly tlsName?: string;
  readonly limit?: Partial<Limits>;
}

/** What a verb that answers takes. */
export function withServerSecrets(command: Command): Command {
  return command
    .option(
      "--tls-cert <file>",
      "certificate (PEM) for tls:// addresses; read anew when it changes",
    )
    .option("--tls-key <file>", "its key")
    .option("--tls-client-ca <file>", "authorities (PEM) whose certificates clients must have")
    .option(
      "--token <text>",
      "one that clients may present, several times; others see it in ps",
      more,
    )
    .option("--token-file <file>", "file with tokens, one a line; read anew when it changes")
    .option("--limit <name=number>", "a limit of the server, several times", limit);
}

/** What a verb that connects takes. */
export function withClientSecrets(command: Command): Command {
  return command
    .option("--token <text>", "what the loader wants to be told; others see it in ps", more)
    .option("--token-file <file>", "file with the token")
    .option("--tls-ca <file>", "authorities (PEM) that the loader's certificate may be of")
    .option("--tls-name <name>", "the name it must be for; default: the host of the address")
    .option("--tls-cert <file>", "certificate (PEM) to show to the loader")
    .option("--tls-key <file>", "its key");
}

export function serverSecrets(
  options: SecretOptions,
): Pick<ServerOptions, "token" | "tokenFile" | "tls" | "limits"> {
  const { tokenFile, tlsCert: cert, tlsKey: key, tlsClientCa: clientCa, limit: limits } = options;
  const token = tokensOf(options);
  if (cert === undefined && (key !== undefined || clientCa !== undefined))
    throw new StreamError("BAD_OPTION", "--tls-key and --tls-client-ca need --tls-cert");
  if (cert !== undefined && key === undefined)
    throw new StreamError("BAD_OPTION", "--tls-cert needs --tls-key");
  return {
    ...(token !== undefined && { token }),
    ...(tokenFile !== undefined && { tokenFile }),
    ...(limits !== undefined && { limits }),
    ...(cert !== undefined &&
      key !== undefined && { tls: { cert, key, ...(clientCa !== undefined && { clientCa }) } }),
  };
}

/** A client shows the first of several tokens. */
export function clientSecrets(
  options: SecretOptions,
): Pick<ConnectOptions, "token" | "tokenFile" | "tls"> {
  const { tokenFile, tlsCa: ca, tlsCert: cert, tlsKey: key, tlsName: serverName } = options;
  const token = tokensOf(options)?.[0];
  return {
    ...(token !== undefined && { token }),
    ...(tokenFile !== undefined && { tokenFile }),
    tls: {
      ...(ca !== undefined && { ca }),
      ...(serverName !== undefined && { serverName }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
    },
  };
}

/** The environment counts where no flag is given. */
function tokensOf({ token, tokenFile }: SecretOptions): readonly string[] | undefined {
  if (token !== undefined || tokenFile !== undefined) return token;
  const found = process.env["SSL_R1_TOKEN"];
  return found ? [found] : undefined;
}

function more(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

function limit(text: string, before: Readonly<Record<string, number>> = {}): Partial<Limits> {
  const [, name, value] = /^([A-Za-z]+)=(\d+)$/.exec(text) ?? [];
  if (name === undefined)
    throw new StreamError("BAD_OPTION", `--limit is name=number, as connections=100, not ${text}`);
  return { ...before, [name]: Number(value) };
}
