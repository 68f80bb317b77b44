import { StreamError } from "../errors.ts";
import type { RowOptions } from "./feed.ts";
import { physical, type Footer, type Node } from "./parquet-footer.ts";

/** The columns that make a row; each is a leaf. */
export interface Columns {
  /** The encoded image; inside of a list the first of each row. */
  readonly image: Node;
  /** What the user would call the image's column. */
  readonly name: string;
  /** Path of the image, beside its bytes. */
  readonly path?: Node;
  readonly key?: Node;
  readonly group?: Node;
  /** Text whose JSON has the group. */
  readonly json?: Node;
}

interface ImageColumn {
  readonly image: Node;
  readonly path?: Node;
}

const imageNames = new Set(["image", "img", "jpg", "jpeg", "png", "webp", "bytes"]);
const keyNames = ["__key__", "key", "id"];
/** Names in an error message. */
const MOST_NAMES = 30;

/** Finds the columns. Throws BAD_OPTION where the named image column is none, SOURCE_EMPTY where no column holds images. */
export function chooseColumns(shard: string, footer: Footer, options: RowOptions): Columns {
  const { root } = footer;
  const found = options.image === undefined ? guess(footer) : named(root, options.image);
  if (!found) {
    const names = root.children.map(({ name }) => name);
    const listed = names.slice(0, MOST_NAMES).join(", ");
    const columns = names.length > MOST_NAMES ? `${listed}, ...` : listed;
    if (options.image !== undefined)
      throw new StreamError(
        "BAD_OPTION",
        `${shard}: image: ${options.image} is no column with images; the columns are ${columns}`,
        { context: { shard, columns: names.slice(0, MOST_NAMES) } },
      );
    throw new StreamError(
      "SOURCE_EMPTY",
      `${shard}: no column looks like images, name one by the option image; the columns are ${columns}`,
      { context: { shard, columns: names.slice(0, MOST_NAMES) } },
    );
  }
  const { image, path } = found;
  const key = keyNames
    .map((name) => root.children.find((node) => node.name === name))
    .find((node) => node && isBytes(node) && node.text && node.repetition === 0);
  return {
    image,
    name: options.image ?? image.path[0] ?? "image",
    ...(path && { path }),
    ...(key && { key }),
    ...(options.group !== undefined && groupColumn(root, options.group, image)),
  };
}

function groupColumn(root: Node, name: string, image: Node): Pick<Columns, "group" | "json"> {
  const column = find(root, name);
  if (column && isScalar(column) && column !== image) return { group: column };
  const json = root.children.find((node) => node.name === "json");
  if (!json) return {};
  if (isBytes(json) && json.repetition === 0) return { json };
  const field = find(json, name);
  return field && isScalar(field) ? { group: field } : {};
}

function isBytes(node: Node): boolean {
  return node.leaf?.type === physical.byteArray;
}

function isScalar(node: Node): boolean {
  const type = node.leaf?.type;
  return (
    (isBytes(node) || type === physical.int32 || type === physical.int64) && node.repetition === 0
  );
}

/** The node with this dotted path; names of columns may have dots themselves, and lists are passed through. */
function find(node: Node, name: string): Node | undefined {
  for (const child of node.children) {
    if (child.name === name) return child;
    const inner = name.startsWith(`${child.name}.`)
      ? find(child, name.slice(child.name.length + 1))
      : undefined;
    if (inner) return inner;
  }
  const only = inList(node);
  return only && find(only, name);
}

/** What a list is of, or the wrapper on the way there. */
function inList(node: Node): Node | undefined {
  const [only] = node.children;
  if (!only || node.children.length > 1) return undefined;
  return node.repeated || only.repeated ? only : undefined;
}

function unwrap(node: Node): Node {
  let inner = node;
  for (let next = inList(inner); next && !childOf(inner, "bytes"); next = inList(inner))
    inner = next;
  return inner;
}

function childOf(node: Node, name: string): Node | undefined {
  return node.children.find((child) => child.name === name);
}

/** A struct of bytes and path as `datasets` writes it, or just bytes; also in a list. */
function asImage(node: Node): ImageColumn | undefined {
  const inner = unwrap(node);
  if (inner.leaf) return isBytes(inner) && !inner.text ? { image: inner } : undefined;
  const image = childOf(inner, "bytes");
  if (!image || !isBytes(image)) return undefined;
  const path = childOf(inner, "path");
  return { image, ...(path && isBytes(path) && { path }) };
}

function named(root: Node, name: string): ImageColumn | undefined {
  const node = find(root, name);
  return node && asImage(node);
}

function guess(footer: Footer): ImageColumn | undefined {
  const features = featuresOf(footer);
  const { root } = footer;
  const declared = root.children.flatMap((node) => declaredImages(features[node.name], node));
  if (declared.length > 0) return best(declared);
  const open = root.children.filter((node) => !otherMedia(features[node.name]));
  const structs = open.flatMap(imageStructs);
  if (structs.length > 0) return best(structs);
  const plain = open.find(
    (node) => imageNames.has(node.name.toLowerCase()) && node.leaf && asImage(node),
  );
  return plain && asImage(plain);
}

/** The first that is not in a list, else the first. */
function best(columns: readonly ImageColumn[]): ImageColumn | undefined {
  return columns.find(({ image }) => image.repetition === 0) ?? columns[0];
}

function imageStructs(node: Node): ImageColumn[] {
  if (childOf(node, "bytes") && childOf(node, "path")) {
    const image = asImage(node);
    if (image?.path && !image.image.text) return [image];
  }
  return node.children.flatMap(imageStructs);
}

/** The types that `datasets` gives its columns, from the metadata it writes. */
function featuresOf(footer: Footer): { readonly [name: string]: unknown } {
  try {
    const text = footer.value("huggingface");
    const info = text === undefined ? undefined : field(JSON.parse(text), "info");
    const features = field(info, "features");
    return isObject(features) ? features : {};
  } catch {
    // of another program: columns are looked at instead
    return {};
  }
}

function isObject(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function field(value: unknown, name: string): unknown {
  return isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

function declaredImages(feature: unknown, node: Node): ImageColumn[] {
  if (Array.isArray(feature)) return declaredImages(feature[0], unwrap(node));
  if (!isObject(feature)) return [];
  const type = field(feature, "_type");
  if (type === "Image") {
    const image = asImage(node);
    return image ? [image] : [];
  }
  if (type === "List" || type === "LargeList" || type === "Sequence")
    return declaredImages(field(feature, "feature"), unwrap(node));
  if (typeof type === "string") return [];
  return node.children.flatMap((child) => declaredImages(field(feature, child.name), child));
}

/** Sounds and films have the form of images. */
function otherMedia(feature: unknown): boolean {
  const type = field(feature, "_type");
  return typeof type === "string" && ["Audio", "Video", "Pdf", "Nifti"].includes(type);
}
