import type { Row, Shard } from "./source.ts";
import { closed, type ByteSource, type Room } from "../shards/bytes.ts";
import type { RowOptions } from "../shards/feed.ts";
import { checkRow, checkSize, groupOf, LARGEST_JSON } from "../shards/rows.ts";
import { splitName } from "../shards/samples.ts";
import type { Notes } from "../shards/notes.ts";
import { columns, scanTar, WIDTH, type ScanOptions, type TarIndex } from "../shards/scan.ts";
import { readMember, type Globals } from "../shards/tar.ts";

export { checkRow, checkSize };

export interface TarOptions extends RowOptions {
  readonly signal?: AbortSignal;
}

/** Where the rows of a tar are, wherever that is kept. */
export interface TarPlaces extends Notes {
  readonly rows: number;
  readonly globals: readonly Globals[];
  /** The numbers of a row, see `columns`. */
  place(row: number): Float64Array | Promise<Float64Array>;
  close?(): Promise<void>;
}

export function inMemory(index: TarIndex): TarPlaces {
  const { rows, globals, problems, skipped, places } = index;
  const place = (row: number): Float64Array => places.subarray(row * WIDTH, (row + 1) * WIDTH);
  return { rows, globals, problems, skipped, place };
}

/** A tar shard whose headers have been read. Owns `source` and closes it, also when this rejects (SHARD_CORRUPT, ABORTED). */
export async function openTar(
  source: ByteSource,
  shard: string,
  { group, ...options }: TarOptions = {},
  find: (options: ScanOptions) => Promise<TarPlaces> = async (scan) =>
    inMemory(await scanTar(source, shard, scan)),
): Promise<Shard> {
  try {
    const index = await find(options);
    let open = true;
    return {
      rows: index.rows,
      complete: true,
      counted: () => Promise.resolve(),
      notes: index,
      async read(row, room): Promise<Row> {
        if (!open) throw closed(shard);
        checkRow(shard, row, index.rows);
        const found = index.place(row);
        const numbers = found instanceof Float64Array ? found : await found;
        const place = (column: number): number => numbers[column] as number;
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
        await Promise.all([source.close(), index.close?.()]);
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
