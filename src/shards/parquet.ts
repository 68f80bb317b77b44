import { checkAborted } from "../abort.ts";
import type { Feed, Row, RowOptions } from "./feed.ts";
import type { Notebook } from "./notes.ts";
import { chooseColumns, type Columns } from "./parquet-columns.ts";
import { createPull, heldBytes, type Pull, type RandomBytes } from "./parquet-file.ts";
import { physical, readFooter, type Chunk, type Group, type Node } from "./parquet-footer.ts";
import { pages, type Page } from "./parquet-pages.ts";
import type { Value } from "./parquet-values.ts";
import { groupOf, LARGEST_IMAGE, LARGEST_JSON, tooLarge } from "./rows.ts";
import { splitName } from "./samples.ts";
import { corrupt } from "./tar.ts";

export { fileBytes, type RandomBytes } from "./parquet-file.ts";

/** Bytes of a row group that are kept at most because another column, which comes after them in the file, is needed beside them. */
const MOST_HELD = 1 << 27;
/** Up to so many are kept rather than asking for that column ahead: the first row waits for them, and each of several downloads takes the memory. */
const KEPT_GLADLY = 1 << 24;

/**
 * The images of a Parquet file (https://parquet.apache.org/docs/file-format/). Reads the footer in one request, two where it is larger than 256 KiB; each
 * run over the rows is one more, over the columns that make rows. Rejects SHARD_CORRUPT; BAD_OPTION and SOURCE_EMPTY where no column holds images.
 *
 * Pages are decoded here and not by hyparquet, which trusts every length in them: a few damaged bytes would take all memory, or would be other images.
 */
export async function openParquet(
  shard: string,
  file: RandomBytes,
  options: RowOptions,
  signal: AbortSignal = new AbortController().signal,
): Promise<Feed> {
  const footer = await readFooter(shard, file, signal);
  const columns = chooseColumns(shard, footer, options);
  const nodes = [columns.image, columns.path, columns.key, columns.group, columns.json].filter(
    (node, place, all): node is Node => node !== undefined && all.indexOf(node) === place,
  );
  const groups = footer.groups(nodes.map((node) => node.leaf?.column ?? -1));
  const source = footer.whole ? heldBytes(footer.whole) : file;
  return {
    count: footer.rows,
    rows: (notes, stop) =>
      readRows({ shard, file: source, columns, nodes, groups, options }, notes, stop),
  };
}

interface Plan {
  readonly shard: string;
  readonly file: RandomBytes;
  readonly columns: Columns;
  readonly nodes: readonly Node[];
  readonly groups: readonly Group[];
  readonly options: RowOptions;
}

async function* readRows(
  plan: Plan,
  notes: Notebook,
  signal: AbortSignal,
): AsyncGenerator<Row, void, undefined> {
  const { shard, file, nodes, groups } = plan;
  checkAborted(signal);
  const first = groups[0];
  const last = groups.at(-1);
  if (!first || !last) return;
  const from = Math.min(...first.chunks.map((chunk) => chunk.from));
  const to = Math.max(...last.chunks.map((chunk) => chunk.to));
  const pull = createPull(shard, from, file.stream(from, to, signal));
  try {
    let row = 0;
    const room = createRooms(groups);
    for (const [number, group] of groups.entries()) {
      const pulls = await pullsOf(plan, number, group, pull, room, signal);
      const cells = new Map(
        nodes.map((node, i) => {
          const chunk = group.chunks[i] as Chunk;
          return [node, cellsOf(shard, node, chunk, pages(shard, pulls[i] as Pull, chunk, node))];
        }),
      );
      for (const end = row + group.rows; row < end; row++) {
        checkAborted(signal);
        const values = new Map<Node, Cell>();
        for (const [node, next] of cells) {
          const cell = await next();
          if (!cell) throw miscounted(plan, number, group, node);
          values.set(node, cell);
        }
        yield makeRow(plan, row, values, notes);
      }
      for (const [node, next] of cells)
        if (await next()) throw miscounted(plan, number, group, node);
    }
  } finally {
    await pull.close();
  }
}

function miscounted({ shard }: Plan, number: number, { rows, chunks }: Group, node: Node): Error {
  const offset = chunks[0]?.from ?? 0;
  const column = node.path.join(".");
  return corrupt(
    shard,
    offset,
    `row group ${number} has ${rows} rows, its column ${column} has not,`,
  );
}

/**
 * For each column its bytes. All but one are kept: but the last in the file, or where that would be much, but the largest, and the columns behind it are
 * asked for ahead, each in a request of its own.
 */
async function pullsOf(
  { shard, file, nodes }: Plan,
  number: number,
  { chunks }: Group,
  pull: Pull,
  room: (place: number, length: number) => Uint8Array,
  signal: AbortSignal,
): Promise<Pull[]> {
  const ordered = inFile(chunks);
  const streamed = streamedOf(chunks);
  const others = ordered.filter((chunk) => chunk !== streamed);
  if (sum(others) > MOST_HELD) {
    const names = nodes.map((node) => node.path.join(".")).join(", ");
    throw corrupt(
      shard,
      ordered[0]?.from ?? 0,
      `row group ${number} keeps ${sum(others)} bytes in all but the largest of its columns ${names}, the limit is ${MOST_HELD}: write the file with smaller row groups (row_group_size),`,
    );
  }
  const pulls = new Map<Chunk, Pull>();
  const behind = ordered.slice(ordered.indexOf(streamed) + 1);
  for (const chunk of behind) {
    const bytes = await file.read(chunk.from, chunk.to, signal);
    pulls.set(
      chunk,
      createPull(shard, chunk.from, heldBytes(bytes).stream(0, bytes.length, signal)),
    );
  }
  for (const chunk of ordered) {
    if (pulls.has(chunk)) continue;
    await pull.skipTo(chunk.from);
    const held = (): Promise<Pull> => pull.hold(room(chunks.indexOf(chunk), size(chunk)));
    pulls.set(chunk, chunk === streamed ? pull : await held());
  }
  return chunks.map((chunk) => pulls.get(chunk) as Pull);
}

