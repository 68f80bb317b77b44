"""TLS and tokens from files, against the server in Node."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Serve, silent_server

import ssl_r1
from ssl_r1.link import Options


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One authority with a server for loopback and a client, and a stranger with the like."""
    folder = tmp_path_factory.mktemp("certificates")
    own = ROOT / "node_modules" / ".bin" / "node"
    node = str(own) if own.exists() else shutil.which("node")
    assert node is not None
    subprocess.run([node, str(ROOT / "test" / "fixtures" / "certificates.ts"), str(folder)], check=True)
    return folder


def secured(serve: Serve, certificates: Path, mutual: bool = False, **more: object) -> str:
    files: dict[str, object] = {"tls-cert": certificates / "server.pem", "tls-key": certificates / "server.key"}
    if mutual:
        files["tls-client-ca"] = certificates / "ca.pem"
    return serve(listen="tls://127.0.0.1:0", **files, **more).url


def known(certificates: Path) -> dict[str, Any]:
    return {"ca": str(certificates / "ca.pem"), "cert": str(certificates / "client.pem"), "key": str(certificates / "client.key")}


def expect_pixels(batch: ssl_r1.Batch) -> None:
    assert len(batch.puzzles) == 8
    for puzzle in batch.puzzles:
        for number, image in enumerate(puzzle.images):
            data = bytes(image.data)
            assert data == bytes((puzzle.index * 31 + number * 101 + at * 7 + (at >> 8)) & 0xFF for at in range(len(data)))


def test_batches_arrive_bit_for_bit(serve: Serve, certificates: Path) -> None:
    url = secured(serve, certificates, side=120)
    with ssl_r1.connect(url, ca=str(certificates / "ca.pem"), reconnect=0) as client:
        expect_pixels(client.get(3))
        for prefetch in (0, 2):
            with client.stream(5, 4, prefetch=prefetch) as batches:
                assert [batch.step for batch in batches if expect_pixels(batch) is None] == [5, 6, 7, 8]


def test_the_server_must_be_trusted_and_of_that_name(serve: Serve, certificates: Path) -> None:
    url = secured(serve, certificates)
    for options in ({}, {"ca": str(certificates / "other.pem")}, {"ca": str(certificates / "ca.pem"), "server_name": "other.example"}):
        with pytest.raises(ssl_r1.Unauthorized, match="not trusted"):
            ssl_r1.connect(url, reconnect=60, wait=60, **options).get(0)
    named = ssl_r1.connect(url, ca=str(certificates / "ca.pem"), server_name="localhost")
    expect_pixels(named.get(0))
    named.close()


def test_mutual_tls(serve: Serve, certificates: Path) -> None:
    url = secured(serve, certificates, mutual=True)
    with ssl_r1.connect(url, **known(certificates)) as client:
        expect_pixels(client.get(0))
    with pytest.raises(ssl_r1.Unauthorized, match="certificate"):
        ssl_r1.connect(url, ca=str(certificates / "ca.pem"), reconnect=60, wait=60).get(0)
    stranger = {"cert": str(certificates / "stranger.pem"), "key": str(certificates / "stranger.key")}
    with pytest.raises((ssl_r1.ConnectionLost, ssl_r1.Unauthorized)):
        ssl_r1.connect(url, ca=str(certificates / "ca.pem"), reconnect=0, **stranger).get(0)


def test_plain_text_where_tls_is_spoken_and_the_other_way_round(serve: Serve, certificates: Path, url: str) -> None:
    secure = secured(serve, certificates)
    with pytest.raises(ssl_r1.ConnectionLost):
        ssl_r1.connect(secure.replace("tls:", "tcp:"), reconnect=0).get(0)
    with pytest.raises(ssl_r1.Error) as caught:
        ssl_r1.connect(url.replace("tcp:", "tls:"), ca=str(certificates / "ca.pem"), reconnect=0).get(0)
    assert caught.value.code in ("PROTOCOL", "CONNECTION_LOST")


