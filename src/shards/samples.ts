import type { Notebook } from "./notes.ts";
import { LARGEST_IMAGE, tooLarge } from "./rows.ts";
import { createSeen } from "./seen.ts";
import { corrupt, type Member } from "./tar.ts";

/** Members that belong together; see splitName. */
export interface Sample {
  readonly key: string;
  /** The image, if any. */
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

/** A member that is part of a sample. */
export interface Part {
  readonly key: string;
  readonly extension: string;
  /** Whether a sample begins with it. */
  readonly first: boolean;
}

/**
 * Says of one member after the other which sample it is part of; undefined where it is of none, which is noted. A key whose members are not
 * adjacent would silently be two samples, so it is an error, and so is a member that stands twice: SHARD_CORRUPT.
 */
export function createGrouping(
  shard: string,
  notes: Notebook,
): (member: Member) => Part | undefined {
  const seen = createSeen();
  const extensions = new Set<string>();
  let current: string | undefined;
  return (member) => {
    const reason = unusable(member);
    if (reason !== undefined) {
      notes.skip(reason);
      if (reason === "link" || reason === "special file")
        notes.problem({ shard, key: member.name, offset: member.header, reason });
      return undefined;
    }
    const parts = splitName(member.name);
    if (!parts) {
      notes.skip("no extension");
      return undefined;
    }
    const { key, extension } = parts;
    const first = key !== current;
    if (first) {
      if (!seen.add(key))
        throw corrupt(
          shard,
          member.header,
          `the members of sample ${key} are not adjacent: ${member.name}`,
        );
      current = key;
      extensions.clear();
    }
    if (extensions.has(extension))
      throw corrupt(shard, member.header, `${member.name} stands twice`);
    extensions.add(extension);
    return { key, extension, first };
  };
}

/** What a member is to its sample, until a better one comes. */
type Role = "image" | "json" | "other";

/** Makes samples of one member after the other. */
interface Gathering {
  /** The sample that ended before this member, where one did. Throws SHARD_CORRUPT. */
  take(member: Member): { readonly role: Role; readonly ended?: Sample };
  /** The last sample, if any. */
  end(): Sample | undefined;
}

/**
 * The image is the member with the extension `image`, whatever its case. Without that option it is the first member whose whole extension is that of an
 * image ("a.jpg"), else the first whose last part is ("a.v2.jpg", but "a.seg.png" only where there is no better).
 */
export function createGathering(shard: string, notes: Notebook, image?: string): Gathering {
  const partOf = createGrouping(shard, notes);
  const wanted = image?.toLowerCase();
  let sample: { key: string; image?: Member; json?: Member } | undefined;
  let exact = false;

  function end(): Sample | undefined {
    const done = sample;
    sample = undefined;
    if (done && !done.image) notes.skip("no image");
    if (done?.image && done.image.size > LARGEST_IMAGE) {
      const { name: key, header: offset, size } = done.image;
      notes.problem({ shard, key, offset, reason: tooLarge(size) });
    }
    return done;
  }

  function roleOf(member: Member, given: string): Role {
    if (!sample) return "other";
    const extension = given.toLowerCase();
    const fits = wanted === undefined ? imageExtensions.has(extension) : extension === wanted;
    if (fits || (wanted === undefined && isImageName(member.name))) {
      if (sample.image) notes.skip("further image");
      if (sample.image && (exact || !fits)) return "other";
      sample.image = member;
      exact = fits;
      return "image";
    }
    if (extension !== "json") return "other";
    sample.json = member;
    return "json";
  }

  return {
    take(member) {
      const part = partOf(member);
      if (!part) return { role: "other" };
      const ended = part.first ? end() : undefined;
      sample ??= { key: part.key };
      return { role: roleOf(member, part.extension), ...(ended && { ended }) };
    },
    end,
  };
}

/** Groups adjacent members of one key into samples. */
export async function* samples(
  members: AsyncIterable<Member>,
  shard: string,
  notes: Notebook,
  image?: string,
): AsyncGenerator<Sample, void, undefined> {
  const gathering = createGathering(shard, notes, image);
  for await (const member of members) {
    const { ended } = gathering.take(member);
    if (ended) yield ended;
  }
  const last = gathering.end();
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
