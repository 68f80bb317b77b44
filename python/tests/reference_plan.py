"""A second implementation of the plan and the random numbers, written from docs/determinism.md alone.

Comments name the sections of that page. Nothing here is fast; everything is meant to be read beside the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from math import gcd
from typing import Any, NamedTuple, TypeVar

Item = TypeVar("Item")
MASK32 = 2**32 - 1
MASK64 = 2**64 - 1


# ---- Random numbers: from a key to a generator ----------------------------------------------------------------------
def key_bytes(*parts: int | str) -> bytes:
    """The message of a key's parts."""
    message = b""
    for part in parts:
        if isinstance(part, str):
            text = part.encode("utf-8")
            message += b"\x02" + len(text).to_bytes(4, "little") + text
        else:
            message += b"\x01" + part.to_bytes(8, "little")
    return message


def siphash128(key: bytes, message: bytes) -> bytes:
    """SipHash-2-4 with 128 bits of output (Aumasson and Bernstein)."""
    k0, k1 = (int.from_bytes(key[at : at + 8], "little") for at in (0, 8))
    a, b, c, d = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D ^ 0xEE, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573

    def rotate(x: int, by: int) -> int:
        return (x << by | x >> (64 - by)) & MASK64

    def rounds(count: int) -> None:
        nonlocal a, b, c, d
        for _ in range(count):
            a, c = (a + b) & MASK64, (c + d) & MASK64
            b, d = rotate(b, 13) ^ a, rotate(d, 16) ^ c
            a = (rotate(a, 32) + d) & MASK64
            c = (c + b) & MASK64
            b, d = rotate(b, 17) ^ c, rotate(d, 21) ^ a
            c = rotate(c, 32)

    padded = message + bytes(7 - len(message) % 8) + bytes([len(message) & 0xFF])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        d ^= word
        rounds(2)
        a ^= word
    c ^= 0xEE
    rounds(4)
    first = a ^ b ^ c ^ d
    b ^= 0xDD
    rounds(4)
    return first.to_bytes(8, "little") + (a ^ b ^ c ^ d).to_bytes(8, "little")


def philox(counter: Sequence[int], key: Sequence[int]) -> tuple[int, ...]:
    """Philox4x32-10 (Salmon et al., 2011; as in Random123)."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        x, y = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = y >> 32 ^ c1 ^ k0, y & MASK32, x >> 32 ^ c3 ^ k1, x & MASK32
        k0, k1 = (k0 + 0x9E3779B9) & MASK32, (k1 + 0xBB67AE85) & MASK32
    return c0, c1, c2, c3


class Random:
    """Random numbers: from a generator to draws."""

    def __init__(self, seed: int, *parts: int | str) -> None:
        digest = siphash128(seed.to_bytes(8, "little") + b"ssl-r1/1", key_bytes(*parts))
        self._words = self._stream(*(int.from_bytes(digest[at : at + 4], "little") for at in (0, 4, 8, 12)))

    @staticmethod
    def _stream(h0: int, h1: int, h2: int, h3: int) -> Iterator[int]:
        block = 0
        while True:
            yield from philox((block & MASK32, block >> 32, h2, h3), (h0, h1))
            block += 1

    def uint32(self) -> int:
        return next(self._words)

    def below(self, n: int) -> int:
        if n <= 2**32:
            while (x := self.uint32()) >= 2**32 // n * n:
                pass
        else:  # h and l: the operands are evaluated from left to right
            while (x := (self.uint32() >> 11) * 2**32 + self.uint32()) >= 2**53 // n * n:
                pass
        return x % n

    def between(self, low: int, high: int) -> int:
        return low + self.below(high - low + 1)

    def unit(self) -> float:
        return self.uint32() / 2**32

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.unit()

    def chance(self, p: float) -> bool:
        return self.unit() < p

    def shuffle(self, items: Sequence[Item]) -> list[Item]:
        out = list(items)
        for i in range(len(out) - 1, 0, -1):
            j = self.below(i + 1)
            out[i], out[j] = out[j], out[i]
        return out

    def draw_all(self, items: Sequence[Item]) -> Iterator[Item]:
        left = list(items)
        for i in range(len(left)):
            j = i + self.below(len(left) - i)
            left[i], left[j] = left[j], left[i]
            yield left[i]


# ---- Batch, partition, slot; Mix and cycle; Rows; Changes of the mix -------------------------------------------------
def reduced(weights: Sequence[int]) -> list[int]:
    return [weight // gcd(*weights) for weight in weights]


def round_robin(weights: Sequence[int]) -> list[int]:
    """Mix and cycle: one turn of smooth weighted round robin over reduced weights."""
    total, credit, cycle = sum(weights), [0] * len(weights), []
    for _ in range(total):
        credit = [have + weight for have, weight in zip(credit, weights, strict=True)]
        best = credit.index(max(credit))  # the first of the largest
        credit[best] -= total
        cycle.append(best)
    return cycle


def default_partitions(batch: int, order: str, entries: Sequence[dict[str, Any]]) -> int:
    """Batch, partition, slot: C where the user does not set it."""
    least = 8 * (sum(reduced([entry["weight"] for entry in entries])) if order == "shared" else 1)
    return next((c for c in range(8, 1, -1) if batch % c == 0 and batch // c >= least), 1)


def listing_order(seed: int, files: int, source: int | None = None) -> list[int]:
    """Rows: which file, of those sorted by name, is row r of a folder."""
    return Random(seed, "listing", *([] if source is None else [source])).shuffle(range(files))


class Segment:
    """Changes of the mix: one mix, from its step K on. Counts n and steps k' from K."""

    def __init__(self, step: int, entries: Sequence[dict[str, Any]]) -> None:
        self.step = step
        self.cycle: list[str] = [entries[t]["name"] for t in round_robin(reduced([entry["weight"] for entry in entries]))]
        self.turn = len(self.cycle)  # W

    def entry(self, place: int) -> str:
        return self.cycle[place % self.turn]

    def among(self, name: str, x: int) -> int:
        """F(x) of Position."""
        return x // self.turn * self.cycle.count(name) + self.cycle[: x % self.turn].count(name)