@pytest.mark.parametrize("options", [{"key": "x"}, {"ca": "/none"}, {"cert": "/none", "key": "/none"}, {"token_file": "/none"}])
def test_files_that_are_of_no_use(serve: Serve, certificates: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ssl_r1.BadOption):
        ssl_r1.connect(secured(serve, certificates), **{"ca": str(certificates / "ca.pem"), **options}).get(0)


def test_a_client_is_pickled_with_its_files(serve: Serve, certificates: Path) -> None:
    url = secured(serve, certificates, mutual=True)
    with ssl_r1.connect(url, **known(certificates)) as client:
        expect_pixels(client.get(0))
        with pickle.loads(pickle.dumps(client)) as other:
            expect_pixels(other.get(1))


def _child(client: ssl_r1.Client, queue: Any) -> None:
    queue.put(client.get(2).step)


def test_a_forked_child_leaves_the_connection_of_its_parent_alone(serve: Serve, certificates: Path) -> None:
    url = secured(serve, certificates)
    with ssl_r1.connect(url, ca=str(certificates / "ca.pem"), reconnect=0) as client:
        expect_pixels(client.get(0))
        fork = multiprocessing.get_context("fork")
        queue = fork.SimpleQueue()
        process = fork.Process(target=_child, args=(client, queue))
        process.start()
        assert queue.get() == 2
        process.join()
        expect_pixels(client.get(1))


def test_close_wakes_a_thread_that_waits(serve: Serve, certificates: Path) -> None:
    url = secured(serve, certificates)
    client = ssl_r1.connect(url, ca=str(certificates / "ca.pem"))
    # A step far behind the end of what is asked for: the thread receives ahead and then waits for credit to be used.
    stream = client.stream(0, prefetch=1)
    next(stream)
    waiting = threading.Event()
    ended: list[BaseException] = []

    def read() -> None:
        waiting.set()
        try:
            while True:
                next(stream)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    waiting.wait()
    client.close()
    stream.close()
    thread.join(20)
    assert not thread.is_alive()
    assert isinstance(ended[0], (ssl_r1.Closed, StopIteration))


def test_a_server_that_never_answers_the_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssl_r1.link._CONNECT_SECONDS", 0.2)
    with silent_server() as url, pytest.raises(ssl_r1.TimedOut):
        ssl_r1.connect(url.replace("tcp:", "tls:"), reconnect=0).get(0)


def test_the_token_of_a_file_is_read_for_each_connection(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = serve(token="secret").url
    file = tmp_path / "token"
    file.write_text("# of today\nwrong\n")
    client = ssl_r1.connect(url, token_file=str(file))
    with pytest.raises(ssl_r1.Unauthorized):
        client.get(0)
    file.write_text("# of today\n\n  secret \nolder\n")
    expect_pixels(client.get(0))
    client.close()
    with pytest.raises(ssl_r1.Unauthorized):
        ssl_r1.connect(url).get(0)
    monkeypatch.setenv("SSL_R1_TOKEN", "secret")
    with ssl_r1.connect(url) as other:
        expect_pixels(other.get(0))


def test_a_token_is_not_shown() -> None:
    assert "secret" not in repr(Options("tcp://h:1", "secret", "raw", 1.0, 1.0, 1.0, "raise", False, "n"))


def test_several_loaders_over_tls(serve: Serve, certificates: Path) -> None:
    # Frames of many TLS records: what OpenSSL has taken from the socket, but not given yet, must not be waited for.
    urls = [secured(serve, certificates, mutual=True, side=120, token="secret") for _ in range(2)]
    with ssl_r1.connect(",".join(urls), token="secret", **known(certificates)) as client:
        for step in range(6):
            expect_pixels(client.get(step))
        with client.stream(6, 10) as batches:
            assert [batch.step for batch in batches if expect_pixels(batch) is None] == list(range(6, 16))
        assert {loader.state for loader in client.loaders} == {"used"}
