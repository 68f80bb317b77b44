"""One loader among several: its connection, what it was asked, and the thread that does both."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections import deque
from typing import Any, Final, Protocol

from . import frame
from .assemble import Part
from .errors import Error, ProtocolError, ServerError, TimedOut, error_of
from .link import Link, Message
from .loaders import Pace, Standing
from .model import Info, Place, integer, mapping, read_failed, read_info, read_place, read_puzzles, text

#: Requests that a loader has at a time; by default it takes 16 of a connection. The others wait here.
_FLIGHT: Final = 8


class Left(Exception):
    """A loader refused with an error for which it is left: the rest of what it owes is asked from others."""

    def __init__(self, error: Error) -> None:
        super().__init__(error)
        self.error = error


class Call:
    """A message to any loader: poll, which waits for its answer, or feedback, which is done when it has been sent."""

    def __init__(self, kind: int, meta: dict[str, Any], since: float, suspect: Part | None = None) -> None:
        self.kind = kind
        self.meta = meta
        self.since = since
        self.suspect = suspect
        """Poll: a request that was ended without all its slots, which is right in a finite stream alone."""
        self.done = False
        self.info: Info | None = None
        self.error: Error | None = None


class Router(Protocol):
    """What a lane needs of its fleet. `changed` guards every field of a lane that others use too."""

    @property
    def changed(self) -> threading.Condition: ...
    @property
    def copies(self) -> bool: ...
    def turn(self, lane: Lane) -> bool:
        """Waits until it may connect; False when it is to end."""

    def dial(self, lane: Lane) -> Link: ...
    def welcomed(self, lane: Lane, link: Link) -> bool: ...
    def told(self, lane: Lane, info: Info, place: Place) -> None: ...
    def arrived(self, part: Part) -> None:
        """Slots of it have come. Called with `changed` held."""

    def refused(self, lane: Lane, part: Part, error: Error) -> None:
        """May raise Left."""

    def alone(self, lane: Lane) -> bool:
        """Whether no other is in use."""

    def lost(self, lane: Lane, error: Error) -> None: ...


class Lane:
    def __init__(self, router: Router, address: str, pace: Pace, stall: float, asks: bool) -> None:
        self.address = address
        self.state = "trying"
        self.near: list[int] | None = None
        self.tells: list[str] = []
        """The loaders that it told of."""
        self.reason: str | None = None
        self.final: Error | None = None
        """Why it will hardly ever take this client."""
        self.tried = False
        self.was_used = False
        self.retry_at = 0.0
        self.standing = Standing(pace)
        self.queue: deque[Part] = deque()
        self.calls: deque[Call] = deque()
        self.cancelled: deque[int] = deque()
        self.flying: dict[int, Part] = {}
        self.polls: dict[int, Call] = {}
        self.stopped = False
        self.link: Link | None = None
        self._stall = stall
        self._asks = asks
        self._router = router
        self._pace = pace
        self._last_id = 0
        self._heard = 0.0
        self._pinged = False
        self._ask_at = 0.0
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)

    def start(self) -> None:
        threading.Thread(target=self._run, name="ssl_r1 lane", daemon=True).start()

    def wake(self) -> None:
        """Something is to be sent, or the time of the next try is another. In any thread."""
        with contextlib.suppress(OSError):
            self._waker.send(b"\0")

    def stop(self) -> None:
        """Ends the thread, whatever it waits for."""
        self.stopped = True
        link = self.link
        if link is not None:
            link.abort()
        self.wake()

    def forget(self) -> None:
        """In a forked child: closes the child's descriptors alone."""
        for each in (self.link, self._woken, self._waker):
            if each is not None:
                each.close()

    def _run(self) -> None:
        try:
            while self._pause() and self._router.turn(self):
                try:
                    self._connect()
                except Left as left:
                    self._router.lost(self, left.error)
                except Error as error:
                    self._router.lost(self, error)
                except Exception as error:
                    # Ours or not (memory, a bug): the trainer must not wait for this thread for ever.
                    self._router.lost(self, ServerError("INTERNAL", f"{type(error).__name__}: {error}"))
        finally:
            self._woken.close()
            self._waker.close()

    def _connect(self) -> None:
        link = self._router.dial(self)
        try:
            self.link = link
            if self._router.welcomed(self, link):
                self._ask_at = self._pace.now() + self._pace.ask
                self._talk(link)
        finally:
            self.link = None
            link.close()

    def _pause(self) -> bool:
        while not self.stopped:
            left = self.retry_at - self._pace.now()
            if left <= 0:
                return True
            if _readable(self._woken, left):
                self._drain()
        return False

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while len(self._woken.recv(4096)) == 4096:
                pass

    def _talk(self, link: Link) -> None:
        poll = select.poll()
        poll.register(link.fileno(), select.POLLIN)
        poll.register(self._woken.fileno(), select.POLLIN)
        while True:
            if self.queue or self.calls or self.cancelled:
                self._send(link)
            if self.stopped:
                return
            if not link.pending():
                ready = [fd for fd, _ in poll.poll(self._wait())]
                if self._woken.fileno() in ready:
                    self._drain()
                if link.fileno() not in ready:
                    continue
            message = link.receive()
            self._take(message)
            # Kept here its buffer would be in use while the next one is received.
            del message

    def _wait(self) -> float | None:
        """Milliseconds until something has to be done; TimedOut where the loader has been silent for too long."""
        now = self._pace.now()
        due: list[float] = []
        if self.flying:
            due.append(self._heard + self._stall - now)
            if due[0] <= 0:
                raise TimedOut("CONNECTION_LOST", f"{self.address}: sent nothing for {self._stall:g} s")
            # Slow is better than nobody: while it is alone, a loader that answers poll is one that lives.
            if not self._pinged:
                ping = self._heard + self._stall / 2 - now
                if ping > 0:
                    due.append(ping)
                else:
                    self._pinged = True
                    if self._router.alone(self):
                        self.calls.append(Call(frame.POLL, {}, now))
                        return 0
        if self._asks:
            if now >= self._ask_at:
                self._ask_at = now + self._pace.ask
                self.calls.append(Call(frame.POLL, {}, now))
                return 0
            due.append(self._ask_at - now)
        return None if not due else min(due) * 1000 + 1

    def _send(self, link: Link) -> None:
        frames: list[tuple[int, dict[str, Any]]] = []
        sent: list[Call] = []
        with self._router.changed:
            while self.cancelled:
                frames.append((frame.CANCEL, {"id": self.cancelled.popleft()}))
            while self.queue and len(self.flying) < _FLIGHT:
                part = self.queue.popleft()
                if not self.flying:
                    self._heard, self._pinged = self._pace.now(), False
                self._last_id += 1
                self.flying[self._last_id] = part
                frames.append((frame.GET, {"id": self._last_id, **part.request()}))
            while self.calls:
                call = self.calls.popleft()
                if call.kind == frame.POLL:
                    self._last_id += 1
                    self.polls[self._last_id] = call
                    frames.append((frame.POLL, {"id": self._last_id}))
                else:
                    sent.append(call)
        for kind, meta in frames:
            link.send(kind, meta)
        for call in sent:
            try:
                link.send(call.kind, call.meta)
            except Error:
                self.calls.append(call)
                raise
            with self._router.changed:
                call.done = True
                self._router.changed.notify_all()

    def _take(self, message: Message) -> None:
        kind, meta = message.kind, message.meta
        if kind not in (frame.CELL, frame.END, frame.DONE, frame.ERROR, frame.INFO):
            raise ProtocolError("PROTOCOL", f"a message of kind {kind} is no answer")
        id = integer(meta, "id", 1)
        if kind == frame.INFO:
            return self._inform(id, meta)
        part = self.flying.get(id)
        if part is None:
            raise ProtocolError("PROTOCOL", f"an answer to request {id}, which is none")
        try:
            self._answer(id, part, message)
        except ProtocolError as error:
            # Nor would it answer another time.
            part.refused = {**part.refused, self.address: error}
            raise

    def _answer(self, id: int, part: Part, message: Message) -> None:
        kind, meta = message.kind, message.meta
        self._heard, self._pinged = self._pace.now(), False
        if part.dropped:
            if kind != frame.CELL:
                del self.flying[id]
            return
        if kind == frame.DONE:
            raise ProtocolError("PROTOCOL", "the server ended a get without its batch")
        if kind == frame.ERROR:
            del self.flying[id]
            return self._router.refused(self, part, error_of(text(meta, "code"), text(meta, "message")))
        job = part.job
        if integer(meta, "step") != job.step:
            raise ProtocolError("PROTOCOL", f"the server sent step {meta['step']} instead of step {job.step}")
        if kind == frame.CELL:
            puzzles, failed = read_puzzles(meta, message.body, self._router.copies), read_failed(meta)
            with self._router.changed:
                if not part.dropped:
                    job.take(part, puzzles, failed, len(message.body))
                    self._router.arrived(part)
            return
        if part.todo and not part.dropped:
            # It stays in flight meanwhile.
            self.calls.append(Call(frame.POLL, {}, self._pace.now(), part))
            return
        with self._router.changed:
            del self.flying[id]
            job.parts.discard(part)

    def _inform(self, id: int, meta: dict[str, Any]) -> None:
        call = self.polls.pop(id, None)
        if call is None:
            raise ProtocolError("PROTOCOL", f"an answer to poll {id}, which is none")
        if self._router.alone(self):
            self._heard, self._pinged = self._pace.now(), False
        info = read_info(mapping(meta, "info"))
        self._router.told(self, info, read_place(meta))
        part = call.suspect
        with self._router.changed:
            call.info, call.done = info, True
            self._router.changed.notify_all()
            if part is None:
                return
            if info.steps is None and not part.dropped:
                error = ProtocolError("PROTOCOL", f"step {part.job.step}: the server left out slots of an endless stream")
                part.refused = {**part.refused, self.address: error}
                raise error
            self.flying = {id: each for id, each in self.flying.items() if each is not part}
            if part.dropped:
                return
            # With `passes`, slots that do not exist are left out.
            part.job.missing -= part.todo
            part.todo.clear()
            part.job.parts.discard(part)
            self._router.arrived(part)


def _readable(one: socket.socket, seconds: float) -> bool:
    poll = select.poll()
    poll.register(one.fileno(), select.POLLIN)
    return bool(poll.poll(seconds * 1000 + 1))
