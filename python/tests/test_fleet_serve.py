"""Loaders as users run them (`ssl-r1 serve --node i/N`), killed and stopped in the middle of a run."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from test_fleet import connect, until

import ssl_r1

OPTIONS = [
    "--entries",
    "rotation*2,ordering",
    "--log-level",
    "silent",
    "--batch",
    "16",
    "--partitions",
    "4",
    "--seed",
    "7",
    "--max-pixels",
    "20000",
    "--min-pixels",
    "5000",
    "--workers",
    "1",
]


class Serving:
    """`ssl-r1 serve` of the sample shards."""

    def __init__(self, listen: str, *flags: str) -> None:
        node = [str(ROOT / "node_modules" / ".bin" / "node"), "--max-semi-space-size=2", "--heap-growing-percent=30"]
        command = [*node, str(ROOT / "src" / "cli" / "main.ts"), "serve", str(ROOT / "shards"), "--listen", listen, "--json", "--until-eof"]
        self.process = subprocess.Popen(
            [*command, *OPTIONS, *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._url: str | None = None

    @property
    def url(self) -> str:
        """Waits until it listens."""
        if self._url is None:
            assert self.process.stdout is not None
            self._url = str(json.loads(self.process.stdout.readline())["listening"])
        return self._url

    def end(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.communicate()


Start = Callable[..., Serving]


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    all: list[Serving] = []

    def one(listen: str, *flags: str) -> Serving:
        all.append(Serving(listen, *flags))
        return all[-1]

    yield one
    for each in all:
        each.end()


def test_killed_stopped_and_back(start: Start, tmp_path: Path) -> None:
    urls = [f"unix://{tmp_path}/{name}" for name in "abc"]
    plain = start("tcp://127.0.0.1:0")
    nodes = [start(url, "--node", f"{i}/3") for i, url in enumerate(urls)]
    with ssl_r1.connect(plain.url) as client:
        digests = [batch.digest() for batch in client.stream(0, 20, prefetch=3)]
        state = client.state()
    plain.end()
    assert [node.url for node in nodes] == urls
    with connect(urls, stall=1.0) as client, client.stream(prefetch=2) as stream:
        found = [next(stream).digest() for _ in range(4)]
        assert [loader.near for loader in client.loaders] == [[0, 1], [2], [3]]
        nodes[0].end()
        found += [next(stream).digest() for _ in range(4)]
        nodes[1].process.send_signal(signal.SIGSTOP)
        found += [next(stream).digest() for _ in range(4)]
        nodes[0] = start(urls[0], "--node", "0/3")
        nodes[1].process.send_signal(signal.SIGCONT)
        until(lambda: [loader.state for loader in client.loaders] == ["used"] * 3)
        found += [next(stream).digest() for _ in range(4)]
        for node in nodes[1:]:
            node.process.terminate()
        found += [next(stream).digest() for _ in range(4)]
        assert found == digests
        assert client.state() == state


def test_slots_that_do_not_exist(start: Start) -> None:
    """A finite stream whose batches lack slots, here and there, and at its end."""
    flags = ["--passes", "1"]
    plain, *nodes = (start("tcp://127.0.0.1:0", *flags, *more) for more in ([], ["--node", "0/2"], ["--node", "1/2"]))
    with ssl_r1.connect(plain.url, on_failed="skip") as client:
        wanted = [(len(batch), batch.digest()) for batch in client.stream(prefetch=3)]
    with connect([node.url for node in nodes], on_failed="skip") as client:
        assert [(len(batch), batch.digest()) for batch in client.stream(prefetch=3)] == wanted
        assert client.state()["step"] == len(wanted)
        assert [loader.state for loader in client.loaders] == ["used", "used"]
    assert {length for length, _ in wanted} != {16}
