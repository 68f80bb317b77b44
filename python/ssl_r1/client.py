"""The client: ask for a step and get its batch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, TypeVar

from . import frame
from .assemble import Assembler, check_failed
from .errors import ProtocolError
from .fork import reset_after_fork
from .link import Dialer, Link, Options, Refused
from .model import Batch, Info, integer, mapping, read_info
from .slabs import Slabs
from .stream import Stream

T = TypeVar("T")

_REWARDS_PER_FRAME: Final = 10_000


def connect(
    url: str,
    *,
    token: str | None = None,
    token_file: str | None = None,
    ca: str | None = None,
    cert: str | None = None,
    key: str | None = None,
    server_name: str | None = None,
    image_format: str = "raw",
    timeout: float | None = 300.0,
    reconnect: float = 60.0,
    wait: float = 0.0,
    on_failed: str = "raise",
    copy: bool = False,
    fingerprint: str | None = None,
    name: str = "ssl_r1 (Python)",
) -> Client:
    """A client of the server at ``tcp://host:port``, ``tls://host:port`` or ``unix:///path``. The connection is made when it is first needed.

    token, token_file: what the server wants to be told, or a file with it, read for each connection; else ``SSL_R1_TOKEN`` of the environment.
    ca: PEM file with the authorities that the server's certificate may be of (a self-signed certificate is its own); default: the system's. It is
        always checked, and so is the host's name, or ``server_name`` in its place.
    cert, key: PEM files to show to a server that wants a certificate.
    image_format: how images travel: "raw" (best on one machine), "jpeg" (quality 95, 4:4:4) or "png".
    timeout: seconds without a byte from the server after which a call gives up; None waits for ever.
    reconnect: seconds for which a lost connection is tried again; 0 raises ConnectionLost at once.
    wait: the same for the very first connection, for trainers that start before their loader.
    on_failed: "raise" SlotFailed when a batch has a slot without a usable image, or "skip" it and leave it to ``batch.failed``.
    copy: give every image memory of its own. By default images are views of a buffer with the images of several puzzles, which is used again when
        none of them is left: right in any case, but one image that is kept for long keeps its neighbours.
    fingerprint: the stream that is expected; OtherStream when the server has another. Else it is the one of the first connection.

    A client may be used by several threads, pickled (the connection stays behind) and used after a fork (the child makes its own connection).
    """
    files = {"token_file": token_file, "ca": ca, "cert": cert, "key": key, "server_name": server_name}
    options = Options(url, token, image_format, timeout, reconnect, wait, on_failed, copy, name, **files)
    options.check()
    return Client(Dialer(options, fingerprint))


class Client:
    """Made by connect()."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer
        self._reset()
        reset_after_fork(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._slabs = Slabs()
        self._link: Link | None = None
        self._info: Info | None = None
        self._last_id = 0

    @property
    def info(self) -> Info:
        """What the server said when the connection was made."""
        if self._info is None:
            self._call(lambda link: None)
        assert self._info is not None
        return self._info

    def refresh(self) -> Info:
        """Asks again: samples, counted and skipped change as the stream is read. Also shows that the server is there."""
        return self._call(self._poll)

    def get(self, step: int, slots: Sequence[int] | None = None) -> Batch:
        """The batch of a step, or those of its slots that are asked for, in that order."""
        batch = self._call(lambda link: self._get(link, step, slots))
        check_failed(batch, self._dialer.options)
        return batch

    def stream(self, start: int = 0, steps: int | None = None, *, slots: Sequence[int] | None = None, prefetch: int = 1) -> Stream:
        """The batches from step ``start`` on, ``steps`` of them or until the stream ends.

        It has a connection of its own. A thread receives up to ``prefetch`` batches ahead while the trainer computes; 0 means no thread: the next
        batch is received when it is asked for. Close it, or use it in a ``with``, where it isn't read to its end.
        """
        asked = None if slots is None else [int(slot) for slot in slots]
        return Stream(self._dialer, int(start), None if steps is None else int(steps), asked, prefetch)

    def feedback(self, step: int, rewards: Mapping[int, float] | Iterable[tuple[int, float]]) -> None:
        """Rewards of answers by the index of their puzzle, for the server's metrics and curriculum. An index may come several times."""
        pairs = rewards.items() if isinstance(rewards, Mapping) else rewards
        given = [{"index": int(index), "reward": float(reward)} for index, reward in pairs]
        for at in range(0, len(given), _REWARDS_PER_FRAME):
            part = given[at : at + _REWARDS_PER_FRAME]
            self._call(lambda link, part=part: link.send(frame.FEEDBACK, {"step": int(step), "rewards": part}))  # type: ignore[misc]

    def close(self) -> None:
        """Closes the connection; streams of this client end with Closed when they need another. Idempotent."""
        self._dialer.closed = True
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

    def __getstate__(self) -> tuple[Options, str | None]:
        return self._dialer.options, self._dialer.fingerprint

    def __setstate__(self, state: tuple[Options, str | None]) -> None:
        self.__init__(Dialer(*state))  # type: ignore[misc]

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

    def _get(self, link: Link, step: int, slots: Sequence[int] | None) -> Batch:
        self._last_id += 1
        request: dict[str, Any] = {"id": self._last_id, "step": int(step)}
        asked = None if slots is None else [int(slot) for slot in slots]
        if asked is not None:
            request["slots"] = asked
        link.send(frame.GET, request)
        batch = Assembler(link, self._last_id, asked, self._dialer.options.copy, self._slabs).next(int(step))
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
