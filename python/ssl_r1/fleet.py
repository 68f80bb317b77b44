"""Several loaders as one: who is asked for which slots, and what happens when one does not answer. docs/cluster.md has the rules."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from . import frame
from .assemble import Job, Part
from .assign import assign
from .errors import BadOption, BadSlots, Closed, ConnectionLost, Error, OtherStream, ProtocolError, StepOutOfRange, Unauthorized
from .lane import Call, Lane, Left
from .link import Dialer, Link
from .loaders import Event, Listing, Loader, Pace, told
from .model import Batch, Info, Place
from .slabs import Slabs

log = logging.getLogger("ssl_r1")

#: Slots of one request: its frame has to be smaller than 1 MiB.
_SLOTS: Final = 100_000
_REWARDS: Final = 10_000
#: Whatever loader is asked: it is the trainer's mistake.
_EVERYBODYS: Final = ("STEP_OUT_OF_RANGE", "BAD_SLOTS")
#: Not about the request: the loader itself goes, or has enough. Others may be asked, and later itself.
_AWAY: Final = ("CLOSED", "LIMIT")
#: About the request alone. Codes that are not known are taken for INTERNAL.
_STAYING: Final = (
    *("ABORTED", "BAD_FRAME", "BAD_OPTION", "CONNECTION_LOST", "FRAME_TOO_LARGE", "IMAGE_UNUSABLE", "LISTEN_FAILED", "NEEDS_INDEX"),
    *("OTHER_STREAM", "PROTOCOL", "SLOT_FAILED", "SOURCE_EMPTY", "TOO_FEW_ROWS", "UNAUTHORIZED", "UNSAFE_LISTEN"),
)
_LEVELS: Final = {"left": logging.WARNING, "back": logging.WARNING}


class Fleet:
    """Made in the thread that needs it first; may be used by several. A forked child makes its own."""

    def __init__(self, dialer: Dialer, listing: Listing, on_event: Callable[[Event], None] | None = None, pace: Pace | None = None) -> None:
        self.changed = threading.Condition()
        self.slabs = Slabs()
        self.bytes_of_batch = 0
        self._dialer = dialer
        self._options = dialer.options
        self._listing = listing
        self._pace = pace or Pace()
        self._on_event = on_event
        self._lanes: dict[str, Lane] = {}
        self._info: Info | None = None
        self._owners: list[Lane] | None = None
        self._settled = False
        self._settle_at: float | None = None
        self._homeless: list[Part] = []
        self._jobs: set[Job] = set()
        self._orphans: deque[Job] = deque()
        self._trouble: str | None = None
        self._started = self._pace.now()
        self._events: deque[Event] = deque()
        self._telling = threading.RLock()
        self._closed = False
        self._pid = os.getpid()
        addresses, self._trouble = listing.read()
        with self.changed:
            self._list(addresses, first=True)
        if listing.changes:
            threading.Thread(target=self._watch, name="ssl_r1 list", daemon=True).start()
        if self._options.hedge is not None:
            threading.Thread(target=self._hedge, args=(self._options.hedge,), name="ssl_r1 hedge", daemon=True).start()

    # ---- for the client

    @property
    def copies(self) -> bool:
        return self._options.copy

    @property
    def loaders(self) -> list[Loader]:
        with self.changed:
            return [Loader(lane.address, lane.state, lane.near, lane.reason) for lane in self._lanes.values()]

    def info(self, stopped: Callable[[], bool] = lambda: False) -> Info:
        """Waits for the first welcome, and for a moment for the others."""
        since = self._pace.now()
        patience = self._options.wait if self._dialer.fingerprint is None else self._options.reconnect
        with self.changed:
            while True:
                self._check(stopped)
                if self._info is not None and self._settle():
                    return self._info
                if self._info is None and (error := self._hopeless(since, patience, {})) is not None:
                    raise error
                self.changed.wait(self._until(since + patience if self._info is None else self._settle_at))

    def submit(self, step: int, slots: Sequence[int] | None, stopped: Callable[[], bool] = lambda: False) -> Job:
        """Asks for a step, or some of its slots. cancel() what is not waited for to its end."""
        info = self.info(stopped)
        beyond = min(info.steps if info.steps is not None else 2**53, (2**53 - 1) // info.batch)
        if not 0 <= step < beyond:
            raise StepOutOfRange("STEP_OUT_OF_RANGE", f"step {step} of a stream of {beyond} steps")
        asked = list(range(info.batch)) if slots is None else list(slots)
        for slot in asked:
            if not 0 <= slot < info.batch:
                raise BadSlots("BAD_SLOTS", f"slot {slot} of a batch of {info.batch}")
        if not asked or len(set(asked)) < len(asked):
            raise BadSlots("BAD_SLOTS", "a slot is asked for twice" if asked else "no slot is asked for")
        job = Job(step, asked, info.batch)
        with self.changed:
            self._check(stopped)
            while self._orphans:
                self.cancel(self._orphans.popleft())
            self._jobs.add(job)
            self._route(job, asked if slots is None else sorted(asked), {}, self._pace.now())
        self._flush()
        return job

    def wait(self, job: Job, stopped: Callable[[], bool] = lambda: False) -> Batch:
        try:
            with self.changed:
                while not job.done:
                    self._check(stopped)
                    waiting = [part for part in job.parts if part.address is None]
                    for part in waiting:
                        if (error := self._hopeless(part.since, self._options.reconnect, part.refused)) is not None:
                            raise error
                    self.changed.wait(self._until(min((part.since for part in waiting), default=None), self._options.reconnect))
                if job.error is not None:
                    raise job.error
                self.bytes_of_batch = job.bytes
                # The batches in use, being received and waiting have to find their buffers again.
                self.slabs.keep((len(self._jobs) + 1) * job.bytes * 5 // 4)
                return job.batch()
        finally:
            self.cancel(job)

    def cancel(self, job: Job) -> None:
        with self.changed:
            self._jobs.discard(job)
            self._drop(job)

    def refresh(self) -> Info:
        call = Call(frame.POLL, {}, self._pace.now())
        self._call(call, 0)
        assert call.info is not None
        return call.info

    def feedback(self, step: int, rewards: list[dict[str, Any]]) -> None:
        """To the loaders that the puzzles are asked from."""
        info = self.info()
        size = info.batch // info.partitions
        by_partition: dict[int, list[dict[str, Any]]] = {}
        with self.changed:
            owners = self._owners
            for reward in rewards:
                partition = max(0, reward["index"]) % info.batch // size
                lead = partition if owners is None else owners.index(owners[partition])
                by_partition.setdefault(lead, []).append(reward)
        for partition, given in by_partition.items():
            for at in range(0, len(given), _REWARDS):
                self._call(Call(frame.FEEDBACK, {"step": step, "rewards": given[at : at + _REWARDS]}, self._pace.now()), partition)

    def abandon(self, jobs: Iterable[Job]) -> None:
        """Wakes those who wait with a `stopped` that has changed; the jobs are cancelled with the next call. Changes nothing else: the garbage
        collector may call it at any moment."""
        self._orphans.extend(jobs)
        with self.changed:
            self.changed.notify_all()

    def close(self) -> None:
        """Ends every thread; whoever waits gets Closed. Idempotent. In a forked child the locks are another process's: see forget()."""
        if os.getpid() != self._pid:
            return
        with self.changed:
            self._closed = True
            for lane in self._lanes.values():
                lane.stop()
            self.changed.notify_all()

    def forget(self) -> None:
        """In a forked child: closes what the child has of the parent's connections."""
        for lane in list(self._lanes.values()):
            with contextlib.suppress(Exception):
                lane.forget()

    # ---- for the lanes

    def turn(self, lane: Lane) -> bool:
        with self.changed:
            while not (self._closed or lane.stopped):
                before = 0
                for each in self._lanes.values():
                    if each is lane:
                        break
                    before += not each.tried
                turn = self._started + before * self._pace.turn
                if self._dialer.fingerprint is not None or before == 0 or self._pace.now() >= turn:
                    return True
                self.changed.wait(self._until(turn))
        return False

    def dial(self, lane: Lane) -> Link:
        return self._dialer.open_one(self.slabs, lane.address, self._options.stall, self._listing.names.get(lane.address))

    def welcomed(self, lane: Lane, link: Link) -> bool:
        with self.changed:
            if self._closed or lane.stopped:
                return False
            if self._info is None:
                self._info = link.info
            elif (link.info.batch, link.info.partitions) != (self._info.batch, self._info.partitions):
                raise ProtocolError("PROTOCOL", f"{lane.address}: another batch or number of partitions under the same fingerprint")
            back = lane.reason is not None
            lane.state, lane.reason, lane.final, lane.tried, lane.was_used = "used", None, None, True, True
            lane.standing.welcomed()
            if self._settle_at is None:
                self._settle_at = self._pace.now() + self._pace.settle
            if back:
                self._tell("back", lane.address, "answers again")
            self._place(lane, link.place)
            self._reassign()
        self._flush()
        return True

    def told(self, lane: Lane, info: Info, place: Place) -> None:
        with self.changed:
            self._info = info
            before = lane.near
            self._place(lane, place)
            if lane.near != before:
                self._reassign()
        self._flush()

    def arrived(self, part: Part) -> None:
        job = part.job
        if job.done:
            self._drop(job)
            self.changed.notify_all()
        elif part.hedged:
            for other in [other for other in job.parts if other.hedged and other.todo.isdisjoint(job.missing)]:
                self._cancel(other)

    def refused(self, lane: Lane, part: Part, error: Error) -> None:
        with self.changed:
            if error.code not in _AWAY:
                part.refused = {**part.refused, lane.address: error}
            if error.code in _EVERYBODYS:
                part.job.error = error
                self.arrived(part)
            elif error.code in _STAYING:
                self._again(part)
            else:
                # It is among what the loader owes, so that it is asked from the others with the rest.
                lane.queue.append(part)
                raise Left(error)
        self._flush()

    def alone(self, lane: Lane) -> bool:
        with self.changed:
            return self._used() == [lane]

    def lost(self, lane: Lane, error: Error) -> None:
        with self.changed:
            if self._closed or lane.stopped:
                return
            was_used = lane.state == "used"
            owed = [part for part in (*lane.flying.values(), *lane.queue) if not part.dropped]
            calls = [call for call in (*lane.polls.values(), *lane.calls) if call.suspect is None and not call.done]
            lane.flying, lane.polls = {}, {}
            lane.queue.clear()
            lane.calls.clear()
            lane.cancelled.clear()
            lane.state, lane.reason, lane.tried = "left", error.message, True
            lane.final = error if not was_used and isinstance(error, (BadOption, OtherStream, Unauthorized)) else None
            outage = not any(each.state == "used" for each in self._lanes.values())
            lane.retry_at = lane.standing.lost(outage)
            if was_used:
                step = min((part.job.step for part in owed), default=None)
                self._tell("left", lane.address, error.message, step)
                if outage:
                    self._hurry()
            elif not lane.was_used:
                log.warning("loader %s: %s", lane.address, error.message)
                lane.was_used = True
            self._reassign()
            for part in owed:
                if was_used and isinstance(error, ProtocolError):
                    part.job.forget(part)
                self._again(part)
            self._adopt()
            for call in calls:
                self._give(call, 0)
            self.changed.notify_all()
        self._flush()

    # ---- with `changed` held

    def _check(self, stopped: Callable[[], bool]) -> None:
        if self._closed or stopped():
            raise Closed("CLOSED", f"the client of {self._options.url} has been closed")

    def _until(self, since: float | None, more: float = 0.0) -> float | None:
        # Never in a hot loop, whatever else is waited for.
        return None if since is None else max(0.02, since + more - self._pace.now())

    def _used(self) -> list[Lane]:
        return [lane for lane in self._lanes.values() if lane.state == "used"]

    def _list(self, addresses: Iterable[str], first: bool = False) -> None:
        """Takes a list of loaders; an empty one is none, and leaves things as they are."""
        wanted = list(dict.fromkeys(addresses))
        if not wanted:
            return
        for address in [address for address in self._lanes if address not in wanted]:
            lane = self._lanes.pop(address)
            owed = [part for part in (*lane.flying.values(), *lane.queue) if not part.dropped]
            calls = [call for call in (*lane.polls.values(), *lane.calls) if call.suspect is None and not call.done]
            lane.state = "gone"
            lane.queue.clear()
            lane.stop()
            self._tell("gone", address, "no longer in the list")
            self._reassign()
            for part in owed:
                part.dropped = True
                self._again(part)
            for call in calls:
                self._give(call, 0)
        for address in wanted:
            if address not in self._lanes:
                lane = Lane(self, address, self._pace, self._options.stall, self._listing.alone is not None)
                self._lanes[address] = lane
                if not first:
                    self._tell("joined", address, "in the list")
                lane.start()
        self._adopt()
        self.changed.notify_all()

    def _place(self, lane: Lane, place: Place) -> None:
        lane.near = place.near
        seed = self._listing.alone
        if seed is None or place.loaders is None:
            return
        lane.tells = told(seed, place.loaders)
        # What one that is not in use told last still counts where nobody else tells, or the list would shrink with its only teller.
        tellers = [each for each in self._used() if each.tells] or list(self._lanes.values())
        self._list([seed, *(address for each in tellers for address in each.tells)], first=not self._settled)

    def _settle(self) -> bool:
        """Whether requests may be given to the loaders that there are. Too early, the first one would be asked for everything."""
        if not self._settled and self._settle_at is not None:
            self._settled = all(lane.tried for lane in self._lanes.values()) or self._pace.now() >= self._settle_at
            self._reassign()
        return self._settled

    def _reassign(self) -> None:
        self.changed.notify_all()
        if not self._settled:
            return
        before, self._owners = self._owners, self._owners_among({lane.address: lane.near for lane in self._used()})
        if before is not None and self._owners is not None:
            moved: dict[str, list[int]] = {}
            for partition, (old, new) in enumerate(zip(before, self._owners, strict=True)):
                if old is not new:
                    moved.setdefault(new.address, []).append(partition)
            for address, partitions in moved.items():
                self._tell("moved", address, f"has partitions {_ranges(partitions)} now")
        self._adopt()

    def _owners_among(self, used: Mapping[str, Sequence[int] | None]) -> list[Lane] | None:
        if not used or self._info is None:
            return None
        return [self._lanes[address] for address in assign(self._info.partitions, used)]

    def _route(self, job: Job, slots: list[int], refused: dict[str, Error], since: float, late: str | None = None) -> list[Part]:
        """Asks the loaders for slots; those that nobody can be asked for now wait for a loader, or end the job where all have refused."""
        if not slots or job.done:
            return []
        assert self._info is not None
        owners = self._owners
        if refused or late is not None:
            owners = self._owners_among({lane.address: lane.near for lane in self._used() if lane.address not in refused and lane.address != late})
        if owners is None:
            if late is not None:
                return []
            if refused and all(address in refused for address in self._lanes):
                job.error = next(iter(refused.values()))
                self._drop(job)
                self.changed.notify_all()
                return []
            part = Part(job, slots, refused, since)
            job.parts.add(part)
            self._homeless.append(part)
            self.changed.notify_all()
            return [part]
        size = self._info.batch // self._info.partitions
        shares: dict[str, list[int]] = {}
        for slot in slots:
            shares.setdefault(owners[slot // size].address, []).append(slot)
        made = []
        for address, share in shares.items():
            for at in range(0, len(share), _SLOTS):
                part = Part(job, share[at : at + _SLOTS], refused, self._pace.now())
                part.address = address
                job.parts.add(part)
                made.append(part)
                lane = self._lanes[address]
                # What was asked before goes first.
                if refused or late is not None:
                    lane.queue.appendleft(part)
                else:
                    lane.queue.append(part)
                lane.wake()
        return made

    def _again(self, part: Part) -> None:
        """Asks others for what a request has not brought and no other request is about to."""
        job = part.job
        job.parts.discard(part)
        if job.done or job not in self._jobs:
            return
        missing = part.todo & job.missing
        for other in job.parts:
            missing -= other.todo
        # Loaders that come back and leave again, without a slot, do not make the trainer wait for ever.
        since = part.orphan if part.orphan is not None and not part.gave else self._pace.now()
        self._route(job, sorted(missing), part.refused, since)

    def _adopt(self) -> None:
        """Loaders have come or gone: gives out what waits for one."""
        waiting, self._homeless = self._homeless, []
        for part in waiting:
            part.job.parts.discard(part)
            if not part.dropped and part.job in self._jobs:
                for each in self._route(part.job, part.slots, part.refused, part.since):
                    each.orphan = part.since

    def _drop(self, job: Job) -> None:
        """Nobody wants the rest."""
        for part in list(job.parts):
            self._cancel(part)

    def _cancel(self, part: Part) -> None:
        if not part.todo:
            # Its end is about to come.
            return
        part.dropped = True
        part.job.parts.discard(part)
        lane = self._lanes.get(part.address or "")
        if lane is None:
            return
        if part in lane.queue:
            lane.queue.remove(part)
        else:
            lane.cancelled.extend(id for id, each in list(lane.flying.items()) if each is part)
            lane.wake()

    def _hurry(self) -> None:
        """Nobody is left: whoever pauses is tried at once, or nearly."""
        for lane in self._lanes.values():
            soon = self._pace.now() + lane.standing.hurried()
            if soon < lane.retry_at:
                lane.retry_at = soon
                lane.wake()

    def _hopeless(self, since: float, patience: float, refused: Mapping[str, Error]) -> Error | None:
        """The error of what waits for a loader, when it has waited for long enough."""
        lanes = list(self._lanes.values())
        used = self._used()
        finals = [lane.final for lane in lanes if lane.final is not None]
        if lanes and len(finals) == len(lanes):
            return finals[0]
        if self._pace.now() < since + patience or (self._info is None and not all(lane.tried for lane in lanes)):
            return None
        if refused:
            return next(iter(refused.values()))
        if used:
            return None
        reasons = "; ".join(f"{lane.address}: {lane.reason}" if lane.address not in (lane.reason or "") else str(lane.reason) for lane in lanes[:8])
        return ConnectionLost("CONNECTION_LOST", f"no loader can be reached: {reasons or self._trouble or 'none is known'}")

    def _give(self, call: Call, partition: int) -> None:
        if self._owners is not None:
            lane = self._owners[partition]
        elif used := self._used():
            lane = used[0]
        else:
            call.error = ConnectionLost("CONNECTION_LOST", "no loader is in use")
            self.changed.notify_all()
            return
        lane.calls.append(call)
        lane.wake()

    def _tell(self, kind: str, loader: str, reason: str, step: int | None = None) -> None:
        self._events.append(Event(kind, loader, reason, step))

    # ---- without it

    def _flush(self) -> None:
        """Logs and events, in their order, with no lock held that a listener could want."""
        with self._telling:
            while self._events:
                event = self._events.popleft()
                at = "" if event.step is None else f" (step {event.step})"
                log.log(_LEVELS.get(event.kind, logging.INFO), "loader %s %s%s: %s", event.loader, event.kind, at, event.reason)
                if self._on_event is not None:
                    try:
                        self._on_event(event)
                    except Exception:
                        log.exception("on_event failed")

    def _call(self, call: Call, partition: int) -> None:
        self.info()
        with self.changed:
            self._give(call, partition)
            while not call.done:
                self._check(lambda: False)
                if call.error is not None:
                    if (error := self._hopeless(call.since, self._options.reconnect, {})) is not None:
                        raise error
                    call.error = None
                    self._give(call, partition)
                self.changed.wait(self._until(call.since, self._options.reconnect) if call.error is not None else None)

    def _watch(self) -> None:
        while not self._closed:
            with self.changed:
                self.changed.wait_for(lambda: self._closed, self._listing.pause() + 0.001)
            addresses, trouble = self._listing.read()
            with self.changed:
                if self._closed:
                    return
                if trouble != self._trouble and trouble is not None:
                    log.warning("list of loaders: %s", trouble)
                self._trouble = trouble
                self._list(addresses)
            self._flush()

    def _hedge(self, patience: float) -> None:
        while True:
            with self.changed:
                if self._closed:
                    return
                now = self._pace.now()
                due: list[float] = []
                for job in list(self._jobs):
                    for part in list(job.parts):
                        if part.hedged or part.address is None or not part.todo:
                            continue
                        if now < part.since + patience:
                            due.append(part.since + patience - now)
                            continue
                        part.hedged = True
                        slots = sorted(part.todo & job.missing)
                        for twin in self._route(job, slots, part.refused, now, part.address):
                            twin.hedged = True
                            self._tell("hedged", part.address, f"{len(twin.slots)} slots are asked from {twin.address} too", job.step)
            self._flush()
            with self.changed:
                self.changed.wait(min(due, default=patience))


def _ranges(numbers: Sequence[int]) -> str:
    """0-3, 5"""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
