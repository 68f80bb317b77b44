"""The rules of docs/determinism.md a second time, as plainly as they are written there: slow, no caches, big integers, the standard library only.

The TypeScript implementation is compared with this one; neither may look into the other.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from itertools import accumulate

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
    """Which rows of a source belong to which partition; `own` stands in its keys, `first` is its first shard."""

    def __init__(self, seed: int, rows: list[int], partitions: int, deal: str, own: tuple[int, ...], first: int) -> None:
        self.rows, self.partitions, self.deal, self.own, self.first = rows, partitions, deal, own, first
        self.dealt = Random(seed, "deal", *own).shuffle(list(range(len(rows))))
        self.whole = len(rows) // partitions if deal == "shards" else 0

    def ranks(self, partition: int) -> list[int]:
        first_split = self.whole * self.partitions
        return list(range(partition, first_split, self.partitions)) + list(range(first_split, len(self.rows)))

    def of_shard(self, partition: int, rank: int) -> list[tuple[int, int]]:
        """(shard, row) of the rows of one shard that are the partition's."""
        shard = self.dealt[rank]
        everything = range(self.rows[shard])
        if rank < self.whole * self.partitions:
            return [(self.first + shard, row) for row in everything]
        return [(self.first + shard, row) for row in everything if row % self.partitions == (partition + rank) % self.partitions]


