"""Several loaders over mutual TLS: lanes read and write one connection in one thread, and find what TLS has already taken in."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Serve
from test_fleet import SHAPE, connect, digests, lanes, plain, until
from test_tls import certificates, known, secured

import ssl_r1
from ssl_r1.loaders import Pace

__all__ = ["certificates", "digests", "plain"]  # fixtures


@pytest.mark.parametrize("prefetch", [0, 2])
def test_stream(serve: Serve, certificates: Path, digests: list[str], prefetch: int) -> None:
    urls = [secured(serve, certificates, mutual=True, near=near, **SHAPE) for near in ("0,1", "2,3")]
    with connect(urls, hedge=5.0, stall=5.0, **known(certificates)) as client:
        assert [batch.digest() for batch in client.stream(0, 12, prefetch=prefetch)] == digests[:12]
        assert client.refresh() == client.info
        assert [loader.state for loader in client.loaders] == ["used", "used"]
    until(lambda: lanes() == 0)


def test_a_name_is_what_the_certificate_is_for(serve: Serve, certificates: Path, digests: list[str]) -> None:
    port = secured(serve, certificates, **SHAPE).rsplit(":", 1)[1]
    for name, good in (("localhost", True), ("other.example", False)):
        with ssl_r1.connect(f"dns+tls://{name}:{port}", ca=str(certificates / "ca.pem")) as client:
            client._pace = Pace(resolve=lambda host, port: ["127.0.0.1"])
            if good:
                assert client.get(3).digest() == digests[3]
                assert client.loaders[0].address == f"tls://127.0.0.1:{port}"
            else:
                with pytest.raises(ssl_r1.Unauthorized, match="not trusted"):
                    client.get(3)
