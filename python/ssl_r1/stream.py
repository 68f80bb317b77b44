"""Batch after batch, received ahead while the trainer computes."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections import deque
from types import TracebackType
from typing import Any, Final, Protocol

from . import frame
from .assemble import Assembler, Job, check_failed
from .errors import BadOption, Closed, Error, StepOutOfRange
from .fleet import Fleet
from .fork import reset_after_fork
from .link import Dialer, Link, Options, Refused, Several
from .model import Batch
from .slabs import Slabs

#: Bytes that may be on their way unread. More than the server keeps ready for one connection has no effect.
_CREDIT: Final = 64 * 2**20
_REQUEST: Final = 1
#: Steps of small batches that several loaders are asked for beyond `prefetch`.
_MOST_MORE: Final = 4


class Feed(Protocol):
    """The receiving side of a stream. Knows nothing of the Stream, so that one that is dropped is also collected."""

    def next(self) -> Batch | None:
        """None when the stream has ended or was stopped. Several, at first, where one connection is not all there is."""

    def stop(self) -> None:
        """Wakes whoever waits. Does nothing in a forked child, where locks and connections are another process's."""

    def close(self) -> None:
        """For after stop(), where nobody is inside next()."""


class Source(Protocol):
    """What a stream needs of its client."""

    @property
    def options(self) -> Options: ...
    def feed(self, step: int, end: int | None, slots: list[int] | None, prefetch: int) -> Feed: ...
    def found_several(self) -> None: ...
    def delivered(self, step: int) -> None: ...


