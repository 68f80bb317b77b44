import type { Feedback } from "../transport/server.ts";

export interface RewardCounts {
  readonly count: number;
  readonly sum: number;
}

/** Rewards that trainers sent, by mix entry. */
export interface Rewards {
  add(feedback: Feedback): void;
  counts(): { readonly [entry: string]: RewardCounts };
}

/** `entryOf` throws for an index that no puzzle can have; its rewards are dropped. */
export function createRewards(entryOf: (index: number) => string): Rewards {
  const counts: Record<string, { count: number; sum: number }> = {};
  return {
    add({ rewards }) {
      for (const { index, reward } of rewards) {
        let entry: string;
        try {
          entry = entryOf(index);
        } catch {
          continue;
        }
        const one = (counts[entry] ??= { count: 0, sum: 0 });
        one.count++;
        one.sum += reward;
      }
    },
    counts: () => structuredClone(counts),
  };
}
