"""The client: ask for a step and get its batch."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, TypeVar

from . import frame
from .assemble import Assembler, check_failed
from .errors import BadOption, Closed, ProtocolError
from .fleet import Fleet
from .fork import reset_after_fork
from .link import Dialer, Link, Options, Refused, Several
from .loaders import Event, Listing, Loader, Pace
from .model import Batch, Info, integer, mapping, read_info
from .slabs import Slabs
from .state import make_state, read_state
from .stream import Feed, FleetFeed, SingleFeed, Stream

T = TypeVar("T")

_REWARDS_PER_FRAME: Final = 10_000


def connect(
    url: str | Iterable[str],
    *,
    token: str | None = None,
    token_file: str | None = None,
    ca: str | None = None,
    cert: str | None = None,
    key: str | None = None,
    server_name: str | None = None,
    image_format: str = "raw",
    checksum: bool | None = None,
    timeout: float | None = 300.0,
    reconnect: float = 60.0,
    wait: float = 0.0,
    on_failed: str = "raise",
    copy: bool = False,
    fingerprint: str | None = None,
    stall: float = 30.0,
    hedge: float | None = None,
    on_event: Callable[[Event], None] | None = None,
    name: str = "ssl_r1 (Python)",
) -> Client:
    """A client of one loader or of several (docs/cluster.md). Connections are made when they are first needed.

    url: ``tcp://host:port``, ``tls://host:port`` or ``unix:///path``; several of them as text with commas or as a sequence; ``file:///path`` of a
        list, ``dns+tcp://name:port``. One address stands also for the loaders that it tells of.
    token, token_file: what the server wants to be told, or a file with it, read for each connection; else ``SSL_R1_TOKEN`` of the environment.
    ca: PEM file with the authorities that the server's certificate may be of (a self-signed certificate is its own); default: the system's. It is
        always checked, and so is the host's name, or ``server_name`` in its place.
    cert, key: PEM files to show to a server that wants a certificate.
    image_format: how images travel: "raw" (best on one machine), "jpeg" (quality 95, 4:4:4) or "png".
    checksum: whether batches come with one, which costs 0.2 ms a puzzle on either side; None: over a network without TLS.
    timeout: seconds without a byte from the only server after which a call gives up; None waits for ever. With several see ``stall``.
    reconnect: seconds for which a lost connection is tried again; 0 raises ConnectionLost at once.
    wait: the same for the very first connection, for trainers that start before their loader.
    on_failed: "raise" SlotFailed when a batch has a slot without a usable image, or "skip" it and leave it to ``batch.failed``.
    copy: give every image memory of its own. By default images are views of a buffer with the images of several puzzles, which is used again when
        none of them is left: right in any case, but one image that is kept for long keeps its neighbours.
    fingerprint: the stream that is expected; OtherStream when the server has another. Else it is the one of the first connection.
    stall: with several loaders, seconds without an answer after which one is left and what it owes is asked from others.
    hedge: seconds after which what one owes is also asked from another, without leaving it; None does not.
    on_event: called with an Event when a loader is left, taken back, joins, goes, takes over or is too late; in a thread of the client, which it must
        not keep. The logger ``ssl_r1`` has the same: warnings when a loader is left or taken back. It stays behind when the client is pickled.

    A client may be used by several threads, pickled (connections stay behind) and used after a fork (the child makes its own connections).
    """
    files = {"token_file": token_file, "ca": ca, "cert": cert, "key": key, "server_name": server_name}
    given = Listing(url).given
    options = Options(
        ",".join(given), token, image_format, timeout, reconnect, wait, on_failed, copy, name, stall=stall, hedge=hedge, checksum=checksum, **files
    )
    options.check()
    return Client(Dialer(options, fingerprint), given, on_event)


class Client:
    """Made by connect()."""

    def __init__(
        self, dialer: Dialer, given: tuple[str, ...], on_event: Callable[[Event], None] | None = None, position: int = 0, several: bool = False
    ) -> None:
        self._dialer = dialer
        self._given = given
        self._on_event = on_event
        self._position = position
        # One plain address is one connection, unless its server tells of others.
        self._several = several or Listing(given).alone is None
        self._pace = Pace()
        self._fleet: Fleet | None = None
        self._reset()
        reset_after_fork(self)

    def _reset(self) -> None:
        if self._fleet is not None:
            self._fleet.forget()
        self._lock = threading.Lock()
        self._fleet_lock = threading.Lock()
        self._fleet = None
        self._slabs = Slabs()
        self._link: Link | None = None
        self._info: Info | None = None
        self._last_id = 0

    @property
    def options(self) -> Options:
        return self._dialer.options

    @property
    def info(self) -> Info:
        """What the server said when the connection was made; with several loaders, one of them."""

        def single() -> Info:
            if self._info is None:
                self._call(lambda link: None)
            assert self._info is not None
            return self._info

        return self._either(single, lambda fleet: fleet.info())

    @property
    def loaders(self) -> list[Loader]:
        """The loaders of the stream, in the order of the list, and how they do."""

        def single() -> list[Loader]:
            link = self._link
            state, near = ("trying", None) if link is None else ("used", link.place.near)
            return [Loader(self._given[0], state, near)]

        return self._either(single, lambda fleet: fleet.loaders)

    def refresh(self) -> Info:
        """Asks again: samples, counted and skipped change as the stream is read. Also shows that a server is there."""
        return self._either(lambda: self._call(self._poll), lambda fleet: fleet.refresh())

    def get(self, step: int, slots: Sequence[int] | None = None) -> Batch:
        """The batch of a step, or those of its slots that are asked for, in that order."""
        step, asked = int(step), None if slots is None else [int(slot) for slot in slots]
        batch = self._either(lambda: self._call(lambda link: self._get(link, step, asked)), lambda fleet: fleet.wait(fleet.submit(step, asked)))
        check_failed(batch, self._dialer.options)
        return batch

    def stream(self, start: int | None = None, steps: int | None = None, *, slots: Sequence[int] | None = None, prefetch: int = 1) -> Stream:
        """The batches from step ``start`` on, ``steps`` of them or until the stream ends. Without ``start`` from the client's position on: that of
        load_state(), or behind the last batch that a stream of this client delivered, or 0.

        With one loader it has a connection of its own, with several the client's. Up to ``prefetch`` batches are received ahead while the trainer
        computes; 0 means that the next batch is asked for when it is wanted. Close it, or use it in a ``with``, where it isn't read to its end.
        """
        asked = None if slots is None else [int(slot) for slot in slots]
        return Stream(self, self._position if start is None else int(start), None if steps is None else int(steps), asked, prefetch)

    def state(self, step: int | None = None) -> dict[str, Any]:
        """The position as a small JSON object, for a checkpoint: ``step`` is the next one that the trainer needs; without it, the one behind the last
        batch that a stream of this client delivered. A trainer that uses get(), in this process or in workers, gives it."""
        if step is not None and not 0 <= step < 2**53:
            raise BadOption("BAD_OPTION", f"step must be an integer from 0 to 2^53 - 1, not {step!r}")
        return make_state(self.info, self._position if step is None else int(step))

    def load_state(self, state: Mapping[str, Any]) -> int:
        """Takes a state back, whatever the number of loaders then and now; returns its step, where stream() begins. OtherStream, with the difference,
        where it is of another stream."""
        self._position = read_state(state, self.info)
        return self._position

    def feedback(self, step: int, rewards: Mapping[int, float] | Iterable[tuple[int, float]]) -> None:
        """Rewards of answers by the index of their puzzle, for the server's metrics and curriculum. An index may come several times."""
        pairs = rewards.items() if isinstance(rewards, Mapping) else rewards
        given = [{"index": int(index), "reward": float(reward)} for index, reward in pairs]

        def single() -> None:
            for at in range(0, len(given), _REWARDS_PER_FRAME):
                part = given[at : at + _REWARDS_PER_FRAME]
                self._call(lambda link, part=part: link.send(frame.FEEDBACK, {"step": int(step), "rewards": part}))  # type: ignore[misc]

        self._either(single, lambda fleet: fleet.feedback(int(step), given))

    def close(self) -> None:
        """Closes the connections; streams of this client end with Closed when they need another. Idempotent."""
        self._dialer.closed = True
        if (fleet := self._fleet) is not None:
            fleet.close()
        if self._lock.acquire(blocking=False):
            self._drop()
            self._lock.release()
        elif (link := self._link) is not None:
            # A call of another thread is waiting for its answer: it finds the connection gone and the client closed.
            link.abort()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __getstate__(self) -> tuple[Options, str | None, tuple[str, ...], int, bool]:
        return self._dialer.options, self._dialer.fingerprint, self._given, self._position, self._several

    def __setstate__(self, state: tuple[Options, str | None, tuple[str, ...], int, bool]) -> None:
        options, fingerprint, given, position, several = state
        self.__init__(Dialer(options, fingerprint), given, None, position, several)  # type: ignore[misc]

    def feed(self, step: int, end: int | None, slots: list[int] | None, prefetch: int) -> Feed:
        """For a Stream."""
        if self._several:
            return FleetFeed(self._all(), step, end, slots, prefetch)
        return SingleFeed(self._dialer, step, end, slots, prefetch)

    def found_several(self) -> None:
        """For a Stream: its server has told of others."""
        self._several = True

    def delivered(self, step: int) -> None:
        """For a Stream: `step` is the next one that it needs."""
        self._position = step

    def _either(self, single: Callable[[], T], several: Callable[[Fleet], T]) -> T:
        if not self._several:
            try:
                return single()
            except Several:
                self._several = True
        return several(self._all())

    def _all(self) -> Fleet:
        with self._fleet_lock:
            if self._dialer.closed:
                raise Closed("CLOSED", f"the client of {self._dialer.options.url} has been closed")
            if self._fleet is None:
                self._fleet = Fleet(self._dialer, Listing(self._given, self._pace), self._on_event, self._pace)
                weakref.finalize(self, self._fleet.close)
            return self._fleet

    def _call(self, request: Callable[[Link], T]) -> T:
        def attempt() -> T:
            if self._link is None:
                self._link = self._dialer.open(self._slabs)
                self._info = self._link.info
            try:
                return request(self._link)
            except Refused as refused:
                raise refused.error from None
            except BaseException:
                # Whatever interrupted it, also Ctrl-C: the rest of an answer may still be on its way.
                self._drop()
                raise

        with self._lock:
            return self._dialer.persist(attempt, _sleep)

    def _drop(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _get(self, link: Link, step: int, slots: list[int] | None) -> Batch:
        self._last_id += 1
        request: dict[str, Any] = {"id": self._last_id, "step": step}
        if slots is not None:
            request["slots"] = slots
        link.send(frame.GET, request)
        batch = Assembler(link, self._last_id, slots, self._dialer.options.copy, self._slabs).next(step)
        if batch is None:
            raise ProtocolError("PROTOCOL", "the server ended a get without its batch")
        return batch

    def _poll(self, link: Link) -> Info:
        self._last_id += 1
        link.send(frame.POLL, {"id": self._last_id})
        message = link.receive()
        if message.kind != frame.INFO or integer(message.meta, "id") != self._last_id:
            raise ProtocolError("PROTOCOL", f"the server answered poll with a message of kind {message.kind}")
        self._info = read_info(mapping(message.meta, "info"))
        return self._info


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False
