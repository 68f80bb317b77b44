"""Stands between a client and a real server and does to its messages what a test wants."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

from ssl_r1 import frame
from ssl_r1.link import parse_url

#: What becomes of a message of the server: the bytes to send in its place.
Rule = Callable[[int, dict[str, Any], bytes], bytes]


class Cut(Exception):
    """Send these bytes, then close."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__()
        self.data = data


def same(kind: int, meta: dict[str, Any], body: bytes) -> bytes:
    return frame.pack_frame(kind, meta, body)


class Proxy:
    """`rule` may be exchanged at any time; it may block (the loader then hangs) and raise Cut."""

    def __init__(self, target: str, rule: Rule = same) -> None:
        self.rule = rule
        self.asked: list[tuple[int, dict[str, Any]]] = []
        """Messages of clients."""
        self.connections = 0
        self._target = target
        self._open: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            target = parse_url(self._target)
            family = socket.AF_UNIX if isinstance(target, str) else socket.AF_INET
            server = socket.socket(family)
            try:
                server.connect(target)
            except OSError:
                client.close()
                continue
            self._open += [client, server]
            threading.Thread(target=self._both, args=(client, server), daemon=True).start()

    def _both(self, client: socket.socket, server: socket.socket) -> None:
        down = threading.Thread(target=self._down, args=(server, client), daemon=True)
        down.start()
        self._up(client, server)
        down.join()
        for each in (client, server):
            each.close()
            self._open.remove(each)

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while (got := _read(client)) is not None:
                self.asked.append(got[:2])
                server.sendall(frame.pack_frame(*got))
        _end(server)

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        try:
            while (got := _read(server)) is not None:
                client.sendall(self.rule(*got))
        except Cut as cut:
            with contextlib.suppress(OSError):
                client.sendall(cut.data)
        except OSError:
            pass
        _end(client)
        _end(server)

    def cut(self) -> None:
        """Every connection that there is."""
        for each in list(self._open):
            _end(each)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.cut()


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


def _read(one: socket.socket) -> tuple[int, dict[str, Any], bytes] | None:
    prefix = _exactly(one, 16)
    if prefix is None:
        return None
    kind, meta, body = frame.read_prefix(prefix)
    rest = _exactly(one, meta + body)
    return None if rest is None else (kind, frame.unpack_meta(rest[:meta]), rest[meta:])


def _exactly(one: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        got = one.recv(size - len(data))
        if not got:
            return None
        data += got
    return data
