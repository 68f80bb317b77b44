"""The rules of docs/determinism.md a second time, as plainly as they are written there: slow, no caches, big integers, the standard library only.

The TypeScript implementation is compared with this one; neither may look into the other.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

MASK32 = 2**32 - 1
MASK64 = 2**64 - 1


def siphash128(key: bytes, message: bytes) -> bytes:
    """SipHash-2-4 with 16 bytes of output."""
    k0, k1 = struct.unpack("<QQ", key)
    v = [
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D ^ 0xEE,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    ]

    def rotate(x: int, by: int) -> int:
        return ((x << by) | (x >> (64 - by))) & MASK64

    def rounds(count: int) -> None:
        for _ in range(count):
            v[0] = (v[0] + v[1]) & MASK64
            v[1] = rotate(v[1], 13) ^ v[0]
            v[0] = rotate(v[0], 32)
            v[2] = (v[2] + v[3]) & MASK64
            v[3] = rotate(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & MASK64
            v[3] = rotate(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & MASK64
            v[1] = rotate(v[1], 17) ^ v[2]
            v[2] = rotate(v[2], 32)

    whole = len(message) // 8 * 8
    last = message[whole:].ljust(7, b"\0") + bytes([len(message) % 256])
    for at in range(0, whole + 8, 8):
        (block,) = struct.unpack("<Q", (message[:whole] + last)[at : at + 8])
        v[3] ^= block
        rounds(2)
        v[0] ^= block
    v[2] ^= 0xEE
    rounds(4)
    first = v[0] ^ v[1] ^ v[2] ^ v[3]
    v[1] ^= 0xDD
    rounds(4)
    return struct.pack("<QQ", first, v[0] ^ v[1] ^ v[2] ^ v[3])


def philox(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """Philox4x32-10: four counter words and two key words to four words."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0 = 0xD2511F53 * c0
        p1 = 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK32, (p0 >> 32) ^ c3 ^ k1, p0 & MASK32
        k0 = (k0 + 0x9E3779B9) & MASK32
        k1 = (k1 + 0xBB67AE85) & MASK32
    return c0, c1, c2, c3


def key_bytes(*parts: int | str) -> bytes:
    message = b""
    for part in parts:
        if isinstance(part, int):
            message += b"\x01" + struct.pack("<Q", part)
        else:
            text = part.encode()
            message += b"\x02" + struct.pack("<I", len(text)) + text
    return message


class Random:
    def __init__(self, seed: int, *parts: int | str) -> None:
        digest = siphash128(struct.pack("<Q", seed) + b"ssl-r1/1", key_bytes(*parts))
        k0, k1, c2, c3 = struct.unpack("<IIII", digest)
        self.words = self._words((k0, k1), c2, c3)

    @staticmethod
    def _words(key: tuple[int, int], c2: int, c3: int) -> Iterator[int]:
        block = 0
        while True:
            yield from philox((block & MASK32, block >> 32, c2, c3), key)
            block += 1

    def uint32(self) -> int:
        return next(self.words)

    def below(self, bound: int) -> int:
        while True:
            if bound <= 2**32:
                draw, end = self.uint32(), 2**32
            else:
                high = self.uint32()
                draw, end = ((high >> 11) << 32) + self.uint32(), 2**53
            if draw < end // bound * bound:
                return draw % bound

    def between(self, low: int, high: int) -> int:
        return low + self.below(high - low + 1)

    def unit(self) -> float:
        return self.uint32() / 2**32

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.unit()

    def chance(self, p: float) -> bool:
        return self.unit() < p

    def shuffle(self, items: list[int]) -> list[int]:
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]
        return items


class Deal:
    """Which rows belong to which partition."""

    def __init__(self, seed: int, rows: list[int], partitions: int, deal: str) -> None:
        self.rows, self.partitions = rows, partitions
        self.dealt = Random(seed, "deal").shuffle(list(range(len(rows))))
        self.whole = len(rows) // partitions if deal == "shards" else 0

    def ranks(self, partition: int) -> list[int]:
        first_split = self.whole * self.partitions
        return list(range(partition, first_split, self.partitions)) + list(range(first_split, len(self.rows)))

    def of_shard(self, partition: int, rank: int) -> list[tuple[int, int]]:
        """(shard, row) of the rows of one shard that are the partition's."""
        shard = self.dealt[rank]
        everything = range(self.rows[shard])
        if rank < self.whole * self.partitions:
            return [(shard, row) for row in everything]
        return [(shard, row) for row in everything if row % self.partitions == (partition + rank) % self.partitions]


