"""A real server, in Node, of a maker that makes no puzzles but predictable pixels."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "python"))


class FakeServer:
    """test/transport/fake-server.ts as a process; options as its command line has them."""

    def __init__(self, **options: object) -> None:
        own = ROOT / "node_modules" / ".bin" / "node"
        node = str(own) if own.exists() else shutil.which("node")
        assert node is not None, "these tests need Node"
        command = [node, str(ROOT / "test" / "transport" / "fake-server.ts")]
        command += [f"--{name}" if value is True else f"--{name}={value}" for name, value in options.items()]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url: str = json.loads(self._process.stdout.readline())["address"]

    def stop(self) -> dict[str, Any]:
        """Closes it and returns its counts. Every cell must have been released, whatever the client did."""
        out, _ = self._process.communicate(timeout=60)
        counts: dict[str, Any] = json.loads(out)
        assert counts["released"] == counts["made"]
        assert counts["twice"] == 0
        assert counts["closed"] == counts["opened"]
        return counts

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def running(self) -> bool:
        return self._process.poll() is None


Serve = Callable[..., FakeServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[FakeServer] = []

    def start(**options: object) -> FakeServer:
        servers.append(FakeServer(**options))
        return servers[-1]

    yield start
    for server in servers:
        if server.running:
            server.stop()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server that the tests of a module share: 8 puzzles a batch in two cells, two images of 6 x 6 each, without end."""
    server = FakeServer()
    yield server.url
    server.stop()


class silent_server:
    """Takes connections, and at most welcomes them."""

    def __init__(self, welcome: bool = False, answer: bytes = b"") -> None:
        self._welcome = welcome
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []

    def __enter__(self) -> str:
        threading.Thread(target=self._accept, daemon=True).start()
        return f"tcp://127.0.0.1:{self._socket.getsockname()[1]}"

    def _accept(self) -> None:
        from ssl_r1 import frame

        info = {"version": 1, "fingerprint": "f", "seed": 1, "batch": 4, "partitions": 1, "entries": [], "shards": 1}
        info |= {"samples": 1, "counted": True, "steps": None, "skipped": {}}
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            self._open.append(client)
            if self._welcome:
                client.sendall(frame.pack_frame(frame.WELCOME, {"protocol": 1, "info": info}) + self._answer)

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for client in self._open:
            client.close()
