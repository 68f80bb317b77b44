"""A pool on a real Ray cluster of this machine: whatever dies, the trainer gets the batches of an undisturbed run, each once."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import ray
from conftest import ROOT
from ray.exceptions import ActorDiedError

import ssl_r1.ray
from ssl_r1 import BadOption, Batch, ConnectionLost, keeper
from ssl_r1.serving import flags

SHARDS = str(ROOT / "shards")
NODE = [str(ROOT / "node_modules" / ".bin" / "node"), "--max-semi-space-size=2", "--heap-growing-percent=30", str(ROOT / "src" / "cli" / "main.ts")]
STEPS = 60
#: Small images: what is tried here is who makes them.
STREAM: dict[str, Any] = {"seed": 7, "batch": 40, "min_pixels": 12544, "max_pixels": 50176}
OPTIONS: dict[str, Any] = {**STREAM, "command": NODE, "timeout": 120}


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    # Not pytest's own folder: the sockets in it would have too long a path.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    # Many loaders are started, each from TypeScript.
    os.environ["NODE_COMPILE_CACHE"] = os.path.join(folder, "compiled")
    small: dict[str, Any] = {"num_cpus": 3, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    context = ray.init(address="local", **small, _temp_dir=folder, logging_level="ERROR", log_to_driver=False)
    yield context.address_info["gcs_address"]
    ray.shutdown()
    del os.environ["NODE_COMPILE_CACHE"]
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def undisturbed() -> list[str]:
    """The digests as the loader's own command prints them, without sockets, Ray or this client."""
    command = [*NODE, "digest", SHARDS, *flags(STREAM), "--steps", f"0..{STEPS - 1}"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split()[1] for line in printed.stdout.splitlines()]


@ray.remote(num_cpus=0)
class Trainer:
    """Takes batches as a trainer on the cluster would: it knows the name of the pool and nothing else."""

    def __init__(self, name: str) -> None:
        self._client = ssl_r1.ray.connect(name)
        self._batches: Iterator[Batch] = iter(self._client.stream())

    def take(self, count: int) -> list[tuple[int, str]]:
        return [(batch.step, batch.digest()) for batch in islice(self._batches, count)]

    def loaders(self) -> set[str]:
        return {loader.address for loader in self._client.loaders if loader.state == "used"}


