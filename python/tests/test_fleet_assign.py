"""Which loader a slot is asked from: the vectors that every client runs, and what the rules promise."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from ssl_r1.assign import assign, score

VECTORS = json.loads((Path(__file__).parents[2] / "test" / "vectors" / "cluster.json").read_text("utf-8"))


def test_scores() -> None:
    for vector in VECTORS["scores"]:
        assert f"{score(vector['partition'], vector['address']):016x}" == vector["score"]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in VECTORS["cases"]])
def test_vectors(case: dict[str, Any]) -> None:
    wanted = [case["loaders"][number]["address"] for number in case["owners"]]
    loaders = [(loader["address"], loader["near"]) for loader in case["loaders"]]
    assert assign(case["partitions"], dict(loaders)) == wanted
    assert assign(case["partitions"], dict(reversed(loaders))) == wanted


def test_only_the_partitions_of_a_lost_loader_move() -> None:
    draw = random.Random(1)
    for _ in range(200):
        partitions, n = draw.randint(1, 40), draw.randint(2, 12)
        some = min(n, partitions)
        near = {f"tcp://{draw.random()}:1": [c for c in range(partitions) if c * some // partitions == i] for i in range(n)}
        lost = draw.choice(list(near))
        before = assign(partitions, near)
        after = assign(partitions, {address: own for address, own in near.items() if address != lost})
        assert all(a == b for a, b in zip(before, after, strict=True) if a != lost)
        spares = [address for address, own in near.items() if not own and address != lost]
        if spares and lost not in spares:
            assert all(b in spares for a, b in zip(before, after, strict=True) if a == lost)


def test_work_is_even_without_preferences() -> None:
    for partitions, n in [(8, 2), (8, 3), (40, 7), (5, 9)]:
        owners = assign(partitions, {f"tcp://h{i}:1": None for i in range(n)})
        assert max(owners.count(owner) for owner in owners) == -(-partitions // n)
