import type { Row, Shard } from "./source.ts";
import { closed, type ByteSource, type Room } from "../shards/bytes.ts";
import type { RowOptions } from "../shards/feed.ts";
import { checkRow, checkSize, groupOf, LARGEST_JSON } from "../shards/rows.ts";
import { splitName } from "../shards/samples.ts";
import { columns, scanTar, WIDTH } from "../shards/scan.ts";
import { readMember } from "../shards/tar.ts";

export { checkRow, checkSize };

export interface TarOptions extends RowOptions {
  readonly signal?: AbortSignal;
}

/** A tar shard whose headers have been read. Owns `source` and closes it, also when this rejects (SHARD_CORRUPT, ABORTED). */
export async function openTar(
  source: ByteSource,
  shard: string,
  { group, ...options }: TarOptions = {},
): Promise<Shard> {
  try {
    const index = await scanTar(source, shard, options);
    let open = true;
    return {
      rows: index.rows,
      complete: true,
      counted: () => Promise.resolve(),
      notes: index,
      async read(row, room): Promise<Row> {
        if (!open) throw closed(shard);
        checkRow(shard, row, index.rows);
        const place = (column: number): number => index.places[row * WIDTH + column] as number;
        const header = place(columns.header);
        const image = place(columns.image);
        const size = place(columns.imageSize);
        const jsonSize = place(columns.jsonSize);
        const hasJson = group !== undefined && place(columns.json) >= 0 && jsonSize <= LARGEST_JSON;
        checkSize(shard, size, header);
        const pieces: Piece[] = [
          { at: header, length: image - header },
          { at: image, length: size },
        ];
        if (hasJson) pieces.push({ at: place(columns.json), length: jsonSize });
        const [headers, bytes, json] = (await readPieces(source, pieces, room)) as [
          Uint8Array,
          Uint8Array,
          Uint8Array?,
        ];
        const member = await readMember(headers, header, shard, index.globals);
        const key = splitName(member.name)?.key ?? member.name;
        return {
          key,
          group: (json && group !== undefined ? groupOf(json, group) : undefined) ?? key,
          name: member.name,
          bytes,
        };
      },
      async close() {
        open = false;
        await source.close();
      },
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}

interface Piece {
  readonly at: number;
  readonly length: number;
}

/** Bytes that are read although nobody asked for them, rather than calling the system once more. */
const WASTE = 16_384;

/** In one read where the pieces lie close together, as the members of a sample do. */
async function readPieces(
  source: ByteSource,
  pieces: readonly Piece[],
  room: Room | undefined,
): Promise<Uint8Array[]> {
  const from = Math.min(...pieces.map(({ at }) => at));
  const to = Math.max(...pieces.map(({ at, length }) => at + length));
  const wanted = pieces.reduce((sum, { length }) => sum + length, 0);
  if (to - from - wanted <= WASTE) {
    const all = await source.read(from, to - from, room);
    return pieces.map(({ at, length }) => all.subarray(at - from, at - from + length));
  }
  return Promise.all(pieces.map(({ at, length }) => source.read(at, length, room)));
}