def cycle_of(entries: list[dict]) -> list[str]:
    weights = [entry["weight"] for entry in entries]
    common = math.gcd(*weights)
    weights = [weight // common for weight in weights]
    credit = [0] * len(weights)
    cycle = []
    for _ in range(sum(weights)):
        credit = [have + weight for have, weight in zip(credit, weights, strict=True)]
        best = credit.index(max(credit))
        credit[best] -= sum(weights)
        cycle.append(entries[best]["name"])
    return cycle


class Plan:
    def __init__(self, spec: dict, rows: list[int]) -> None:
        self.seed, self.batch, self.partitions = spec["seed"], spec["batch"], spec["partitions"]
        self.per_partition = self.batch // self.partitions
        self.spec = spec
        self.deal = Deal(self.seed, rows, self.partitions, spec["deal"])
        self.log = [(0, cycle_of(spec["entries"]))]
        self.log += [(change["step"], cycle_of(change["entries"])) for change in spec.get("log", [])]
        self.window = max(64, spec["window"] // self.partitions)
        self.first = max(16, 64 // self.partitions)
        cycle = len(self.log[0][1])
        if spec["order"] == "shared":
            self.cells = max(1, self.per_partition // (8 * cycle))
        else:
            self.cells = max(1, (self.per_partition + 4) // 8)
        self.total = [sum(len(self.deal.of_shard(c, q)) for q in self.deal.ranks(c)) for c in range(self.partitions)]
        self._epochs: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self._windows: dict[tuple[int | str, ...], list[int]] = {}

    def turn(self, step: int, slot: int) -> tuple[str, int]:
        """Name of the entry and position."""
        c, j = divmod(slot, self.per_partition)
        segment = max(m for m, (start, _) in enumerate(self.log) if start <= step)
        start, cycle = self.log[segment]
        n = (step - start) * self.per_partition + j
        name = cycle[(n + c * self.per_partition) % len(cycle)]
        position = self.count(cycle, c, name, n)
        for m in range(segment):
            steps = self.log[m + 1][0] - self.log[m][0]
            position += self.count(self.log[m][1], c, name, steps * self.per_partition)
        return name, position

    def count(self, cycle: list[str], partition: int, name: str, places: int) -> int:
        turns, rest = divmod(places, len(cycle))
        start = partition * self.per_partition
        return turns * cycle.count(name) + sum(cycle[(start + n) % len(cycle)] == name for n in range(rest))

    def epoch_rows(self, partition: int, epoch: int) -> list[tuple[int, int]]:
        key = (partition, epoch)
        if key not in self._epochs:
            parts = ("shards", epoch) if self.spec["deal"] == "rows" else ("shards", epoch, partition)
            ranks = Random(self.seed, *parts).shuffle(self.deal.ranks(partition))
            self._epochs[key] = [row for rank in ranks for row in self.deal.of_shard(partition, rank)]
        return self._epochs[key]

    def span(self, epoch: int, r: int, total: int) -> tuple[int, int, int]:
        """Number, first row and number of rows of the window that holds row r of an epoch."""
        number = start = 0
        while True:
            size = min(self.window, self.first * 2**number) if epoch == 0 else self.window
            if r < start + size:
                return number, start, min(size, total - start)
            start += size
            number += 1

    def shuffled(self, partition: int, name: str, epoch: int, number: int, rows: int) -> list[int]:
        key: tuple[int | str, ...] = ("window", epoch, partition, number)
        if self.spec["order"] == "independent":
            key += (name,)
        if key not in self._windows:
            self._windows[key] = Random(self.seed, *key).shuffle(list(range(rows)))
        return self._windows[key]

    def locate(self, step: int, slot: int) -> dict:
        c = slot // self.per_partition
        name, position = self.turn(step, slot)
        epoch, r = divmod(position, self.total[c])
        number, start, rows = self.span(epoch, r, self.total[c])
        offset = r - start
        window = self.epoch_rows(c, epoch)[start : start + rows]
        table = self.shuffled(c, name, epoch, number, rows)
        tries = range(1, min(rows, 16) + 1) if "passes" not in self.spec else ()
        return {
            "partition": c,
            "entry": name,
            "position": position,
            "epoch": epoch,
            "window": number,
            "start": start,
            "rows": rows,
            "offset": offset,
            "at": window[table[offset]],
            "substitutes": [window[table[(offset + rows // 2 + a - 1) % rows]] for a in tries],
        }

    def exists(self, step: int, slot: int) -> bool:
        if "passes" not in self.spec:
            return True
        return self.turn(step, slot)[1] < self.spec["passes"] * self.total[slot // self.per_partition]

    def cell(self, step: int, cell: int) -> list[int]:
        c, m = divmod(cell, self.cells)
        b = self.per_partition
        slots = range(c * b + m * b // self.cells, c * b + (m + 1) * b // self.cells)
        return [slot for slot in slots if self.exists(step, slot)]

    def strangers(self, step: int, slot: int, attempt: int) -> tuple[list[int], list[int]]:
        """The other slots of the cell, then the offsets of the window, each in drawn order."""
        cells = (self.cell(step, cell) for cell in range(self.cells * self.partitions))
        others = [other for other in next(cell for cell in cells if slot in cell) if other != slot]
        here = self.locate(step, slot)
        own = here["offset"]
        if attempt > 0:
            own = (own + here["rows"] // 2 + attempt - 1) % here["rows"]
        random = Random(self.seed, "puzzle", step * self.batch + slot, attempt, "others")
        offsets = [offset for offset in range(here["rows"]) if offset != own]
        return draw_all(random, others), draw_all(random, offsets)[:64]


def draw_all(random: Random, items: list[int]) -> list[int]:
    items = list(items)
    for place in range(len(items)):
        other = place + random.below(len(items) - place)
        items[place], items[other] = items[other], items[place]
    return items


def default_partitions(batch: int, order: str, entries: list[dict]) -> int:
    least = 8 * len(cycle_of(entries)) if order == "shared" else 8
    return next((c for c in range(8, 1, -1) if batch % c == 0 and batch // c >= least), 1)


def listing_order(seed: int, count: int) -> list[int]:
    return Random(seed, "listing").shuffle(list(range(count)))