class Stream:
    """An iterator of batches. After any exception but Closed the next call goes on behind the last batch it delivered or refused."""

    def __init__(self, source: Source, start: int, steps: int | None, slots: list[int] | None, prefetch: int) -> None:
        if start < 0 or (steps is not None and steps < 0) or prefetch < 0:
            raise BadOption("BAD_OPTION", f"start, steps and prefetch must not be negative: {start}, {steps}, {prefetch}")
        self._source = source
        self._next = start
        self._end = None if steps is None else start + steps
        self._slots = slots
        self._prefetch = prefetch
        self._closed = False
        self._feed: Feed | None = None
        self._reset()
        reset_after_fork(self)

    def _reset(self) -> None:
        # In a forked child the old feed's thread does not exist and its locks may be held for ever: it is left alone.
        self._lock = threading.Lock()
        self._feed = None

    @property
    def step(self) -> int:
        """The step that the next call delivers: what to resume from."""
        return self._next

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Batch:
        with self._lock:
            if self._closed:
                raise StopIteration
            try:
                try:
                    batch = self._open().next()
                except Several:
                    self._drop()
                    self._source.found_several()
                    batch = self._open().next()
            except BaseException:
                self._drop()
                raise
            if batch is None:
                self._closed = True
                self._drop()
                raise StopIteration
            self._next += 1
            self._source.delivered(self._next)
            return check_failed(batch, self._source.options)

    def _open(self) -> Feed:
        if self._feed is None:
            self._feed = self._source.feed(self._next, self._end, self._slots, self._prefetch)
            self._stop = weakref.finalize(self, self._feed.stop)
        return self._feed

    def _drop(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            self._stop()
            feed.close()

    def close(self) -> None:
        """Ends the stream and its thread. Idempotent."""
        self._closed = True
        if self._lock.acquire(blocking=False):
            self._drop()
            self._lock.release()
        elif (feed := self._feed) is not None:
            # Another thread waits for a batch: it finds the stream ended.
            feed.stop()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class SingleFeed:
    """From one loader, which makes batches ahead as credit lets it."""

    def __init__(self, dialer: Dialer, step: int, end: int | None, slots: list[int] | None, prefetch: int) -> None:
        self._dialer = dialer
        self._step = step
        self._end = end
        self._slots = slots
        self._slabs = Slabs()
        self._link: Link | None = None
        self._assembler: Assembler | None = None
        self._stopped = threading.Event()
        self._ready: deque[Batch | BaseException | None] = deque()
        self._prefetch = prefetch
        self._changed = threading.Condition()
        self._pid = os.getpid()
        if prefetch > 0:
            threading.Thread(target=self._run, name="ssl_r1 stream", daemon=True).start()

    def next(self) -> Batch | None:
        if self._prefetch == 0:
            return self._receive_or_stop()
        with self._changed:
            while not self._ready and not self._stopped.is_set():
                self._changed.wait()
            item = self._ready.popleft() if self._ready else None
            self._changed.notify_all()
        if isinstance(item, BaseException):
            raise item
        return item

    def _receive_or_stop(self) -> Batch | None:
        try:
            return self._receive()
        except Error:
            if self._stopped.is_set():
                return None
            raise

    def stop(self) -> None:
        if os.getpid() != self._pid:
            return
        self._stopped.set()
        link = self._link
        if link is not None:
            link.abort()
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        # A thread closes the connection itself.
        if self._prefetch == 0:
            self._drop()

    def _run(self) -> None:
        item: Batch | BaseException | None = None
        try:
            while True:
                with self._changed:
                    while len(self._ready) >= self._prefetch and not self._stopped.is_set():
                        self._changed.wait()
                if self._stopped.is_set():
                    break
                try:
                    item = self._receive_or_stop()
                except BaseException as error:
                    item = error
                with self._changed:
                    self._ready.append(item)
                    self._changed.notify_all()
                if not isinstance(item, Batch):
                    break
                # Kept here it would still be in use while the next one is received.
                item = None
        finally:
            self._drop()

    def _receive(self) -> Batch | None:
        return self._dialer.persist(self._attempt, self._stopped.wait)

    def _attempt(self) -> Batch | None:
        if self._end is not None and self._step >= self._end:
            return None
        try:
            if self._link is None:
                self._link = self._dialer.open(self._slabs)
                if self._stopped.is_set():
                    raise Closed("CLOSED", "the stream has been closed")
                self._begin(self._link)
            assert self._assembler is not None
            batch = self._assembler.next(self._step, credit=True)
        except Refused as refused:
            self._drop()
            raise refused.error from None
        except BaseException:
            self._drop()
            raise
        self._step += 1
        return batch

    def _begin(self, link: Link) -> None:
        request: dict[str, Any] = {"id": _REQUEST, "step": self._step, "credit": _CREDIT}
        if self._end is not None:
            request["steps"] = self._end - self._step
        if self._slots is not None:
            request["slots"] = self._slots
        link.send(frame.STREAM, request)
        self._assembler = Assembler(link, _REQUEST, self._slots, self._dialer.options.copy, self._slabs, self._prefetch)

    def _drop(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


class FleetFeed:
    """From several loaders: whole steps are asked for ahead, each from all of them."""

    def __init__(self, fleet: Fleet, step: int, end: int | None, slots: list[int] | None, prefetch: int) -> None:
        self._fleet = fleet
        self._step = step
        self._end = end
        self._slots = slots
        self._prefetch = prefetch
        self._jobs: deque[Job] = deque()
        self._stopped = threading.Event()
        self._pid = os.getpid()

    def next(self) -> Batch | None:
        try:
            self._ask(1 + self._ahead())
            if not self._jobs:
                return None
            batch = self._fleet.wait(self._jobs[0], self._stopped.is_set)
        except Closed:
            if self._stopped.is_set():
                return None
            raise
        except StepOutOfRange:
            # The end of a finite stream whose loaders did not know it when they welcomed this client.
            if self._jobs and self._jobs[0].step == self._fleet.refresh().steps:
                return None
            raise
        self._jobs.popleft()
        if self._prefetch > 0:
            # What goes wrong here goes wrong again when that step is wanted.
            with contextlib.suppress(Error):
                self._ask(self._ahead())
        return batch

    def _ahead(self) -> int:
        """Steps: what the trainer allows, and as much more as one connection would have on its way."""
        size = self._fleet.bytes_of_batch
        if self._prefetch == 0 or size == 0:
            return self._prefetch
        return self._prefetch + min(_CREDIT // size, _MOST_MORE)

    def _ask(self, steps: int) -> None:
        while len(self._jobs) < steps and (self._end is None or self._step < self._end):
            if self._fleet.info(self._stopped.is_set).steps == self._step:
                return
            self._jobs.append(self._fleet.submit(self._step, self._slots, self._stopped.is_set))
            self._step += 1

    def stop(self) -> None:
        if os.getpid() != self._pid:
            return
        self._stopped.set()
        self._fleet.abandon(self._jobs)

    def close(self) -> None:
        for job in self._jobs:
            self._fleet.cancel(job)
