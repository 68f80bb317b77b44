"""One connection to a server, from hello to the end, and the patience to make another."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from . import frame
from .errors import BadOption, Closed, ConnectionLost, Error, ProtocolError, TimedOut, error_of
from .frame import MAX_FRAME_BYTES, PREFIX_BYTES, PROTOCOL_VERSION
from .model import Info, Place, integer, mapping, read_info, read_place, text
from .slabs import Slabs

T = TypeVar("T")

IMAGE_FORMATS: Final = ("raw", "jpeg", "png")
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_CONNECT_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Options:
    """What connect() was called with: this is all that travels to another process."""

    url: str
    token: str | None
    image_format: str
    timeout: float | None
    reconnect: float
    wait: float
    on_failed: str
    copy: bool
    name: str

    def check(self) -> None:
        parse_url(self.url)
        if self.image_format not in IMAGE_FORMATS:
            raise BadOption("BAD_OPTION", f"image_format must be one of {', '.join(IMAGE_FORMATS)}, not {self.image_format!r}")
        if self.on_failed not in ("raise", "skip"):
            raise BadOption("BAD_OPTION", f"on_failed must be 'raise' or 'skip', not {self.on_failed!r}")
        if self.timeout is not None and not self.timeout > 0:
            raise BadOption("BAD_OPTION", f"timeout must be a number of seconds above 0 or None, not {self.timeout!r}")


def parse_url(url: str) -> str | tuple[str, int]:
    """The path of a Unix socket, or host and port."""
    if url.startswith("unix:///"):
        return url[len("unix://") :]
    parts = urlsplit(url)
    try:
        if parts.scheme == "tcp" and parts.hostname and parts.port and not parts.path:
            return parts.hostname, parts.port
    except ValueError:
        pass
    raise BadOption("BAD_OPTION", f"an address is tcp://host:port, tcp://[ipv6]:port or unix:///absolute/path, not {url!r}")


@dataclass
class Message:
    kind: int
    meta: dict[str, Any]
    body: memoryview
    """A view of a slab; empty for everything but a cell."""
    bytes: int
    """Length of the whole frame: what it costs in credit."""


class Link:
    """A connection that has been welcomed. One thread at a time."""

    def __init__(self, options: Options, fingerprint: str | None, slabs: Slabs) -> None:
        self._url = options.url
        self._timeout = options.timeout
        self._slabs = slabs
        self._prefix = bytearray(PREFIX_BYTES)
        self._pid = os.getpid()
        self._socket = _open_socket(options)
        try:
            hello: dict[str, Any] = {"protocol": PROTOCOL_VERSION, "format": options.image_format, "client": options.name}
            if options.token is not None:
                hello["token"] = options.token
            if fingerprint is not None:
                hello["fingerprint"] = fingerprint
            self.send(frame.HELLO, hello)
            welcome = self.receive()
            if welcome.kind != frame.WELCOME:
                raise ProtocolError("PROTOCOL", f"the server answered hello with a message of kind {welcome.kind}")
            if integer(welcome.meta, "protocol") != PROTOCOL_VERSION:
                raise ProtocolError("PROTOCOL", f"the server speaks protocol {welcome.meta['protocol']}, this client {PROTOCOL_VERSION}")
            self.info: Info = read_info(mapping(welcome.meta, "info"))
            self.place: Place = read_place(welcome.meta)
        except BaseException:
            self.close()
            raise

    def send(self, kind: int, meta: dict[str, Any]) -> None:
        try:
            self._socket.sendall(frame.pack_frame(kind, meta))
        except TimeoutError:
            raise self._silent("took nothing") from None
        except OSError as error:
            # The server may have said why before it closed.
            self._last_words()
            raise self._lost(error) from None

    def receive(self) -> Message:
        """The next message. An error that ends the connection is raised; one that ends a request is a message."""
        self._fill(memoryview(self._prefix))
        kind, meta_bytes, body_bytes = frame.read_prefix(self._prefix, MAX_FRAME_BYTES)
        if body_bytes > 0 and kind != frame.CELL:
            raise ProtocolError("PROTOCOL", "only a cell has a body")
        packed = bytearray(meta_bytes)
        self._fill(memoryview(packed))
        body = self._slabs.take(body_bytes) if body_bytes > 0 else memoryview(b"")
        if body_bytes > 0:
            self._fill(body)
        meta = frame.unpack_meta(memoryview(packed))
        if kind == frame.ERROR and meta.get("id") is None:
            code, message = text(meta, "code"), text(meta, "message")
            if code == "CLOSED":
                raise ConnectionLost("CONNECTION_LOST", f"{self._url}: {message}")
            raise error_of(code, message)
        return Message(kind, meta, body, PREFIX_BYTES + meta_bytes + body_bytes)

    def close(self) -> None:
        """In a forked child this closes the child's descriptor only: the parent's connection goes on."""
        self._socket.close()

    def abort(self) -> None:
        """Wakes the thread that waits in receive(). Never does anything to the connection of a parent process."""
        if os.getpid() != self._pid:
            return
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _fill(self, view: memoryview) -> None:
        """Reads straight into the final place."""
        receive = self._socket.recv_into
        while view:
            try:
                got = receive(view)
            except TimeoutError:
                raise self._silent("sent nothing") from None
            except OSError as error:
                raise self._lost(error) from None
            if got == 0:
                raise ConnectionLost("CONNECTION_LOST", f"{self._url}: the server closed the connection")
            view = view[got:]

    def _last_words(self) -> None:
        try:
            while self.receive().kind != frame.ERROR:
                pass
        except ConnectionLost:
            pass

    def _lost(self, error: OSError) -> ConnectionLost:
        return ConnectionLost("CONNECTION_LOST", f"{self._url}: {error}")

    def _silent(self, what: str) -> TimedOut:
        return TimedOut("CONNECTION_LOST", f"{self._url}: the server {what} for {self._timeout} s")


def _open_socket(options: Options) -> socket.socket:
    address = parse_url(options.url)
    try:
        if isinstance(address, str):
            opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                opened.connect(address)
                opened.settimeout(options.timeout)
            except BaseException:
                opened.close()
                raise
            return opened
        opened = socket.create_connection(address, timeout=_CONNECT_SECONDS)
        opened.settimeout(options.timeout)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A host that vanishes without a word is noticed after about two minutes.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if sys.platform == "linux":
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6)
        return opened
    except TimeoutError:
        raise TimedOut("CONNECTION_LOST", f"can't connect to {options.url} within {_CONNECT_SECONDS} s") from None
    except OSError as error:
        raise ConnectionLost("CONNECTION_LOST", f"can't connect to {options.url}: {error}") from None


class Dialer:
    """Opens connections to one stream: the first welcome decides which stream that is. May be used by several threads."""

    def __init__(self, options: Options, fingerprint: str | None = None) -> None:
        self.options = options
        self.fingerprint = fingerprint
        self.closed = False

    def open(self, slabs: Slabs) -> Link:
        if self.closed:
            raise Closed("CLOSED", f"the client of {self.options.url} has been closed")
        link = Link(self.options, self.fingerprint, slabs)
        self.fingerprint = link.info.fingerprint
        return link

    def persist(self, attempt: Callable[[], T], stopped: Callable[[float], bool]) -> T:
        """Repeats an attempt that lost its connection, with growing pauses, for as long as the options say.

        `stopped` waits for so many seconds and tells whether to give up.
        """
        deadline: float | None = None
        pause = _FIRST_PAUSE
        while True:
            patience = self.options.wait if self.fingerprint is None else self.options.reconnect
            try:
                return attempt()
            except TimedOut:
                raise
            except ConnectionLost:
                now = time.monotonic()
                if deadline is None:
                    deadline = now + patience
                if now + pause > deadline or stopped(pause):
                    raise
                pause = min(2 * pause, _LONGEST_PAUSE)


class Refused(Exception):
    """The server ended a request with an error; the connection is as good as before."""

    def __init__(self, error: Error) -> None:
        super().__init__(error)
        self.error = error
