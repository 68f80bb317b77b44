"""From the cells of a request to its batches."""

from __future__ import annotations

from . import frame
from .errors import ProtocolError, SlotFailed, error_of
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


def check_failed(batch: Batch, options: Options) -> Batch:
    """Raises SlotFailed for a batch with a failed slot, unless those are to be skipped."""
    if batch.failed and options.on_failed == "raise":
        first = batch.failed[0]
        more = f" (and {len(batch.failed) - 1} more slots)" if len(batch.failed) > 1 else ""
        where = f"step {batch.step}, slot {first.slot} (puzzle {first.index}, {first.entry})"
        raise SlotFailed("SLOT_FAILED", f"{where}: {first.code}: {first.message}{more}")
    return batch
