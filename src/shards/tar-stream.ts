import { StreamError } from "../errors.ts";
import { decompress } from "./decompress.ts";
import { createIntake, type Intake } from "./intake.ts";
import { checkAbort } from "./scan.ts";
import {
  cutShort,
  dataAfterEnd,
  paddedSize,
  readHeader,
  type Globals,
  type Member,
} from "./tar.ts";

/** A member of an archive that comes in chunks: its contents are there once, before the next member is asked for. */
export interface PassingMember extends Member {
  /** The contents in memory of their own. Ask only where `size` is one that fits. Rejects SHARD_CORRUPT where they are cut. */
  bytes(): Promise<Uint8Array<ArrayBuffer>>;
  /** The contents in pieces, in memory of the archive's chunks. Rejects SHARD_CORRUPT where they are cut. */
  pieces(): AsyncGenerator<Uint8Array, void, undefined>;
  /** Leaves out what has not been read of them. Rejects SHARD_CORRUPT where they are cut. */
  skip(): Promise<void>;
}

/** Largest piece of a member's contents. Bytes. */
const PIECE = 1 << 20;

/** An archive, packed or not. The signal is looked at with every chunk; who gives the chunks may heed it sooner. */
export function openIntake(
  bytes: AsyncIterable<Uint8Array>,
  shard: string,
  signal: AbortSignal | undefined,
): Intake {
  return createIntake(decompress(watched(bytes, shard, signal), shard));
}

async function* watched(
  bytes: AsyncIterable<Uint8Array>,
  shard: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    for await (const chunk of bytes) {
      checkAbort(shard, signal);
      if (!(chunk instanceof Uint8Array))
        throw new StreamError("BAD_OPTION", `${shard}: chunks must be bytes, got ${typeof chunk}`);
      yield chunk;
    }
  } catch (error) {
    // streams of the platform reject with an error of their own
    if (!(error instanceof StreamError)) checkAbort(shard, signal);
    throw error;
  }
}

/**
 * All members in order, with the same errors as members() of tar.ts: an archive that is cut anywhere, even between two members, or damaged, or goes on
 * after its end, rejects SHARD_CORRUPT. Constant memory: what is not asked for is skipped. Does not close the intake.
 */
export async function* passingMembers(
  intake: Intake,
  shard: string,
): AsyncGenerator<PassingMember, void, undefined> {
  let globals: Globals | undefined;
  const blocks = async (at: number, length: number): Promise<Uint8Array> => {
    await intake.skip(at);
    return intake.look(length);
  };
  for (;;) {
    const header = await readHeader(blocks, shard, intake.at(), globals);
    if (!header) {
      await checkTail(intake, shard);
      return;
    }
    globals = header.globals ?? globals;
    const passing = passingMember(intake, shard, header.member);
    if (!header.marker) yield passing;
    await passing.skip();
  }
}

function passingMember(intake: Intake, shard: string, member: Member): PassingMember {
  const { offset, size } = member;
  let read = false;

  async function begin(): Promise<void> {
    if (read || intake.at() > offset)
      throw new StreamError("CLOSED", `${shard}: ${member.name} was read already or left behind`, {
        context: { shard, offset: member.header },
      });
    read = true;
    await intake.skip(offset);
  }

  return {
    ...member,
    async bytes() {
      await begin();
      const into = new Uint8Array(size);
      if ((await intake.fill(into)) < size) throw cutShort(shard, member, intake.at());
      return into;
    },
    async *pieces() {
      await begin();
      while (intake.at() < offset + size) {
        const found = await intake.piece(Math.min(offset + size - intake.at(), PIECE));
        if (!found) throw cutShort(shard, member, intake.at());
        yield found;
      }
    },
    async skip() {
      if (!(await intake.skip(offset + paddedSize(size))))
        throw cutShort(shard, member, intake.at());
    },
  };
}

/** As in tar.ts: after the first zero block only zeros. */
async function checkTail(intake: Intake, shard: string): Promise<void> {
  for (;;) {
    const at = intake.at();
    const found = await intake.piece(PIECE);
    if (!found) return;
    const other = found.findIndex((byte) => byte !== 0);
    if (other >= 0) throw dataAfterEnd(shard, at + other);
  }
}
