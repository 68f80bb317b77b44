/**
 * Seconds to score hostile completions, in both languages: `node bench/rewards.ts`. Rules: every completion of test/rewards/hostile.ts at
 * 1, 5 and 10 million characters, answer "3, 1, 2", `minThink` 5, one process a language, text made and flattened beforehand, best of three.
 * Linear time shows as 10 MB taking ten times what 1 MB takes. Also how many ordinary completions (2 kB) are scored in a second.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { score } from "../src/rewards/score.ts";
import { hostile } from "../test/rewards/hostile.ts";

const MEGABYTES = [1, 5, 10];
const PLAIN = `<think>${"The roof points left, so the photo was turned. ".repeat(42)}</think> \\boxed{3, 1, 2}`;

function best(call: () => void): number {
  let least = Infinity;
  for (let round = 0; round < 3; round++) {
    const begun = performance.now();
    call();
    least = Math.min(least, (performance.now() - begun) / 1000);
  }
  return least;
}

const python = `
import json, sys, time
sys.path.insert(0, sys.argv[1] + "/python")
sys.path.insert(0, sys.argv[1] + "/python/tests")
from ssl_r1.rewards import score
from test_rewards import HOSTILE
def best(call):
    least = float("inf")
    for _ in range(3):
        begun = time.perf_counter(); call(); least = min(least, time.perf_counter() - begun)
    return least
plain = sys.argv[2]
rows = {}
for name, make in HOSTILE.items():
    rows[name] = []
    for size in json.loads(sys.argv[3]):
        text = make(size * 1_000_000)
        rows[name].append(best(lambda: score(text, "3, 1, 2", min_think=5)))
print(json.dumps({"rows": rows, "plain": 2000 / best(lambda: [score(plain, "3, 1, 2") for _ in range(2000)])}))
`;

const root = fileURLToPath(new URL("..", import.meta.url));
const own = `${root}.venv/bin/python`;
const output = execFileSync(
  existsSync(own) ? own : "python3",
  ["-c", python, root, PLAIN, JSON.stringify(MEGABYTES)],
  { encoding: "utf8" },
);
const other = JSON.parse(output) as {
  readonly rows: { readonly [name: string]: readonly number[] };
  readonly plain: number;
};

const show = (times: readonly number[]) =>
  times.map((time) => time.toFixed(3).padStart(7)).join(" ");
console.log(
  `${"seconds at 1, 5, 10 million characters".padEnd(40)} ${"TypeScript".padEnd(24)} Python`,
);
for (const [name, make] of Object.entries(hostile)) {
  const times = MEGABYTES.map((size) => {
    const completion = make(size * 1_000_000);
    completion.charCodeAt(0); // flattens the rope that repeat and + leave
    return best(() => score(completion, "3, 1, 2", { minThink: 5 }));
  });
  console.log(`${name.padEnd(40)} ${show(times)}  ${show(other.rows[name] ?? [])}`);
}
const rate =
  20_000 /
  best(() => {
    for (let i = 0; i < 20_000; i++) score(PLAIN, "3, 1, 2");
  });
console.log(
  `ordinary completions of ${PLAIN.length} characters a second: ${Math.round(rate)} TypeScript, ${Math.round(other.plain)} Python`,
);