def divided(weights: list[int]) -> list[int]:
    common = math.gcd(*weights)
    return [weight // common for weight in weights]


def smooth(weights: list[int]) -> list[int]:
    """Smooth weighted round robin of items 0, 1, ..."""
    weights = divided(weights)
    credit = [0] * len(weights)
    cycle = []
    for _ in range(sum(weights)):
        credit = [have + weight for have, weight in zip(credit, weights, strict=True)]
        best = credit.index(max(credit))
        credit[best] -= sum(weights)
        cycle.append(best)
    return cycle


def cycle_of(entries: list[dict]) -> list[str]:
    return [entries[entry]["name"] for entry in smooth([entry["weight"] for entry in entries])]


class Sources:
    """Which of several sources a slot has, in one segment of the mix: k is counted from the segment's first step."""

    def __init__(self, weights: list[int], spec: dict, cycle: list[str]) -> None:
        self.b = spec["batch"] // spec["partitions"]
        self.batch, self.partitions, self.shared = spec["batch"], spec["partitions"], spec["order"] == "shared"
        self._kept: dict[tuple[str, int, int | str], list[int]] = {}
        self.entries, self.cycle = cycle, smooth(weights)
        self.length = len(self.cycle)
        self.arcs = [source for source, weight in enumerate(divided(weights)) for _ in range(weight)]
        self.stride = 89 * self.length // 144
        while math.gcd(self.stride, self.length) != 1:
            self.stride += 1
        self.steps = len(cycle) // math.gcd(len(cycle), self.b)
        self.round = self.length // math.gcd(self.length, self.partitions)

    def of_turn(self, c: int, u: int) -> int:
        place = u * self.partitions + (c + u // self.round) % self.partitions
        return self.cycle[place % self.length]

    def of_slot(self, s: int, t: int) -> int:
        rest = self.batch % self.length
        whole = self.batch - rest
        if s < whole:
            return self.cycle[(s + t) % self.length]
        return self.arcs[((s - whole) * self.length // rest + t * self.stride) % self.length]

    def at(self, k: int, c: int, j: int) -> int:
        if self.shared:
            return self.of_turn(c, (k * self.b + j) // len(self.entries))
        return self.of_slot(c * self.b + j, k // self.steps)

    def before(self, k: int, c: int, name: str, source: int) -> int:
        """Earlier slots of the partition, before step k, with the entry and the source."""
        size = len(self.entries)
        if self.shared:
            turns, rest = divmod(k * self.b, size)
            period = self.round * self.partitions
            whole, part = divmod(turns, period)
            had = self.kept("turns", c, source, lambda: [self.of_turn(c, u) == source for u in range(period)])
            count = (whole * had[period] + had[part]) * self.entries.count(name)
            if self.of_turn(c, turns) == source:
                count += sum(self.entries[(c * self.b + x) % size] == name for x in range(rest))
            return count
        t, rest = divmod(k, self.steps)
        whole, part = divmod(t, self.length)
        count = 0
        for s in range(c * self.b, c * self.b + self.b):
            held = self.kept("entry", s, name, lambda s=s: [self.entries[(s + y * self.b) % size] == name for y in range(self.steps)])
            if held[-1]:
                had = self.kept("source", s, source, lambda s=s: [self.of_slot(s, x) == source for x in range(self.length)])
                count += held[-1] * (whole * had[-1] + had[part])
                count += held[rest] * (had[part + 1] - had[part])
        return count

    def kept(self, what: str, at: int, of: int | str, make: Callable[[], list[bool]]) -> list[int]:
        """How many hold before each place of a list: made once, or two thousand streams take an hour."""
        key = (what, at, of)
        if key not in self._kept:
            self._kept[key] = list(accumulate(make(), initial=0))
        return self._kept[key]


class Plan:
    def __init__(self, spec: dict, rows: list[int]) -> None:
        self.seed, self.batch, self.partitions = spec["seed"], spec["batch"], spec["partitions"]
        self.per_partition = self.batch // self.partitions
        self.spec = spec
        sources = spec.get("sources", [{"weight": 1, "shards": len(rows)}])
        self.deals: list[Deal] = []
        first = 0
        for number, source in enumerate(sources):
            own = (number,) if len(sources) > 1 else ()
            part = rows[first : first + source["shards"]]
            self.deals.append(Deal(self.seed, part, self.partitions, source.get("deal", spec["deal"]), own, first))
            first += source["shards"]
        changes = [{"step": 0, "entries": spec["entries"]}, *spec.get("log", [])]
        self.log = [(change["step"], cycle_of(change["entries"])) for change in changes]
        weights = [source["weight"] for source in sources]
        self.sources = [Sources(weights, spec, cycle) for _, cycle in self.log] if len(sources) > 1 else None
        self.window = max(64, spec["window"] // self.partitions)
        self.first = max(16, 64 // self.partitions)
        cycle = len(self.log[0][1])
        if spec["order"] == "shared":
            self.cells = max(1, self.per_partition // (8 * cycle))
        else:
            self.cells = max(1, (self.per_partition + 4) // 8)
        #: Rows of each source in each partition.
        self.total = [[sum(len(deal.of_shard(c, q)) for q in deal.ranks(c)) for c in range(self.partitions)] for deal in self.deals]
        self._epochs: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
        self._windows: dict[tuple[int | str, ...], list[int]] = {}

    def turn(self, step: int, slot: int) -> tuple[str, int, int]:
        """Name of the entry, source, and position."""
        c, j = divmod(slot, self.per_partition)
        segment = max(m for m, (start, _) in enumerate(self.log) if start <= step)
        start, cycle = self.log[segment]
        k = step - start
        n = k * self.per_partition + j
        name = cycle[(n + c * self.per_partition) % len(cycle)]
        earlier = [(m, self.log[m + 1][0] - self.log[m][0]) for m in range(segment)]
        if self.sources is None:
            position = self.count(cycle, c, name, n)
            for m, steps in earlier:
                position += self.count(self.log[m][1], c, name, steps * self.per_partition)
            return name, 0, position
        here = self.sources[segment]
        source = here.at(k, c, j)
        position = sum(self.sources[m].before(steps, c, name, source) for m, steps in earlier)
        position += here.before(k, c, name, source)
        for other in range(j):
            place = k * self.per_partition + other + c * self.per_partition
            position += cycle[place % len(cycle)] == name and here.at(k, c, other) == source
        return name, source, position

    def count(self, cycle: list[str], partition: int, name: str, places: int) -> int:
        turns, rest = divmod(places, len(cycle))
        start = partition * self.per_partition
        return turns * cycle.count(name) + sum(cycle[(start + n) % len(cycle)] == name for n in range(rest))

    def epoch_rows(self, source: int, partition: int, epoch: int) -> list[tuple[int, int]]:
        key = (source, partition, epoch)
        if key not in self._epochs:
            deal = self.deals[source]
            parts = (epoch,) if deal.deal == "rows" else (epoch, partition)
            ranks = Random(self.seed, "shards", *deal.own, *parts).shuffle(deal.ranks(partition))
            self._epochs[key] = [row for rank in ranks for row in deal.of_shard(partition, rank)]
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

    def shuffled(self, source: int, partition: int, name: str, epoch: int, number: int, rows: int) -> list[int]:
        key: tuple[int | str, ...] = ("window", *self.deals[source].own, epoch, partition, number)
        if self.spec["order"] == "independent":
            key += (name,)
        if key not in self._windows:
            self._windows[key] = Random(self.seed, *key).shuffle(list(range(rows)))
        return self._windows[key]

    def locate(self, step: int, slot: int) -> dict:
        c = slot // self.per_partition
        name, source, position = self.turn(step, slot)
        total = self.total[source][c]
        epoch, r = divmod(position, total)
        number, start, rows = self.span(epoch, r, total)
        offset = r - start
        window = self.epoch_rows(source, c, epoch)[start : start + rows]
        table = self.shuffled(source, c, name, epoch, number, rows)
        tries = range(1, min(rows, 16) + 1) if "passes" not in self.spec else ()
        return {
            "partition": c,
            "entry": name,
            "source": source,
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
        _, source, position = self.turn(step, slot)
        return position < self.spec["passes"] * self.total[source][slot // self.per_partition]

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


def listing_order(seed: int, count: int, *source: int) -> list[int]:
    return Random(seed, "listing", *source).shuffle(list(range(count)))
