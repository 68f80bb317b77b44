"""From the cells of a request to its batches."""

from __future__ import annotations

from typing import Any

from . import frame
from .errors import Error, ProtocolError, SlotFailed, error_of
from .link import Link, Options, Refused
from .model import Batch, FailedSlot, Puzzle, integer, read_failed, read_puzzles, text
from .slabs import Slabs


class Assembler:
    """Reads the answers to one request, the only unfinished one of its connection."""

    def __init__(self, link: Link, id: int, slots: list[int] | None, copy: bool, slabs: Slabs, ahead: int = 0) -> None:
        self._link = link
        self._id = id
        self._slots = slots
        self._copy = copy
        self._slabs = slabs
        # Batches whose buffers are kept for later ones: the one in use, the one being received, those that wait in between.
        self._kept = 2 + ahead

    def next(self, step: int, credit: bool = False) -> Batch | None:
        """The batch of the step, or None where the request ends before it. `credit` gives back what each cell took of it."""
        link, id = self._link, self._id
        puzzles: list[Puzzle] = []
        failed: list[FailedSlot] = []
        received = 0
        while True:
            message = link.receive()
            meta = message.meta
            if message.kind not in (frame.CELL, frame.END, frame.DONE, frame.ERROR) or integer(meta, "id", 1) != id:
                raise ProtocolError("PROTOCOL", f"a message of kind {message.kind} is no answer to request {id}")
            if message.kind == frame.ERROR:
                raise Refused(error_of(text(meta, "code"), text(meta, "message")))
            if message.kind == frame.DONE:
                return None
            if integer(meta, "step") != step:
                raise ProtocolError("PROTOCOL", f"the server sent step {meta['step']} instead of step {step}")
            if message.kind == frame.END:
                break
            # Given back before the images are looked at, so that the next cell is under way meanwhile.
            if credit:
                link.send(frame.CREDIT, {"id": id, "bytes": message.bytes})
            puzzles += read_puzzles(meta, message.body, self._copy)
            failed += read_failed(meta)
            received += len(message.body)
        self._slabs.keep(self._kept * received * 5 // 4)
        return Batch(step, _in_order(puzzles, self._slots), failed)


def _in_order(puzzles: list[Puzzle], slots: list[int] | None) -> list[Puzzle]:
    """Cells come in slot order, whatever order was asked for."""
    if slots is None:
        return puzzles
    by_slot = {puzzle.slot: puzzle for puzzle in puzzles}
    return [by_slot[slot] for slot in slots if slot in by_slot]


class Part:
    """Slots of a job that one loader is asked for."""

    def __init__(self, job: Job, slots: list[int], refused: dict[str, Error], since: float) -> None:
        self.job = job
        self.slots = slots
        self.todo = set(slots)
        """Those that this request has not brought yet, whoever else has."""
        self.gave: list[int] = []
        self.refused = refused
        """By address: loaders that refused these slots."""
        self.since = since
        """When it was asked, or began to wait for a loader."""
        self.orphan: float | None = None
        """When these slots began to wait, if they had to before this request."""
        self.address: str | None = None
        self.hedged = False
        self.dropped = False

    def request(self) -> dict[str, Any]:
        """What a get says besides its id."""
        step = {"step": self.job.step}
        return step if len(self.slots) == self.job.size else {**step, "slots": self.slots}


class Job:
    """A step, or some of its slots, put together from several loaders. Not for several threads at a time."""

    def __init__(self, step: int, slots: list[int], batch: int) -> None:
        self.step = step
        self.missing = set(slots)
        self.parts: set[Part] = set()
        """Those that are not answered in full."""
        self.error: Error | None = None
        self.bytes = 0
        self.size = batch
        """Slots of a whole batch."""
        self._slots = slots
        self._puzzles: dict[int, Puzzle] = {}
        self._failed: dict[int, FailedSlot] = {}

    @property
    def done(self) -> bool:
        return self.error is not None or not self.missing

    def take(self, part: Part, puzzles: list[Puzzle], failed: list[FailedSlot], size: int) -> None:
        """A cell of `size` bytes. ProtocolError, and nothing taken, where it has what was not asked for."""
        arrived: list[Puzzle | FailedSlot] = [*puzzles, *failed]
        slots = [item.slot for item in arrived]
        if not part.todo.issuperset(slots) or len(set(slots)) < len(slots):
            raise ProtocolError("PROTOCOL", f"step {self.step}: a cell has slots that were not asked for, or have been sent")
        if any(item.index != self.step * self.size + item.slot for item in arrived):
            raise ProtocolError("PROTOCOL", f"step {self.step}: a cell has puzzles of another step")
        part.todo.difference_update(slots)
        for puzzle in puzzles:
            if puzzle.slot in self.missing:
                self._puzzles[puzzle.slot] = puzzle
                part.gave.append(puzzle.slot)
        for failure in failed:
            if failure.slot in self.missing:
                self._failed[failure.slot] = failure
                part.gave.append(failure.slot)
        self.missing.difference_update(slots)
        self.bytes += size

    def forget(self, part: Part) -> None:
        """Takes back what came from a loader that has turned out to answer wrongly."""
        if self.done:
            return
        for slot in part.gave:
            self._puzzles.pop(slot, None)
            self._failed.pop(slot, None)
        self.missing.update(part.gave)
        part.todo.update(part.gave)

    def batch(self) -> Batch:
        puzzles = [self._puzzles[slot] for slot in self._slots if slot in self._puzzles]
        return Batch(self.step, puzzles, [self._failed[slot] for slot in sorted(self._failed)])


def check_failed(batch: Batch, options: Options) -> Batch:
    """Raises SlotFailed for a batch with a failed slot, unless those are to be skipped."""
    if batch.failed and options.on_failed == "raise":
        first = batch.failed[0]
        more = f" (and {len(batch.failed) - 1} more slots)" if len(batch.failed) > 1 else ""
        where = f"step {batch.step}, slot {first.slot} (puzzle {first.index}, {first.entry})"
        raise SlotFailed("SLOT_FAILED", f"{where}: {first.code}: {first.message}{more}")
    return batch
