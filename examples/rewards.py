"""Batches and their rewards, the way a trainer would use them: several completions a puzzle.

    python examples/rewards.py tcp://127.0.0.1:7531 [steps]
"""

import sys

import ssl_r1
from ssl_r1 import rewards

COMPLETIONS = 4


def generate(messages: list[dict[str, object]], images: list[object]) -> list[str]:
    """Your model: a processor's chat template takes `messages`, its image argument takes `images`. This one says the same four things to all."""
    del messages, images
    return [f"<think>It looks so.</think> \\boxed{{{answer}}}" for answer in ("90", "B", "(2, 3, 1)")] + ["I can't tell."]


def main() -> None:
    url, steps = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with ssl_r1.connect(url) as loader, loader.stream(start=0, steps=steps) as stream:
        for batch in stream:
            given: list[tuple[int, float]] = []
            for puzzle in batch:
                # messages: one user message with text and image parts; images: arrays of H x W x 3, views without a copy.
                completions = generate(puzzle.messages, puzzle.images)
                scores = rewards.score_batch(completions, [puzzle.answer] * COMPLETIONS)
                given += [(puzzle.index, score.total) for score in scores]
            # Optional: for the loader's metrics.
            loader.feedback(batch.step, given)
            mean = sum(reward for _, reward in given) / len(given)
            print(f"step {batch.step}: {len(batch)} puzzles, {len(given)} completions, mean reward {mean:.3f}")


if __name__ == "__main__":
    main()
