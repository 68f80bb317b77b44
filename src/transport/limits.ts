import { StreamError } from "../errors.ts";

/** What clients may ask of a server, one by one and together. docs/security.md says against whom each stands. */
export interface Limits {
  /** Clients at once. */
  readonly connections: number;
  /** Of these from one IP address; those of a Unix socket are not told apart. */
  readonly perAddress: number;
  /** Connections that have not said hello; when there is one more, the oldest of the address with most of them is closed. */
  readonly strangers: number;
  /** Milliseconds from the connection to a complete hello, and as many for a handshake of TLS before. */
  readonly handshake: number;
  /** Milliseconds without a message from a client, or a frame that it took, while nothing is being made for it; then it has to connect again. */
  readonly idle: number;
  /** Milliseconds without a frame taken after which a client loses its connection if others wait for the memory that its frames are in. */
  readonly stall: number;
  /** Unanswered requests of one connection. */
  readonly requests: number;
  /** Requests and polls of one connection a second; as many may come at once. Beyond it LIMIT. */
  readonly requestRate: number;
  /** Messages of one connection a second; beyond it they are read later. */
  readonly messageRate: number;
  /** Bytes of one connection that wait for the kernel before no further cell is pulled for it. */
  readonly queued: number;
  /** The same for all connections together. */
  readonly queuedInAll: number;
  /** Cells that are being made or wait for the kernel, of all connections together. Each holds memory of a worker (8 MiB or more). */
  readonly cells: number;
  /** Bytes of a frame from a client, before and after its hello. */
  readonly helloFrame: number;
  readonly clientFrame: number;
  /** Bytes of credit a stream may hold. */
  readonly credit: number;
}

export const defaultLimits: Limits = {
  connections: 1_024,
  perAddress: 512,
  strangers: 256,
  handshake: 10_000,
  idle: 3_600_000,
  stall: 60_000,
  requests: 16,
  requestRate: 2_000,
  messageRate: 20_000,
  queued: 32 * 2 ** 20,
  queuedInAll: 512 * 2 ** 20,
  cells: 64,
  helloFrame: 64 * 2 ** 10,
  clientFrame: 2 ** 20,
  credit: 2 ** 40,
};

/** The defaults with what is given instead. Throws BAD_OPTION. */
export function limitsOf(given: Partial<Limits> = {}): Limits {
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(defaultLimits, name))
      throw new StreamError(
        "BAD_OPTION",
        `limits: there is no ${name}; there are ${Object.keys(defaultLimits).join(", ")}`,
      );
    if (!(typeof value === "number" && value > 0))
      throw new StreamError("BAD_OPTION", `limits: ${name} must be above 0, and is ${value}`);
  }
  return { ...defaultLimits, ...given };
}