# ---- Sources ---------------------------------------------------------------------------------------------------------
class Refused(Exception):
    """BAD_OPTION."""


class Turns:
    """Sources: which source a slot has, and how many slots came before, in one segment of the mix."""

    def __init__(self, segment: Segment, weights: Sequence[int], order: str, partitions: int, batch: int) -> None:
        self.segment, self.shared, self.partitions = segment, order == "shared", partitions
        self.per = batch // partitions  # b
        v = reduced(weights)
        self.whole = self.shared and self.per % segment.turn == 0  # Batches hold whole turns
        if self.shared and not self.whole and len(v) > 2 and len(set(v)) > 1:
            raise Refused(f"{len(v)} sources of unequal weights, turns in parts")
        # What has a source: a slot, or in batches of whole turns a turn; how many there are in a batch and in a partition
        self.batch, self.own = (batch // segment.turn, self.per // segment.turn) if self.whole else (batch, self.per)
        self.cycle = round_robin(v)
        self.row = [i for i, weight in enumerate(v) for _ in range(weight)]
        self.size = len(self.cycle)  # V
        self.arc = 89 * self.size // 144  # A
        while gcd(self.arc, self.size) != 1:
            self.arc += 1
        self.left = self.batch % self.size  # R
        self.steps = 1 if self.whole else segment.turn // gcd(segment.turn, self.per)  # T
        self.swap = self.size // gcd(self.size, partitions)  # P
        self._tables: dict[tuple[Any, ...], list[int]] = {}

    def _turned(self, s: int, h: int) -> int:
        z = s - (self.batch - self.left)
        return self.cycle[(s + h) % self.size] if z < 0 else self.row[(z * self.size // self.left + h * self.arc) % self.size]

    def _of_turn(self, c: int, u: int) -> int:
        return self.cycle[(u * self.partitions + (c + u // self.swap) % self.partitions) % self.size]

    def source(self, step: int, c: int, j: int) -> int:
        """The source of a slot in step k' of the segment."""
        if self.whole:
            return self._turned(c * self.own + j // self.segment.turn, step)
        if self.shared:
            return self._of_turn(c, (step * self.per + j) // self.segment.turn)
        return self._turned(c * self.per + j, step // self.steps)

    def _prefix(self, key: tuple[Any, ...], hits: Iterator[bool]) -> list[int]:
        if key not in self._tables:
            self._tables[key] = list(accumulate(hits, initial=0))
        return self._tables[key]

    def before(self, step: int, c: int, name: str, source: int) -> int:
        """Slots of partition c, entry and source in the steps of the segment before step k'."""
        turn, per = self.segment.turn, self.per
        if self.whole:
            turns = range(c * self.own, (c + 1) * self.own)
            return self.segment.cycle.count(name) * sum(self._met(s, step, source) for s in turns)
        if self.shared:
            u, places = divmod(step * per, turn)
            period = self.swap * self.partitions
            turns = self._prefix((c, source), (self._of_turn(c, x) == source for x in range(period)))
            count = (u // period * turns[-1] + turns[u % period]) * self.segment.cycle.count(name)
            if self._of_turn(c, u) == source:
                start = c * per % turn
                count += self.segment.among(name, start + places) - self.segment.among(name, start)
            return count
        (h, r), count = divmod(step, self.steps), 0
        for s in range(c * per, (c + 1) * per):
            e = self._prefix(("E", s % turn, name), (self.segment.entry(s + y * per) == name for y in range(self.steps)))
            now = e[r] if self._turned(s, h) == source else 0
            count += e[-1] * self._met(s, h, source) + now
        return count

    def _met(self, s: int, h: int, source: int) -> int:
        """G(s, h)."""
        g = self._prefix(("G", s, source), (self._turned(s, x) == source for x in range(self.size)))
        return h // self.size * g[-1] + g[h % self.size]


# ---- Deal ------------------------------------------------------------------------------------------------------------
class Part(NamedTuple):
    """What one partition has of one shard: the rows first, first + every, first + 2 * every, ..."""

    shard: int  # its number in the stream
    first: int
    every: int
    rows: int


class Deal:
    """Deal: the shards of one source among the partitions."""

    def __init__(self, seed: int, rows: Sequence[int], first: int, partitions: int, how: str | None, key: list[int]) -> None:
        shards = len(rows)
        self.how = how or ("rows" if shards < 32 * partitions else "shards")
        ranked = Random(seed, "deal", *key).shuffle(range(shards))
        whole = partitions * (shards // partitions) if self.how == "shards" else 0
        self.lists: list[list[Part]] = [[] for _ in range(partitions)]
        for q, shard in enumerate(ranked):
            for c, parts in enumerate(self.lists):
                if q >= whole:
                    at = (c + q) % partitions
                    parts.append(Part(first + shard, at, partitions, len(range(at, rows[shard], partitions))))
                elif c == q % partitions:
                    parts.append(Part(first + shard, 0, 1, rows[shard]))
        self.total = [sum(part.rows for part in parts) for parts in self.lists]


# ---- The plan --------------------------------------------------------------------------------------------------------
class Plan:
    """A stream whose shards have all been counted."""

    def __init__(self, spec: dict[str, Any], rows: Sequence[int]) -> None:
        self.seed: int = spec["seed"]
        self.batch: int = spec["batch"]
        self.order: str = spec["order"]
        self.partitions: int = spec.get("partitions") or default_partitions(self.batch, self.order, spec["entries"])
        self.per = self.batch // self.partitions  # b
        self.passes: int | None = spec.get("passes")
        self.segments = [Segment(0, spec["entries"])]
        self.segments += [Segment(change["step"], change["entries"]) for change in spec.get("log") or []]
        self.log = [(segment.step, segment.cycle) for segment in self.segments]
        # Cells
        per_cell = 8 * self.segments[0].turn
        self.cells = max(1, self.per // per_cell if self.order == "shared" else (self.per + 4) // 8)
        # Epochs and windows: rows of a full window, and of the first
        self.full = max(64, spec["window"] // self.partitions)
        self.first = max(16, 64 // self.partitions)
        # Sources
        given = spec.get("sources") or [{"weight": 1, "shards": len(rows)}]
        self.mixed = len(given) > 1
        common = [source["weight"] for source in given], self.order, self.partitions, self.batch
        self.sources = [Turns(segment, *common) for segment in self.segments] if self.mixed else []
        self.deals: list[Deal] = []
        start = 0  # the source's first shard
        for i, source in enumerate(given):
            mine, how = rows[start : start + source["shards"]], source.get("deal") or spec.get("deal")
            self.deals.append(Deal(self.seed, mine, start, self.partitions, how, self._key(i)))
            start += len(mine)
        self.total = [deal.total for deal in self.deals]  # L of source i, partition c
        self._steps: dict[tuple[int, int], list[tuple[str, int, int]]] = {}
        self._counts: dict[tuple[int, int, str, int], int] = {}
        self._shuffles: dict[tuple[int | str, ...], list[int]] = {}

    def _key(self, source: int) -> list[int]:
        return [source] if self.mixed else []

    def _shuffled(self, count: int, *key: int | str) -> list[int]:
        if key not in self._shuffles:
            self._shuffles[key] = Random(self.seed, *key).shuffle(range(count))
        return self._shuffles[key]

    # Position, Changes of the mix
    def _count(self, m: int, step: int, c: int, name: str, source: int) -> int:
        """Slots of an entry and a source in partition c, in the steps of segment m before its step k'."""
        if self.mixed:
            return self.sources[m].before(step, c, name, source)
        start = c * self.per % self.segments[m].turn
        return self.segments[m].among(name, start + step * self.per) - self.segments[m].among(name, start)

    def _earlier(self, m: int, c: int, name: str, source: int) -> int:
        """Such slots in all segments before segment m."""
        if (m, c, name, source) not in self._counts:
            lengths = [(x, self.segments[x + 1].step - self.segments[x].step) for x in range(m)]
            self._counts[m, c, name, source] = sum(self._count(x, steps, c, name, source) for x, steps in lengths)
        return self._counts[m, c, name, source]

    def _step(self, step: int, c: int) -> list[tuple[str, int, int]]:
        """Entry, source and position of the slots of partition c in a step."""
        if (step, c) in self._steps:
            return self._steps[step, c]
        m = max(m for m, segment in enumerate(self.segments) if segment.step <= step)
        since = step - self.segments[m].step
        seen: dict[tuple[str, int], int] = {}
        slots = []
        for j in range(self.per):
            name = self.segments[m].entry(since * self.per + j + c * self.per)
            source = self.sources[m].source(since, c, j) if self.mixed else 0
            if (name, source) not in seen:
                seen[name, source] = self._earlier(m, c, name, source) + self._count(m, since, c, name, source)
            slots.append((name, source, seen[name, source]))
            seen[name, source] += 1
        if len(self._steps) > 64:
            self._steps.clear()
        self._steps[step, c] = slots
        return slots

    # Epochs and windows
    def _window(self, epoch: int, r: int, total: int) -> tuple[int, int, int]:
        """Number, start and rows of the window that holds row r of an epoch."""
        v = start = 0
        size = self.first if epoch == 0 else self.full
        while epoch == 0 and size < self.full and start + size <= r:
            v, start, size = v + 1, start + size, size * 2
        size = min(size, self.full)
        more = (r - start) // size
        start += more * size
        return v + more, start, min(size, total - start)

    def _row(self, source: int, c: int, epoch: int, number: int) -> tuple[int, int]:
        """Shard and row that are a row of an epoch."""
        deal = self.deals[source]
        own = [c] if deal.how == "shards" else []
        order = self._shuffled(len(deal.lists[c]), "shards", *self._key(source), epoch, *own)
        for part in (deal.lists[c][x] for x in order):
            if number < part.rows:
                return part.shard, part.first + part.every * number
            number -= part.rows
        raise AssertionError("a row beyond the epoch")

    def locate(self, step: int, slot: int) -> dict[str, Any]:
        """Everything about a slot: where it stands, its row and its substitutes."""
        c, j = divmod(slot, self.per)
        name, source, position = self._step(step, c)[j]
        total = self.total[source][c]
        epoch, r = divmod(position, total)
        window, start, size = self._window(epoch, r, total)
        own = [name] if self.order == "independent" else []
        table = self._shuffled(size, "window", *self._key(source), epoch, c, window, *own)
        offset = r - start
        attempts = 0 if self.passes is not None else min(size, 16)  # Passes: no substitutes
        rows = [self._row(source, c, epoch, start + table[self._tried(offset, size, a)]) for a in range(attempts + 1)]
        where = {"partition": c, "entry": name, "source": source, "position": position, "epoch": epoch}
        return {**where, "window": window, "start": start, "rows": size, "offset": offset, "at": rows[0], "substitutes": rows[1:]}

    # Substitutes, Passes, Cells, Strangers
    @staticmethod
    def _tried(offset: int, size: int, attempt: int) -> int:
        return (offset + size // 2 + attempt - 1) % size if attempt else offset

    def exists(self, step: int, slot: int) -> bool:
        c, j = divmod(slot, self.per)
        _, source, position = self._step(step, c)[j]
        return self.passes is None or position < self.passes * self.total[source][c]

    def cell(self, step: int, number: int) -> list[int]:
        """The slots of a cell, of those that exist."""
        c, m = divmod(number, self.cells)
        places = range(m * self.per // self.cells, (m + 1) * self.per // self.cells)
        return [slot for slot in (c * self.per + place for place in places) if self.exists(step, slot)]

    def strangers(self, step: int, slot: int, attempt: int) -> tuple[list[int], list[int]]:
        """The slots and then the offsets that are candidates, in their order."""
        rng = Random(self.seed, "puzzle", step * self.batch + slot, attempt, "others")
        cells = (self.cell(step, number) for number in range(self.cells * self.partitions))
        cell = next(cell for cell in cells if slot in cell)
        others = list(rng.draw_all([other for other in cell if other != slot]))
        at = self.locate(step, slot)
        own = self._tried(at["offset"], at["rows"], attempt)
        offsets = rng.draw_all([offset for offset in range(at["rows"]) if offset != own])
        return others, list(islice(offsets, 64))
