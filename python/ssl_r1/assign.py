"""Which loader makes which partition: docs/cluster.md, "Which loader a slot is asked from". Pure, and the same for every client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from functools import lru_cache
from hashlib import sha256


@lru_cache(2**16)
def score(partition: int, address: str) -> int:
    """How much a partition leans to a loader; the highest has it."""
    return int.from_bytes(sha256(f"{partition} {address}".encode()).digest()[:8], "big")


def assign(partitions: int, near: Mapping[str, Sequence[int] | None]) -> list[str]:
    """The address of each partition's loader. `near` has the loaders in use, at least one, and the partitions that each prefers."""
    preferred: list[list[str]] = [[] for _ in range(partitions)]
    spares = set()
    for address, own in near.items():
        valid = {partition for partition in own or () if partition < partitions}
        for partition in valid:
            preferred[partition].append(address)
        if not valid:
            spares.add(address)
    owners: list[str] = [max(among, key=lambda address: score(partition, address)) if among else "" for partition, among in enumerate(preferred)]
    counts = dict.fromkeys(near, 0)
    for owner in owners:
        if owner:
            counts[owner] += 1
    room = -(-partitions // len(near))
    # Loaders that may take one more partition; those that are full leave.
    open_spares = {address for address in spares if counts[address] < room}
    open_all = {address for address in near if counts[address] < room}
    for partition, owner in enumerate(owners):
        if owner:
            continue
        among_: Set[str] = open_spares or open_all or near.keys()
        chosen = max(among_, key=lambda address: score(partition, address))
        owners[partition] = chosen
        counts[chosen] += 1
        if counts[chosen] >= room:
            open_spares.discard(chosen)
            open_all.discard(chosen)
    return owners