def until(holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def runs(pid: int | None) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_whatever_dies_the_batches_are_those_of_an_undisturbed_run(cluster: str, undisturbed: list[str]) -> None:
    rng = random.Random(5)
    seen: set[int | None] = set()
    with ssl_r1.ray.start(SHARDS, loaders=2, name="hit", **OPTIONS) as pool:
        trainer: Any = Trainer.remote("hit")

        def actor(no_restart: bool) -> Callable[[], None]:
            return lambda: ray.kill(rng.choice(ray.get(pool._keeper.actors.remote())), no_restart=no_restart)

        def child() -> None:
            pids = [state.pid for state in pool.status() if state.pid is not None]
            if pids:
                os.kill(rng.choice(pids), signal.SIGKILL)

        assert all(urlopen(f"{state.http}/livez").status == 200 for state in pool.status() if state.http is not None)
        hits = [*[actor(False)] * 4, *[child] * 5, actor(True), lambda: ray.kill(pool._keeper, no_restart=False)]
        rng.shuffle(hits)
        taken: list[tuple[int, str]] = []
        for hit in [*hits, lambda: None]:
            seen |= {state.pid for state in pool.status()}
            under_way = trainer.take.remote(STEPS // (len(hits) + 1))
            time.sleep(rng.uniform(0, 0.15))
            hit()
            taken += ray.get(under_way, timeout=120)
        assert taken == list(enumerate(undisturbed[: len(taken)]))
        assert len(taken) == STEPS
        pool.wait(timeout=60)
        seen |= {state.pid for state in pool.status()}
    until(lambda: not any(map(runs, seen - {None})), f"of {seen} some are left")
    with pytest.raises(ActorDiedError):
        pool.status()
    with pytest.raises(ConnectionLost, match="no pool hit"):
        ssl_r1.ray.find("hit")


def test_scaled_in_mid_run(cluster: str, undisturbed: list[str]) -> None:
    with ssl_r1.ray.start(SHARDS, name="scaled", **OPTIONS) as pool:
        trainer: Any = Trainer.remote("scaled")
        taken = ray.get(trainer.take.remote(5))
        for loaders in (3, 2):
            under_way = trainer.take.remote(10)
            pool.scale(loaders)
            pool.wait(timeout=60)
            nodes = [state.node for state in pool.status()]
            assert nodes == [(index, loaders) for index in range(loaders)]
            taken += ray.get(under_way)
            until(lambda: ray.get(trainer.loaders.remote()) == set(pool.addresses()), "the trainer does not follow the pool")
            taken += ray.get(trainer.take.remote(5))
        assert taken == list(enumerate(undisturbed[: len(taken)]))
        with pytest.raises(BadOption, match="loaders: got 0"):
            pool.scale(0)

        # Then by what trainers wait: this one does nothing else ...
        with pool.connect() as client:
            steps = iter(range(10**6))
            pool.autoscale(min=1, max=3, every=1.5, grow_after=1, shrink_after=1, remember=1)
            until(lambda: client.get(next(steps)) is not None and len(pool.addresses()) == 3, "a trainer that waits gets no third loader")
            # ... and then it waits for nothing any more.
            until(lambda: len(pool.status()) == 1, "loaders that nobody waits for stay")
            assert client.get(5).digest() == undisturbed[5]
        with pytest.raises(BadOption, match="min and max"):
            pool.autoscale(min=2, max=1)


#: A driver of its own: it starts two pools, one of which is to outlive it, reads from a third by name, and waits to be killed.
DRIVER = """
import json, sys, ray, ssl_r1.ray
address, shards, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
ray.init(address, logging_level="ERROR", log_to_driver=False)
with ssl_r1.ray.connect("found") as client:
    digest = client.get(3).digest()
pools = [ssl_r1.ray.start(shards, name="stays", detached=True, **options), ssl_r1.ray.start(shards, name="goes", **options)]
print(json.dumps([digest, *(pool.status()[0].pid for pool in pools)]), flush=True)
sys.stdin.read()
"""


def test_drivers_and_clients_come_and_go(cluster: str, undisturbed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with ssl_r1.ray.start(SHARDS, name="found", **OPTIONS) as found:
        same = ssl_r1.ray.start(SHARDS, name="found", get_if_exists=True, **OPTIONS)
        assert same.addresses() == found.addresses()
        with pytest.raises(BadOption, match="there is a pool found"):
            ssl_r1.ray.start(SHARDS, name="found", get_if_exists=True, **{**OPTIONS, "seed": 8})
        with found.connect() as client:
            assert next(client.stream()).step == 0
            # To another process of the cluster, which follows the pool itself, with its position ...
            taken: Any = ray.remote(num_cpus=0)(lambda given: next(given.stream()).digest())
            assert ray.get(taken.remote(client)) == undisturbed[1]
            # ... and to a child that knows nothing of Ray, like the worker of a DataLoader.
            code = "import pickle, sys; client = pickle.load(sys.stdin.buffer); print(client.get(2).digest()); client.close()"
            environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
            child = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(client), stdout=subprocess.PIPE, env=environment, check=True)
            assert child.stdout.decode().strip() == undisturbed[2]
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(ssl_r1.ray, "own_address", lambda: "192.0.2.9")
            with pytest.raises(BadOption, match="loopback of another machine"):
                found.connect()
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, cluster, SHARDS, json.dumps(OPTIONS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT / "python")},
        )
        try:
            assert driver.stdout is not None
            digest, stays, goes = json.loads(driver.stdout.readline())
        finally:
            driver.kill()
            driver.communicate()
        assert digest == undisturbed[3]
    until(lambda: not runs(goes), "the loader of a driver that was killed goes on")
    assert runs(stays)
    with ssl_r1.ray.find("stays") as pool, pool.connect() as client:
        assert client.get(4).digest() == undisturbed[4]
    until(lambda: not runs(stays), "the loader of a closed pool goes on")


def test_what_cannot_be_is_told_at_once(cluster: str) -> None:
    with pytest.raises(BadOption, match="unknown option '--bach'"):
        ssl_r1.ray.start(SHARDS, name="wrong", bach=40, **OPTIONS)
    with pytest.raises(ConnectionLost, match="SOURCE_NOT_FOUND: /nowhere"):
        ssl_r1.ray.start("/nowhere", name="wrong", **OPTIONS)
    with pytest.raises(BadOption, match="listen: every loader"):
        ssl_r1.ray.start(SHARDS, name="wrong", listen="tcp://0.0.0.0:1", **OPTIONS)
    with pytest.raises(BadOption, match="loaders and cpus: got 0 and 1"):
        ssl_r1.ray.start(SHARDS, name="wrong", loaders=0, **OPTIONS)
    with pytest.raises(ConnectionLost, match="no pool wrong"):
        ssl_r1.ray.connect("wrong")


def test_beyond_one_machine_nothing_goes_unprotected(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ssl_r1.ray._host(False, {}) == "127.0.0.1"
    monkeypatch.setattr(ssl_r1.ray, "_nodes", lambda: [{"NodeManagerAddress": "192.0.2.1"}, {"NodeManagerAddress": "192.0.2.2"}])
    with pytest.raises(BadOption, match=r"2 machines.*insecure=True"):
        ssl_r1.ray._host(False, {})
    assert ssl_r1.ray._host(True, {}) is None
    assert ssl_r1.ray._host(False, {"tls_cert": "cert.pem"}) is None


def test_what_a_loader_is_started_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "own_address", lambda: "2001:db8::1")
    recipe = keeper.Recipe(("a", "b"), {"seed": 7, "tls_cert": "c", "tls_key": "k"}, "ssl-r1", "hush", None, "192.0.2.1", "id")
    line = " ".join(recipe.arguments(2))
    assert line.startswith("ssl-r1 serve a b --workers 2 --http 127.0.0.1:0 --seed 7 --tls-cert c --tls-key k")
    assert line.endswith("--listen tls://[2001:db8::1]:0 --json --until-eof")
    # Neither in ps nor in what an actor prints of itself.
    assert "hush" not in line + repr(recipe)
