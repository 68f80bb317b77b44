"""One connection to a server, from hello to the end, and the patience to make another."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from . import frame
from .errors import BadOption, Closed, ConnectionLost, Error, OtherStream, ProtocolError, TimedOut, error_of
from .frame import MAX_FRAME_BYTES, PREFIX_BYTES, PROTOCOL_VERSION
from .model import Info, Place, integer, mapping, read_info, read_place, text
from .slabs import Slabs
from .tls import context_of, failure_of, secure

T = TypeVar("T")

IMAGE_FORMATS: Final = ("raw", "jpeg", "png")
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_CONNECT_SECONDS: Final = 30.0
_first = threading.Lock()


@dataclass(frozen=True)
class Options:
    """What connect() was called with: this is all that travels to another process."""

    url: str
    token: str | None = field(repr=False)
    image_format: str
    timeout: float | None
    reconnect: float
    wait: float
    on_failed: str
    copy: bool
    name: str
    token_file: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    server_name: str | None = None
    """What a server's certificate must be for; the host of the address where it is None."""
    stall: float = 30.0
    hedge: float | None = None
    checksum: bool | None = None

    def check(self) -> None:
        if self.image_format not in IMAGE_FORMATS:
            raise BadOption("BAD_OPTION", f"image_format must be one of {', '.join(IMAGE_FORMATS)}, not {self.image_format!r}")
        if self.on_failed not in ("raise", "skip"):
            raise BadOption("BAD_OPTION", f"on_failed must be 'raise' or 'skip', not {self.on_failed!r}")
        if self.timeout is not None and not self.timeout > 0:
            raise BadOption("BAD_OPTION", f"timeout must be a number of seconds above 0 or None, not {self.timeout!r}")
        if self.key is not None and self.cert is None:
            raise BadOption("BAD_OPTION", "key is given without cert")
        if not self.stall > 0:
            raise BadOption("BAD_OPTION", f"stall must be a number of seconds above 0, not {self.stall!r}")
        if self.hedge is not None and not self.hedge > 0:
            raise BadOption("BAD_OPTION", f"hedge must be a number of seconds above 0 or None, not {self.hedge!r}")

    def current_token(self) -> str | None:
        """Read anew for each connection, so that a token may be exchanged while a trainer runs."""
        if self.token is not None:
            return self.token
        if self.token_file is None:
            return os.environ.get("SSL_R1_TOKEN") or None
        try:
            with open(self.token_file, encoding="utf-8") as file:
                lines = [line.strip() for line in file]
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise BadOption("BAD_OPTION", f"token_file: can't read {self.token_file}: {reason}") from None
        found = [line for line in lines if line and not line.startswith("#")]
        if not found:
            raise BadOption("BAD_OPTION", f"token_file: there is no token in {self.token_file}")
        return found[0]


def parse_url(url: str) -> str | tuple[str, int]:
    """The path of a Unix socket, or host and port."""
    if url.startswith("unix:///"):
        return url[len("unix://") :]
    parts = urlsplit(url)
    try:
        if parts.scheme in ("tcp", "tls") and parts.hostname and parts.port and not parts.path:
            return parts.hostname, parts.port
    except ValueError:
        pass
    raise BadOption("BAD_OPTION", f"an address is tcp://host:port, tls://host:port ([ipv6] in brackets) or unix:///absolute/path, not {url!r}")


def is_open_way(url: str) -> bool:
    """Whether bytes may be damaged on the way: over a network that does not encrypt, whose own checksums let one of many millions through."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme == "tcp" and host not in ("localhost", "::1") and not host.startswith("127.")


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
            hello["checksum"] = is_open_way(options.url) if options.checksum is None else options.checksum
            token = options.current_token()
            if token is not None:
                hello["token"] = token
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
        meta = frame.open_frame(self._prefix, packed, body)
        if kind == frame.ERROR and meta.get("id") is None:
            code, message = text(meta, "code"), text(meta, "message")
            if code == "CLOSED":
                raise ConnectionLost("CONNECTION_LOST", f"{self._url}: {message}")
            raise error_of(code, message)
        return Message(kind, meta, body, PREFIX_BYTES + meta_bytes + body_bytes)

    def fileno(self) -> int:
        return self._socket.fileno()

    def pending(self) -> bool:
        """Whether bytes have come that the socket no longer shows as readable, as TLS has them."""
        waiting = getattr(self._socket, "pending", None)
        return waiting is not None and waiting() > 0

    def close(self) -> None:
        """In a forked child this closes the child's descriptor only: the parent's connection goes on."""
        self._socket.close()

    def abort(self) -> None:
        """Wakes the thread that waits in receive(). Never does anything to the connection of a parent process."""
        if os.getpid() != self._pid:
            return
        with contextlib.suppress(OSError):
            # Not the TLS socket's own, which drops the encryption first: the other thread might be about to send.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

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

    def _lost(self, error: OSError) -> Error:
        return failure_of(self._url, error)

    def _silent(self, what: str) -> TimedOut:
        return TimedOut("CONNECTION_LOST", f"{self._url}: the server {what} for {self._timeout} s")


def _open_socket(options: Options) -> socket.socket:
    address = parse_url(options.url)
    context = context_of(options.ca, options.cert, options.key) if options.url.startswith("tls://") else None
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
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A host that vanishes without a word is noticed after about two minutes.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if sys.platform == "linux":
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6)
        try:
            if context is not None:
                opened = secure(opened, context, options.server_name or address[0])
        except BaseException:
            opened.close()
            raise
        opened.settimeout(options.timeout)
        return opened
    except TimeoutError:
        raise TimedOut("CONNECTION_LOST", f"can't connect to {options.url} within {_CONNECT_SECONDS} s") from None
    except ssl.SSLError as error:
        raise failure_of(options.url, error) from None
    except OSError as error:
        raise ConnectionLost("CONNECTION_LOST", f"can't connect to {options.url}: {error}") from None


class Dialer:
    """Opens connections to one stream: the first welcome decides which stream that is. May be used by several threads."""

    def __init__(self, options: Options, fingerprint: str | None = None) -> None:
        self.options = options
        self.fingerprint = fingerprint
        self.closed = False

    def open(self, slabs: Slabs) -> Link:
        """The only connection there is. Several where the server tells of others."""
        link = self.dial(self.options, slabs)
        if link.place.loaders is not None:
            link.close()
            raise Several
        return link

    def open_one(self, slabs: Slabs, address: str, timeout: float, name: str | None) -> Link:
        """A connection to one of several; `timeout` as in Options. `name`: the one behind an address that was looked up."""
        return self.dial(replace(self.options, url=address, timeout=timeout, server_name=self.options.server_name or name), slabs)

    def dial(self, options: Options, slabs: Slabs) -> Link:
        if self.closed:
            raise Closed("CLOSED", f"the client of {self.options.url} has been closed")
        link = Link(options, self.fingerprint, slabs)
        found = link.info.fingerprint
        # Two that are welcomed at the same time: one of them says which stream it is.
        with _first:
            if self.fingerprint is None:
                self.fingerprint = found
        if self.fingerprint != found:
            link.close()
            raise OtherStream("OTHER_STREAM", f"{options.url}: the server's stream is {found[:200]}, not {self.fingerprint}")
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


class Several(Exception):
    """The server tells of other loaders: one connection is not all there is."""


class Refused(Exception):
    """The server ended a request with an error; the connection is as good as before."""

    def __init__(self, error: Error) -> None:
        super().__init__(error)
        self.error = error
