import { StreamError } from "../errors.ts";
import type { KeyPart } from "../random/random.ts";
import type { PlanSpec } from "./plan.ts";

/** One of the sources that a stream mixes. Its shards follow those of the source before it in the catalog's order. */
export interface SourceSpec {
  /** 1 .. 1,000; only the ratios count. Their sum, divided by their greatest common divisor, is 1,000 at most. */
  readonly weight: number;
  /** Number of shards, at least 1. */
  readonly shards: number;
  /** How this source is dealt, where it differs from the plan's `deal`. */
  readonly deal?: "rows" | "shards" | undefined;
}

/** A source, and where its shards lie. */
export interface SourceShape {
  /** Ordinal. */
  readonly source: number;
  /** The ordinal of its first shard. */
  readonly first: number;
  readonly shards: number;
  readonly weight: number;
  readonly deal: "rows" | "shards";
  /** What its keys hold after their first part: nothing in a stream of one source, so that such a stream is the same whether its source is named or not. */
  readonly own: readonly KeyPart[];
}

const heaviest = 1000;

/** The sources of a stream; one where none is named. Throws BAD_OPTION. */
export function sourcesOf(
  { sources, deal }: Pick<PlanSpec, "sources" | "deal">,
  shards: number,
): SourceShape[] {
  const specs = sources ?? [{ weight: 1, shards }];
  if (specs.length === 0) throw new StreamError("BAD_OPTION", "sources: there is none");
  let first = 0;
  const shapes = specs.map((spec, source): SourceShape => {
    check(`the weight of source ${source}`, spec.weight, heaviest);
    check(`the number of shards of source ${source}`, spec.shards, shards);
    const shape = { source, first, shards: spec.shards, weight: spec.weight };
    first += spec.shards;
    return { ...shape, deal: spec.deal ?? deal, own: specs.length === 1 ? [] : [source] };
  });
  if (first !== shards)
    throw new StreamError(
      "BAD_OPTION",
      `sources: they hold ${first} shards together, the catalog ${shards}`,
    );
  for (const shape of shapes) {
    if (shape.deal !== "rows" && shape.deal !== "shards")
      throw new StreamError(
        "BAD_OPTION",
        `deal is ${JSON.stringify(shape.deal)}; it must be "rows" or "shards"`,
      );
  }
  return shapes;
}

function check(what: string, value: number, most: number): void {
  if (!(Number.isSafeInteger(value) && value >= 1 && value <= most))
    throw new StreamError(
      "BAD_OPTION",
      `sources: ${what} is ${value}; it must be an integer from 1 to ${most}`,
    );
}
