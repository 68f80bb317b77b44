/** Something in a source that can't be used. */
export interface Problem {
  /** Logical name. */
  readonly shard: string;
  /** Key or member name, where one is known. */
  readonly key?: string;
  /** Bytes from the beginning of the shard. */
  readonly offset?: number;
  readonly reason: string;
}

/** What was found beside the rows when a shard was opened. */
export interface Notes {
  /** The first hundred; `skipped` counts all. */
  readonly problems: readonly Problem[];
  /** Number of members or files that are no rows, by reason. */
  readonly skipped: { readonly [reason: string]: number };
}

const MOST_PROBLEMS = 100;

/** Collects what is no row; at most a hundred problems are kept. */
export interface Notebook extends Notes {
  skip(reason: string): void;
  problem(problem: Problem): void;
}

export function createNotebook(): Notebook {
  const problems: Problem[] = [];
  const skipped: Record<string, number> = {};
  return {
    problems,
    skipped,
    skip(reason) {
      skipped[reason] = (skipped[reason] ?? 0) + 1;
    },
    problem(problem) {
      if (problems.length < MOST_PROBLEMS) problems.push(problem);
    },
  };
}
