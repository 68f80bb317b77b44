"""A trainer stand-in: takes batches from a running loader, answers at random, scores, and prints what came.

    python examples/trainer.py tcp://127.0.0.1:7531 [steps]
"""

import random
import sys
import time
from collections import Counter, defaultdict
from statistics import fmean as mean

import ssl_r1
from ssl_r1 import rewards


def guess(puzzle: ssl_r1.Puzzle, rng: random.Random) -> str:
    """What a model that knows nothing would say: a random answer of the right kind."""
    if "," in puzzle.answer:
        numbers = list(range(1, puzzle.answer.count(",") + 2))
        rng.shuffle(numbers)
        answer = ", ".join(map(str, numbers))
    elif puzzle.answer in "ABCD":
        answer = rng.choice("ABCD")
    else:
        answer = rng.choice(["0", "90", "180", "270"])
    return f"<think>I can't see a thing.</think> \\boxed{{{answer}}}"


def main() -> int:
    url, steps = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10
    rng = random.Random(0)
    rows: dict[str, list[rewards.Score]] = defaultdict(list)
    images: Counter[str] = Counter()
    size, unbalanced = 0, 0
    with ssl_r1.connect(url) as loader:
        info = loader.info
        weights = {entry.name: entry.weight for entry in info.entries}
        began = time.perf_counter()
        for batch in loader.stream(start=0, steps=steps):
            counts = Counter(puzzle.entry for puzzle in batch.puzzles)
            share = info.batch / sum(weights.values())
            unbalanced += any(abs(counts[name] - share * weight) >= 1 for name, weight in weights.items())
            for puzzle in batch.puzzles:
                rows[puzzle.entry].append(rewards.score(guess(puzzle, rng), puzzle.answer))
                images[puzzle.entry] += len(puzzle.images)
                size += sum(image.nbytes for image in puzzle.images)
        seconds = time.perf_counter() - began

    print(f"\n{steps} batches of {info.batch} from {info.samples} photos, seed {info.seed}\n")
    print(f"{'entry':<16}{'puzzles':>8}{'images':>8}{'accuracy':>10}{'exact':>8}{'format':>8}{'reward':>8}")
    for name in weights:
        scores = rows[name]
        accuracy, exact, form, total = (mean(getattr(one, field) for one in scores) for field in ("accuracy", "exact", "format", "total"))
        print(f"{name:<16}{len(scores):>8}{images[name]:>8}{accuracy:>10.3f}{exact:>8.3f}{form:>8.3f}{total:>8.3f}")
    puzzles = sum(map(len, rows.values()))
    print(f"\n{puzzles} puzzles in {seconds:.1f} s: {puzzles / seconds:.0f} a second, {size / seconds / 1e6:.0f} MB/s")
    print("balanced: every batch" if not unbalanced else f"NOT BALANCED: {unbalanced} batches")
    print(f"fingerprint {info.fingerprint}")
    return 1 if unbalanced or puzzles != steps * info.batch else 0


if __name__ == "__main__":
    sys.exit(main())
