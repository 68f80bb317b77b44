"""A client that follows a pool: where its loaders listen, and how long its trainer waits, goes between its process and the keeper."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import ray
from ray.exceptions import ActorDiedError, RayError

from .autoscale import Meter
from .client import Client, connect
from .keeper import Listing, Recipe
from .link import Dialer, Options
from .model import Batch
from .stream import Feed

#: How long a process waits for news of its pool, at most: so often it also tells how long it waited for batches.
_REPORT_SECONDS: Final = 2.0
#: For an answer, where the keeper is there at all.
_ASK_SECONDS: Final = 20.0
#: Before a keeper that Ray restarts is asked again.
_PAUSE: Final = 0.5


class PoolClient(Client):
    """A Client whose list of loaders follows a pool, and whose waiting the pool is told of. Pickled it finds the pool again by its name."""

    _pool: tuple[str, str]
    _meter: Meter

    def get(self, step: int, slots: Sequence[int] | None = None) -> Batch:
        with self._meter:
            return super().get(step, slots)

    def feed(self, step: int, end: int | None, slots: list[int] | None, prefetch: int) -> Feed:
        return _MeteredFeed(super().feed(step, end, slots, prefetch), self._meter)

    def __reduce__(self) -> tuple[Any, ...]:
        return _revived, (self._pool, *self.__getstate__())


class _MeteredFeed:
    def __init__(self, feed: Feed, meter: Meter) -> None:
        self._feed = feed
        self._meter = meter
        self.stop = feed.stop
        self.close = feed.close

    def next(self) -> Batch | None:
        with self._meter:
            return self._feed.next()


def client_of(keeper: Any, recipe: Recipe, pool: tuple[str, str], options: Mapping[str, Any]) -> PoolClient:
    follower = _following(keeper, recipe)
    plain = connect(follower.url, **{"token": recipe.token, "wait": 60.0, **options})
    client = PoolClient(plain._dialer, plain._given, plain._on_event)
    client._pool, client._meter = pool, follower.meter
    return client


def _revived(pool: tuple[str, str], options: Options, fingerprint: str | None, given: tuple[str, ...], position: int, several: bool) -> PoolClient:
    """In a process of the cluster, perhaps on another machine, the list is its own; elsewhere it is that of the process that pickled the client."""
    meter = Meter()
    if ray.is_initialized():
        keeper = ray.get_actor(pool[0], namespace=pool[1])
        follower = _following(keeper, ray.get(keeper.recipe.remote()))
        options, given, meter = replace(options, url=follower.url), (follower.url,), follower.meter
    client = PoolClient(Dialer(options, fingerprint), given, None, position, several)
    client._pool, client._meter = pool, meter
    return client


class Follower:
    """Keeps a pool's addresses in a file of this process, from which also its children read them: Ray itself does not survive a fork."""

    def __init__(self, keeper: Any) -> None:
        self._keeper = keeper
        self._folder = tempfile.mkdtemp(prefix="ssl-r1-pool-")
        self._file = os.path.join(self._folder, "loaders.txt")
        self.url = f"file://{self._file}"
        self.meter = Meter()
        self.ended = False
        self._write(ray.get(keeper.listing.remote()))
        self._remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        threading.Thread(target=self._run, name="ssl_r1 pool", daemon=True).start()

    def _write(self, listing: Listing) -> None:
        self._listing = listing
        if not listing.addresses and os.path.exists(self._file):
            # All of them are being started: who was there is no worse than nobody.
            return
        # Replaced in one go: nobody reads half of it.
        with open(f"{self._file}.new", "w", encoding="utf-8") as file:
            file.writelines(f"{address}\n" for address in listing.addresses)
        os.replace(f"{self._file}.new", self._file)

    def _run(self) -> None:
        # Ray would try again by itself, and write a line about it.
        ask = self._keeper.listing.options(max_task_retries=0)
        while True:
            try:
                call = ask.remote(self._listing.version, _REPORT_SECONDS, *self.meter.take())
                listing: Listing = ray.get(call, timeout=_ASK_SECONDS)
                if listing.addresses != self._listing.addresses:
                    self._write(listing)
                self._listing = listing
            except ActorDiedError:
                # The pool has been closed. One of the same name that comes later is another one.
                self.ended = True
                self._remove()
                return
            except (RayError, OSError):
                # The keeper is being restarted: the last list is as good as any.
                time.sleep(_PAUSE)


#: Of this process: clients of one pool share a file.
_followers: dict[tuple[int, str], Follower] = {}
_followers_lock = threading.Lock()


def _following(keeper: Any, recipe: Recipe) -> Follower:
    key = (os.getpid(), recipe.id)
    with _followers_lock:
        follower = _followers.get(key)
        if follower is None or follower.ended:
            follower = _followers[key] = Follower(keeper)
        return follower
