"""Losing the server, finding it again, and what is refused."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import Serve, silent_server

import ssl_r1


def test_reconnects_to_a_server_that_was_killed(serve: Serve, tmp_path: Path) -> None:
    listen = f"unix://{tmp_path}/s.sock"
    server = serve(listen=listen)
    with ssl_r1.connect(listen) as client, client.stream() as stream, client.stream(prefetch=0) as plain:
        digests = [client.get(step).digest() for step in range(4)]
        assert [next(stream).digest(), next(plain).digest()] == [digests[0]] * 2
        server.kill()
        server = serve(listen=listen)
        assert client.get(1).digest() == digests[1]
        assert [next(stream).digest() for _ in range(3)] == digests[1:]
        assert [next(plain).digest() for _ in range(3)] == digests[1:]
        server.kill()
        serve(listen=listen, fingerprint="sha256:other")
        with pytest.raises(ssl_r1.OtherStream, match="sha256:other"):
            client.get(1)
        with pytest.raises(ssl_r1.OtherStream):
            list(plain)


def test_patience_ends(serve: Serve) -> None:
    server = serve()
    with ssl_r1.connect(server.url, reconnect=0.2) as client:
        client.get(0)
        server.stop()
        with pytest.raises(ssl_r1.ConnectionLost) as caught:
            client.get(1)
        assert caught.value.code == "CONNECTION_LOST"
        with pytest.raises(ssl_r1.ConnectionLost):
            next(client.stream())


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(ssl_r1.ConnectionLost, match=r"nobody\.sock"):
        ssl_r1.connect(f"unix://{tmp_path}/nobody.sock").get(0)


def test_waits_for_a_server_that_starts_later(serve: Serve, tmp_path: Path) -> None:
    listen = f"unix://{tmp_path}/late.sock"
    with ssl_r1.connect(listen, wait=60) as client:
        found: list[ssl_r1.Batch] = []
        thread = threading.Thread(target=lambda: found.append(client.get(0)))
        thread.start()
        serve(listen=listen)
        thread.join(60)
        assert len(found) == 1


def test_tokens_and_fingerprints(serve: Serve) -> None:
    server = serve(token="secret")
    for token in (None, "", "Secret", "secret "):
        with pytest.raises(ssl_r1.Unauthorized):
            ssl_r1.connect(server.url, token=token).get(0)
    assert len(ssl_r1.connect(server.url, token="secret").get(0)) == 8
    with pytest.raises(ssl_r1.OtherStream):
        ssl_r1.connect(server.url, token="secret", fingerprint="sha256:mine").get(0)


@pytest.mark.parametrize("welcome", [False, True])
def test_a_silent_server(welcome: bool) -> None:
    with silent_server(welcome) as url, pytest.raises(ssl_r1.TimedOut, match=r"sent nothing for 0.1 s"):
        ssl_r1.connect(url, timeout=0.1).get(0)


def test_an_interrupted_call_leaves_nothing_behind(serve: Serve) -> None:
    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    with silent_server(welcome=True) as url, ssl_r1.connect(url) as client:
        assert client.info.batch == 4
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(Interrupted):
                client.get(0)
        finally:
            signal.signal(signal.SIGALRM, before)
        assert client._link is None


def test_closed(url: str) -> None:
    client = ssl_r1.connect(url)
    client.get(0)
    stream = client.stream()
    client.close()
    client.close()
    with pytest.raises(ssl_r1.Closed):
        client.get(0)
    with pytest.raises(ssl_r1.Closed):
        next(stream)


@pytest.mark.parametrize("bad", ["", "tcp://host", "http://127.0.0.1:1", "unix://relative", "tcp://127.0.0.1:99999", "tcp://h:1/path"])
def test_addresses(bad: str) -> None:
    with pytest.raises(ssl_r1.BadOption):
        ssl_r1.connect(bad)


@pytest.mark.parametrize("option", [{"image_format": "gif"}, {"on_failed": "shrug"}, {"timeout": 0}])
def test_options(option: dict[str, Any]) -> None:
    with pytest.raises(ssl_r1.BadOption):
        ssl_r1.connect("tcp://127.0.0.1:1", **option)
