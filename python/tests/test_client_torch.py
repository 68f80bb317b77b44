"""In the workers of a torch DataLoader, forked and spawned."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import ssl_r1


class Puzzles(Dataset[Any]):
    def __init__(self, client: ssl_r1.Client, length: int) -> None:
        self.client = client
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[Any]:
        batch = self.client.info.batch
        step = indices[0] // batch
        puzzles = self.client.get(step, [index - step * batch for index in indices]).puzzles
        return [(puzzle.index, torch.from_numpy(puzzle.images[1]), puzzle) for puzzle in puzzles]


def collate(items: list[Any]) -> list[Any]:
    return items


@pytest.mark.parametrize("context", ["fork", "spawn"])
@pytest.mark.parametrize("used_before", [False, True])
def test_workers(url: str, context: str, used_before: bool) -> None:
    with ssl_r1.connect(url) as client:
        if used_before:
            client.get(0)
        loader = DataLoader(Puzzles(client, 48), batch_size=8, num_workers=2, multiprocessing_context=context, collate_fn=collate)
        found = [item for items in loader for item in items]
        assert [index for index, _, _ in found] == list(range(48))
        for index, image, puzzle in found:
            assert image.shape == (6, 6, 3)
            assert int(image[0, 0, 0]) == (index * 31 + 101) & 0xFF
            assert torch.equal(image, torch.from_numpy(puzzle.images[1]))
        assert len(client.get(1)) == 8
