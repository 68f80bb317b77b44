"""A PyTorch DataLoader over a running loader: puzzle number i is item i, so samplers, workers and ranks are as ever.

    python examples/dataloader.py tcp://127.0.0.1:7531 [steps workers]
"""

import sys

import torch
from torch.utils.data import DataLoader, Dataset

import ssl_r1


class Puzzles(Dataset[ssl_r1.Puzzle]):
    """Steps start .. start + steps - 1 of a stream. To resume, start at the step that comes next."""

    def __init__(self, client: ssl_r1.Client, start: int, steps: int) -> None:
        # A client may be forked and pickled: every worker process makes a connection of its own.
        self.client = client
        self.batch = client.info.batch
        self.first = start * self.batch
        self.length = steps * self.batch

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, item: int) -> ssl_r1.Puzzle:
        return self.__getitems__([item])[0]

    def __getitems__(self, items: list[int]) -> list[ssl_r1.Puzzle]:
        """All items of a batch at once: one request for each step that they belong to."""
        slots: dict[int, list[int]] = {}
        for item in items:
            step, slot = divmod(self.first + item, self.batch)
            slots.setdefault(step, []).append(slot)
        found = {puzzle.index: puzzle for step, wanted in slots.items() for puzzle in self.client.get(step, wanted)}
        return [found[self.first + item] for item in items]


def collate(puzzles: list[ssl_r1.Puzzle]) -> dict[str, list[object]]:
    """Images differ in size: a list of tensors (H, W, 3) a puzzle. A processor would come here."""
    return {
        "index": [puzzle.index for puzzle in puzzles],
        "messages": [puzzle.messages for puzzle in puzzles],
        # Copied: PyTorch wants memory that it may write to.
        "images": [[torch.tensor(image) for image in puzzle.images] for puzzle in puzzles],
        "answer": [puzzle.answer for puzzle in puzzles],
    }


def main() -> None:
    url, steps, workers = sys.argv[1], *(int(text) for text in sys.argv[2:4] or ("3", "2"))
    with ssl_r1.connect(url) as client:
        puzzles = Puzzles(client, start=0, steps=steps)
        # A sampler that gives rank r the items r, r + world, ... (DistributedSampler with shuffle=False) splits every step among ranks.
        loader = DataLoader(puzzles, batch_size=puzzles.batch, num_workers=workers, collate_fn=collate)
        for step, batch in enumerate(loader):
            images = sum(len(one) for one in batch["images"])
            print(f"step {step}: puzzles {batch['index'][0]} to {batch['index'][-1]}, {images} images, first answer {batch['answer'][0]}")


if __name__ == "__main__":
    main()