const size = ({ from, to }: Chunk): number => to - from;

const sum = (chunks: readonly Chunk[]): number =>
  chunks.reduce((total, chunk) => total + size(chunk), 0);

const inFile = (chunks: readonly Chunk[]): readonly Chunk[] =>
  chunks.toSorted((a, b) => a.from - b.from);

/** The column that is not kept. */
function streamedOf(chunks: readonly Chunk[]): Chunk {
  const ordered = inFile(chunks);
  const largest = ordered.reduce((a, b) => (size(b) > size(a) ? b : a));
  return sum(ordered.slice(0, -1)) > KEPT_GLADLY ? largest : ordered.at(-1)!;
}

/**
 * Memory for what is kept of a column, the same for each row group: rows have their bytes to themselves, so nothing looks at it later. At once as large
 * as any will need, or each slightly larger row group would leave one behind.
 */
function createRooms(groups: readonly Group[]): (place: number, length: number) => Uint8Array {
  const rooms: Uint8Array[] = [];
  return (place, length) => {
    const room = (rooms[place] ??= new Uint8Array(
      groups.reduce((most, { chunks }) => {
        const chunk = chunks[place] as Chunk;
        return chunk === streamedOf(chunks) || size(chunk) > MOST_HELD
          ? most
          : Math.max(most, size(chunk));
      }, 0),
    ));
    return room.subarray(0, length);
  };
}

/** The values of one row in one column: one, or those of its list; undefined is null. */
type Cell = readonly (Value | undefined)[];

/** The next row's values at each call; undefined after the last. */
function cellsOf(
  shard: string,
  node: Node,
  chunk: Chunk,
  source: AsyncIterator<Page>,
): () => Promise<Cell | undefined> {
  let page: Page | undefined;
  let at = 0;
  let value = 0;

  return async () => {
    let row: (Value | undefined)[] | undefined;
    for (;;) {
      if (!page || at === page.count) {
        const next = await source.next();
        page = next.done === true ? undefined : next.value;
        at = 0;
        value = 0;
        if (!page) return row;
        continue;
      }
      if ((page.repetitions?.[at] ?? 0) === 0) {
        if (row) return row;
        row = [];
      } else if (!row) {
        throw corrupt(shard, chunk.from, `column ${node.path.join(".")} begins within a row`);
      }
      const level = page.definitions?.[at] ?? node.definition;
      if (level === node.definition) row.push(page.values[value++]);
      else if (level >= node.element) row.push(undefined);
      at++;
      if (node.repetition === 0) return row;
    }
  };
}

function makeRow(
  { shard, columns, options }: Plan,
  number: number,
  cells: ReadonlyMap<Node, Cell>,
  notes: Notebook,
): Row {
  const images = cells.get(columns.image) ?? [];
  const first = images.findIndex((image) => image !== undefined && sizeOf(image) > 0);
  for (let i = 1; i < images.length; i++) notes.skip("further image");
  const text = (node: Node | undefined, place = 0): string | undefined => {
    const value = node && cells.get(node)?.[place];
    return value === undefined ? undefined : textOf(node as Node, value);
  };
  const path = text(columns.path, Math.max(first, 0)) || undefined;
  const key = text(columns.key) || (path && (splitName(path)?.key ?? path)) || `row ${number}`;
  const image = images[first];
  const size = image === undefined ? 0 : sizeOf(image);
  if (size === 0 || size > LARGEST_IMAGE)
    notes.problem({ shard, key, reason: reasonOf(size, path) });
  const json = columns.json && cells.get(columns.json)?.[0];
  const inJson =
    json instanceof Uint8Array && options.group !== undefined && json.length <= LARGEST_JSON
      ? groupOf(json, options.group)
      : undefined;
  return {
    key,
    group: text(columns.group) ?? inJson ?? key,
    name: path ?? columns.name,
    // memory of its own: a view would keep the whole page
    bytes: image instanceof Uint8Array && size <= LARGEST_IMAGE ? new Uint8Array(image) : none(),
  };
}

const none = (): Uint8Array => new Uint8Array(0);

function reasonOf(size: number, path: string | undefined): string {
  if (size > 0) return tooLarge(size);
  if (path === undefined) return "the row has no image";
  return "the row has a path instead of an image: write the file with the images in it";
}

function sizeOf(value: Value): number {
  return value instanceof Uint8Array ? value.length : 0;
}

const utf8 = new TextDecoder();

function textOf(node: Node, value: Value): string {
  if (value instanceof Uint8Array) return utf8.decode(value);
  if (!node.unsigned) return String(value);
  return String(BigInt.asUintN(node.leaf?.type === physical.int32 ? 32 : 64, value));
}
