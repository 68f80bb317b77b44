import type { Feed, Row, RowOptions } from "./feed.ts";
import type { Notebook } from "./notes.ts";
import { groupOf, LARGEST_IMAGE, LARGEST_JSON } from "./rows.ts";
import { createGathering, type Sample } from "./samples.ts";
import { checkAbort } from "./scan.ts";
import { openIntake, passingMembers, type PassingMember } from "./tar-stream.ts";

const none = new Uint8Array(0);

/**
 * A tar, gzipped tar or zstd-packed tar that comes from its beginning to its end. The rows and notes are those of openTar for the same archive, but an
 * image beyond the limit is a row without bytes.
 */
export function tarFeed(
  shard: string,
  bytes: (signal: AbortSignal) => AsyncIterable<Uint8Array>,
  options: RowOptions,
): Feed {
  return {
    async *rows(notes, signal) {
      checkAbort(shard, signal);
      const intake = openIntake(bytes(signal), shard, signal);
      try {
        yield* rowsOf(passingMembers(intake, shard), shard, notes, options);
      } finally {
        await intake.close();
      }
    },
  };
}

async function* rowsOf(
  members: AsyncIterable<PassingMember>,
  shard: string,
  notes: Notebook,
  { group, image }: RowOptions,
): AsyncGenerator<Row, void, undefined> {
  const gathering = createGathering(shard, notes, image);
  let photo: Uint8Array = none;
  let json: Uint8Array | undefined;

  function rowOf({ key, image: member }: Sample): Row | undefined {
    const named = json && group !== undefined ? groupOf(json, group) : undefined;
    const row = member && { key, group: named ?? key, name: member.name, bytes: photo };
    photo = none;
    json = undefined;
    return row;
  }

  for await (const member of members) {
    const { role, ended } = await taken(member);
    const row = ended && rowOf(ended);
    if (row) yield row;
    // what was the image until now is no more
    if (role === "image") photo = none;
    if (role === "image" && member.size <= LARGEST_IMAGE) photo = await member.bytes();
    if (role === "json") json = undefined;
    if (role === "json" && group !== undefined && member.size <= LARGEST_JSON)
      json = await member.bytes();
  }
  const last = gathering.end();
  const row = last && rowOf(last);
  if (row) yield row;

  /** A member that is cut is worse than one that should not be there: random access sees it first, too. */
  async function taken(member: PassingMember): Promise<ReturnType<typeof gathering.take>> {
    try {
      return gathering.take(member);
    } catch (error) {
      await member.skip();
      throw error;
    }
  }
}
