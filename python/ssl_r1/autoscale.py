"""How many loaders a trainer needs, from how long it waits for them. No cluster here, and no clock but the one that is given."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType

from .errors import BadOption


class Meter:
    """Divides a trainer's time into waiting for batches and all else, from its first wait on: ``with meter:`` around each wait of each thread."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._since: float | None = None
        self._inside = 0
        self._waited = self._used = 0.0

    def __enter__(self) -> None:
        with self._lock:
            self._count()
            self._inside += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._lock:
            self._count()
            self._inside -= 1

    def take(self) -> tuple[float, float]:
        """Seconds waited and seconds used since the last take. A wait that goes on counts up to now."""
        with self._lock:
            if self._since is not None:
                self._count()
            taken = self._waited, self._used
            self._waited = self._used = 0.0
            return taken

    def _count(self) -> None:
        now = self._now()
        if self._since is not None:
            if self._inside > 0:
                self._waited += now - self._since
            else:
                self._used += now - self._since
        self._since = now


@dataclass(frozen=True)
class Rule:
    """When the number of loaders changes. A share is time waited for batches over all time, between 0 and 1."""

    min: int = 1
    max: int = 8
    grow_above: float = 0.1
    """More waiting than this calls for more loaders."""
    shrink_below: float = 0.01
    """Less than this lets one go. What lies between the two changes nothing."""
    grow_after: int = 2
    """Rounds in a row before growing: the first batches of a run, or one restart, are no reason."""
    shrink_after: int = 12
    """Rounds in a row before shrinking."""
    remember: int = 120
    """Rounds for which a number that turned out too small is not tried again."""

    def __post_init__(self) -> None:
        if not 1 <= self.min <= self.max:
            raise BadOption("BAD_OPTION", f"min and max: got {self.min} and {self.max}; expected 1 <= min <= max")
        if not 0 <= self.shrink_below < self.grow_above < 1:
            raise BadOption(
                "BAD_OPTION",
                f"shrink_below and grow_above: got {self.shrink_below} and {self.grow_above}; expected 0 <= shrink_below < grow_above < 1",
            )


@dataclass(frozen=True)
class Memory:
    """What one round hands to the next."""

    hungry: int = 0
    """Rounds in a row above `grow_above`."""
    idle: int = 0
    """Rounds in a row below `shrink_below`."""
    floor: int = 0
    """The number that was too small when it was last tried, and for how many rounds that is remembered."""
    floor_rounds: int = 0


def next_size(rule: Rule, size: int, waited: float, used: float, memory: Memory) -> tuple[int, Memory]:
    """The number of loaders after a round in which the trainers waited and computed for so many seconds; both 0 where nobody asked for anything.

    Where a trainer waits w of every w + u seconds, (w + u) / u times as many loaders would just keep up; a step at most doubles.
    """
    left = max(0, memory.floor_rounds - 1)
    memory = replace(memory, floor_rounds=left, floor=memory.floor if left > 0 else 0)
    bounded = min(max(size, rule.min), rule.max)
    if bounded != size:
        return bounded, replace(memory, hungry=0, idle=0)
    if waited + used <= 0:
        return size, replace(memory, hungry=0, idle=0)
    share = waited / (waited + used)
    if share > rule.grow_above:
        memory = replace(memory, hungry=memory.hungry + 1, idle=0)
        if memory.hungry < rule.grow_after or size == rule.max:
            return size, memory
        keeps_up = 2 * size if share >= 0.5 else math.ceil(size / (1 - share))
        return min(keeps_up, rule.max), Memory(floor=size, floor_rounds=rule.remember)
    if share < rule.shrink_below:
        memory = replace(memory, hungry=0, idle=memory.idle + 1)
        if memory.idle < rule.shrink_after or size - 1 < max(rule.min, memory.floor + 1):
            return size, memory
        return size - 1, replace(memory, idle=0)
    return size, replace(memory, hungry=0, idle=0)
