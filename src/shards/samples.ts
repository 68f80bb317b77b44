import type { Notebook } from "./notes.ts";
import { corrupt, type Member } from "./tar.ts";

/** Members that belong together; see keyOf. */
export interface Sample {
  readonly key: string;
  /** The first image, if any. */
  readonly image?: Member;
  /** The member whose extension is json. */
  readonly json?: Member;
}

const imageExtensions = new Set(["jpg", "jpeg", "png", "webp", "avif", "gif", "tif", "tiff"]);

/** Whether a file name ends like an image, whatever its case. */
export function isImageName(name: string): boolean {
  return imageExtensions.has(name.slice(name.lastIndexOf(".") + 1).toLowerCase());
}

/**
 * WebDataset's rule: the key of a member is its path up to the first dot of the last component, the rest is its extension
 * (https://github.com/webdataset/webdataset, "The WebDataset Format"). Undefined where there is no dot.
 */
export function splitName(name: string): { key: string; extension: string } | undefined {
  const dot = name.indexOf(".", name.lastIndexOf("/") + 1);
  return dot < 0 ? undefined : { key: name.slice(0, dot), extension: name.slice(dot + 1) };
}

/**
 * Groups adjacent members of one key into samples. A key whose members are not adjacent would silently be two samples, so it is an error, and
 * so is a member that stands twice.
 *
 * The image is the first member whose whole extension is that of an image ("a.jpg"), else the first whose last part is ("a.v2.jpg", but
 * "a.seg.png" only where there is no better).
 */
export async function* samples(
  members: AsyncIterable<Member>,
  shard: string,
  notes: Notebook,
): AsyncGenerator<Sample, void, undefined> {
  const seen = new Set<string>();
  let key: string | undefined;
  let extensions: string[] = [];
  let image: Member | undefined;
  let exact = false;
  let json: Member | undefined;

  function finish(): Sample | undefined {
    if (key === undefined) return undefined;
    if (!image) notes.skip("no image");
    return { key, ...(image && { image }), ...(json && { json }) };
  }

  for await (const member of members) {
    const reason = unusable(member);
    if (reason !== undefined) {
      notes.skip(reason);
      if (reason === "link" || reason === "special file")
        notes.problem({ shard, key: member.name, offset: member.header, reason });
      continue;
    }
    const parts = splitName(member.name);
    if (!parts) {
      notes.skip("no extension");
      continue;
    }
    if (parts.key !== key) {
      const sample = finish();
      if (sample) yield sample;
      if (seen.has(parts.key))
        throw corrupt(
          shard,
          member.header,
          `the members of sample ${parts.key} are not adjacent: ${member.name}`,
        );
      seen.add(parts.key);
      ({ key } = parts);
      extensions = [];
      image = undefined;
      json = undefined;
      exact = false;
    }
    if (extensions.includes(parts.extension))
      throw corrupt(shard, member.header, `${member.name} stands twice`);
    extensions.push(parts.extension);
    if (parts.extension.toLowerCase() === "json") json = member;
    if (!isImageName(member.name)) continue;
    const fits = imageExtensions.has(parts.extension.toLowerCase());
    if (image) notes.skip("further image");
    if (!image || (fits && !exact)) {
      image = member;
      exact = fits;
    }
  }
  const last = finish();
  if (last) yield last;
}

function unusable(member: Member): string | undefined {
  if (member.kind === "directory") return "directory";
  if (member.kind === "link") return "link";
  if (member.kind === "special") return "special file";
  // a dot file, or what macOS packs beside each file as ._name
  const last = member.name.slice(member.name.lastIndexOf("/") + 1);
  return last.startsWith(".") ? "hidden" : undefined;
}
