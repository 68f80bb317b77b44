"""Writes test/vectors/cluster.json: which loader has which partition. Shares no code with the clients, and works by the letter of docs/cluster.md.

    python python/tests/make_cluster_vectors.py

`scores`: score(partition, address) as 16 hexadecimal digits. `cases`: `partitions` (C), `loaders` in use with `near` (null where the
welcome has none), and `owners`: for each partition the number of its loader in that list.
"""

from __future__ import annotations

import hashlib
import json
import random
from math import ceil
from pathlib import Path
from typing import Any

OUT = Path(__file__).parents[2] / "test" / "vectors" / "cluster.json"

Loader = dict[str, Any]


def points(c: int, a: str) -> str:
    return hashlib.sha256((str(c) + " " + a).encode("utf-8")).hexdigest()[:16]


def owners(partitions: int, loaders: list[Loader]) -> list[int]:
    def best(c: int, among: list[int]) -> int:
        ranked = sorted(among, key=lambda x: points(c, loaders[x]["address"]))
        return ranked[-1]

    everyone = range(len(loaders))
    prefers = [{c for c in loader["near"] or [] if c < partitions} for loader in loaders]
    given: dict[int, int] = {}
    for c in range(partitions):
        wanting = [x for x in everyone if c in prefers[x]]
        if wanting:
            given[c] = best(c, wanting)
    for c in range(partitions):
        if c in given:
            continue
        light = [x for x in everyone if list(given.values()).count(x) < ceil(partitions / len(loaders))]
        spares = [x for x in light if not prefers[x]]
        given[c] = best(c, spares or light or list(everyone))
    return [given[c] for c in range(partitions)]


def near(i: int, n: int, partitions: int) -> list[int]:
    """What --node i/n prefers."""
    some = min(n, partitions)
    return [c for c in range(partitions) if c * some // partitions == i]


def nodes(n: int, partitions: int, address: str = "tcp://10.0.0.{}:7531") -> list[Loader]:
    return [{"address": address.format(i + 1), "near": near(i, n, partitions)} for i in range(n)]


def plain(n: int, address: str = "tcp://loader-{}.example:7531") -> list[Loader]:
    return [{"address": address.format(i), "near": None} for i in range(n)]


def cases() -> list[tuple[str, int, list[Loader]]]:
    made: list[tuple[str, int, list[Loader]]] = []
    for partitions, n in [(1, 1), (5, 1), (5, 2), (5, 3), (5, 4), (5, 5), (8, 3), (8, 8), (64, 7), (100, 16)]:
        made.append((f"{n} nodes, {partitions} partitions", partitions, nodes(n, partitions)))
    for partitions, n in [(5, 7), (1, 2), (2, 5), (8, 12), (3, 3 + 13)]:
        made.append((f"{n} nodes, {partitions} partitions: spares", partitions, nodes(n, partitions)))
    for partitions, n in [(1, 3), (5, 2), (5, 5), (5, 9), (8, 3), (64, 5), (60, 7)]:
        made.append((f"{n} loaders without preference, {partitions} partitions", partitions, plain(n)))
    for partitions, n, gone in [(5, 2, 0), (5, 3, 1), (8, 4, 3), (8, 8, 5), (64, 7, 2)]:
        rest = [loader for i, loader in enumerate(nodes(n, partitions)) if i != gone]
        made.append((f"{n} nodes, {partitions} partitions, node {gone} lost", partitions, rest))
    for partitions, n, lost in [(5, 7, 0), (8, 10, 4), (5, 6, 2)]:
        rest = [loader for i, loader in enumerate(nodes(n, partitions)) if i != lost]
        made.append((f"{n} nodes, {partitions} partitions, node {lost} lost: its partitions go to spares", partitions, rest))
    made.append(("8 nodes, 8 partitions, all lost but two", 8, [nodes(8, 8)[i] for i in (2, 6)]))
    made.append(("8 nodes, 64 partitions, half lost", 64, nodes(8, 64)[::2]))
    made.append(("7 nodes, 3 partitions, all three lost: spares alone", 3, nodes(7, 3)[3:]))
    made.append(("two nodes of one number", 5, [*nodes(2, 5), {"address": "tcp://10.0.0.9:7531", "near": near(0, 2, 5)}]))
    made.append(("every node says 0/1", 8, [{"address": f"unix:///run/{name}.sock", "near": list(range(8))} for name in "abc"]))
    made.append(("old and new numbering: 2 nodes and 3 nodes", 8, nodes(2, 8) + nodes(3, 8, "tls://new-{}.example:7531")))
    made.append(("a node and a loader without preference", 8, [nodes(2, 8)[0], *plain(1)]))
    made.append(
        (
            "preferred by nobody, no spare: those with room, then all",
            4,
            [{"address": "tcp://a:1", "near": [0, 1, 2]}, {"address": "tcp://b:1", "near": [2]}],
        )
    )
    made.append(("one with more than its share, two spares", 8, [{"address": "tcp://a:1", "near": [0, 1, 2, 3, 4]}, *plain(2)]))
    made.append(("one prefers all, spares get nothing", 5, [{"address": "tcp://a:1", "near": [0, 1, 2, 3, 4]}, *plain(2)]))
    made.append(("near has numbers beyond C: ignored", 3, [{"address": "tcp://a:1", "near": [1, 3, 9]}, {"address": "tcp://b:1", "near": [3]}]))
    made.append(("near is not sorted and repeats", 4, [{"address": "tcp://a:1", "near": [3, 0, 3]}, {"address": "tcp://b:1", "near": [2, 1]}]))
    made.append(("empty near is a spare like none", 6, [{"address": "tcp://a:1", "near": []}, {"address": "tcp://b:1", "near": None}]))
    made.append(("addresses beyond ASCII", 6, [{"address": f"unix:///run/{name}", "near": None} for name in ("größe", "世界", "\U0001f4d0")]))
    made.append(("IPv6 and names", 6, [{"address": address, "near": None} for address in ("tcp://[::1]:7531", "tcp://localhost:7531", "unix:///x")]))
    draw = random.Random(5)
    for number in range(24):
        partitions = draw.choice([1, 2, 3, 5, 8, 12, 31])
        loaders = []
        for i in range(draw.randint(1, 9)):
            own = sorted(draw.sample(range(partitions), draw.randint(0, partitions)))
            loaders.append({"address": f"tcp://10.{number}.0.{i}:{draw.randint(1, 65535)}", "near": draw.choice([None, own, own])})
        made.append((f"random {number}", partitions, loaders))
    return made


def main() -> None:
    scored = [
        (0, "tcp://a:7531"),
        (1, "tcp://a:7531"),
        (0, "tcp://b:7531"),
        (1023, "unix:///run/ssl-r1.sock"),
        (12, "tcp://[::1]:7531"),
        (3, "unix:///größe"),
    ]
    lines = ["{", '  "scores": [']
    lines.append(",\n".join("    " + json.dumps({"partition": c, "address": a, "score": points(c, a)}, ensure_ascii=False) for c, a in scored))
    lines += ["  ],", '  "cases": [']
    written = []
    for name, partitions, loaders in cases():
        case = {"name": name, "partitions": partitions, "loaders": loaders, "owners": owners(partitions, loaders)}
        written.append("    " + json.dumps(case, ensure_ascii=False))
    lines += [",\n".join(written), "  ]", "}"]
    OUT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{OUT.name}: {len(written)} cases")


if __name__ == "__main__":
    main()
