"""A pool of loaders on a Ray cluster: started, restarted, scaled and found by Ray; batches travel over the loaders' own sockets.

import ssl_r1.ray

pool = ssl_r1.ray.start("shards", seed=7, batch=40, loaders=3)   # in the driver, after ray.init()
client = ssl_r1.ray.connect()                                    # in the trainer, anywhere on the cluster
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final

import ray
from ray.exceptions import RayError

from .autoscale import Rule
from .client import Client
from .errors import BadOption, ConnectionLost
from .following import client_of
from .keeper import Keeper, Placement, Recipe, own_address
from .serving import GRACE, State, flags

NAME: Final = "ssl-r1"
#: Actors of one namespace find each other; Ray's own default is another one for every driver.
NAMESPACE: Final = "ssl-r1"
_ASK_SECONDS: Final = 20.0


def start(
    source: str | Sequence[str],
    *,
    loaders: int = 1,
    name: str = NAME,
    namespace: str = NAMESPACE,
    cpus: int = 1,
    resources: Mapping[str, float] | None = None,
    runtime_env: Mapping[str, Any] | None = None,
    command: str | Sequence[str] | None = None,
    token: str | None = None,
    insecure: bool = False,
    detached: bool = False,
    get_if_exists: bool = False,
    timeout: float = 300.0,
    **options: object,
) -> Pool:
    """Starts a pool and returns when its first loader listens; the others follow.

    source: as for `ssl-r1 serve`; every node that may hold a loader must be able to read it.
    loaders: how many. Each is an actor with one `ssl-r1 serve` as its child, and prefers its share of the partitions.
    cpus: cores that Ray sets aside for a loader, and its worker threads. Loaders never ask for GPUs, and Ray spreads them over the nodes.
    resources, runtime_env: as for a Ray actor; `{"cpu_node": 0.01}` keeps loaders on nodes that have such a resource.
    command: what `ssl-r1` is on the nodes, like "node /opt/ssl-r1/dist/cli/main.js"; else SSL_R1_COMMAND there, `ssl-r1` on the PATH, or npx.
    token: what clients present; else a random one, which the pool hands to those who find it by name.
    insecure: listen beyond one machine without encryption. A cluster of several machines needs either this or TLS (`tls_cert`, `tls_key`).
    detached: the pool outlives the driver, until somebody closes it. Else it ends with the driver, also with one that is killed.
    get_if_exists: take the pool of this name where there is one. It must have been started with the same source and options.
    options: those of `ssl-r1 serve`, with underscores: seed, batch, entries, cache, config ...

    Raises BadOption for what can't be, ConnectionLost with the loaders' own words when none listens within `timeout` seconds.
    """
    sources = (source,) if isinstance(source, str) else tuple(source)
    if loaders < 1 or cpus < 1:
        raise BadOption("BAD_OPTION", f"loaders and cpus: got {loaders} and {cpus}; expected 1 or more")
    flags(options)
    host = _host(insecure, options)
    if insecure:
        options["insecure"] = True
    recipe = Recipe(sources, options, command, token or secrets.token_urlsafe(32), host, own_address(), secrets.token_hex(8))
    alone = len(_nodes()) == 1
    home = ray.get_runtime_context().get_node_id() if host is not None and alone else None
    actor = Placement(cpus, dict(resources or {}), dict(runtime_env or {}), home)
    keeper: Any = (
        ray.remote(Keeper)
        .options(
            name=name,
            namespace=namespace,
            lifetime="detached" if detached else "non_detached",
            get_if_exists=get_if_exists,
            num_cpus=0,
            num_gpus=0,
            max_restarts=-1,
            max_task_retries=-1,
            runtime_env=actor.runtime_env,
        )
        .remote(recipe, loaders, actor)
    )
    pool = Pool(keeper, name, namespace)
    try:
        there: Recipe = ray.get(keeper.recipe.remote())
        if (there.source, dict(there.options)) != (sources, options):
            raise BadOption("BAD_OPTION", f"there is a pool {name} with {there.source} and {dict(there.options)}, not {sources} and {options}")
        pool._wait(1, timeout, impatient=True)
    except BaseException:
        if not get_if_exists:
            pool.close()
        raise
    return pool


def find(name: str = NAME, *, namespace: str = NAMESPACE) -> Pool:
    """The pool of this name. Raises ConnectionLost where there is none."""
    try:
        return Pool(ray.get_actor(name, namespace=namespace), name, namespace)
    except ValueError:
        raise ConnectionLost("CONNECTION_LOST", f"no pool {name} in the namespace {namespace} of this cluster") from None


def connect(name: str = NAME, *, namespace: str = NAMESPACE, **options: Any) -> Client:
    """A client of the pool of this name; see Pool.connect."""
    return find(name, namespace=namespace).connect(**options)


def _nodes() -> list[Any]:
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _host(insecure: bool, options: Mapping[str, object]) -> str | None:
    """Loopback where the cluster is one machine, else the nodes' own addresses, if what is sent there is protected."""
    if "listen" in options:
        raise BadOption("BAD_OPTION", "listen: every loader of a pool listens on a port of its own; leave it out")
    addresses = {node["NodeManagerAddress"] for node in _nodes()}
    if len(addresses) <= 1 and not insecure and "tls_cert" not in options:
        return "127.0.0.1"
    if not insecure and "tls_cert" not in options:
        raise BadOption(
            "BAD_OPTION",
            f"this cluster has {len(addresses)} machines, and between them nothing would protect the token and the images: "
            "give tls_cert and tls_key, or say insecure=True",
        )
    return None


class Pool:
    """Made by start() and find(). May be handed to tasks and actors of the cluster."""

    def __init__(self, keeper: Any, name: str, namespace: str) -> None:
        self.name = name
        self.namespace = namespace
        self._keeper = keeper

    def connect(self, **options: Any) -> Client:
        """A client whose list of loaders follows the pool, for the process that calls this and its children.

        options: those of ssl_r1.connect(), which get the token from here.
        """
        recipe: Recipe = ray.get(self._keeper.recipe.remote())
        if recipe.host is not None and own_address() != recipe.machine:
            raise BadOption("BAD_OPTION", f"the pool {self.name} listens on loopback of another machine: start it with insecure=True or tls_cert")
        return client_of(self._keeper, recipe, (self.name, self.namespace), options)

    def addresses(self) -> list[str]:
        """Where loaders listen at this moment."""
        return list(ray.get(self._keeper.listing.remote()).addresses)

    def status(self) -> list[State]:
        """Every loader: where it listens, its process, how often it was started and what is wrong with it."""
        states: list[State] = ray.get(self._keeper.status.remote())
        return states

    def wait(self, loaders: int | None = None, timeout: float = 300.0) -> None:
        """Returns when so many loaders listen; None: all, each for its place among that many. Raises ConnectionLost after `timeout` seconds."""
        self._wait(loaders, timeout, impatient=False)

    def _wait(self, loaders: int | None, timeout: float, impatient: bool) -> None:
        deadline = time.monotonic() + timeout
        version = -1
        while True:
            left = deadline - time.monotonic()
            states, version, wanted = ray.get(self._keeper.progress.remote(version, max(0.0, min(left, _ASK_SECONDS))))
            listening = [state for state in states if state.address is not None]
            placed = [state for state in listening if state.node[1] == wanted]
            if len(listening) >= loaders if loaders is not None else len(placed) == wanted == len(states):
                return
            failures = [state.failure for state in states if state.failure is not None]
            failed = impatient and not listening and len(failures) == len(states)
            if failed and any(state.hopeless for state in states):
                raise BadOption("BAD_OPTION", failures[0])
            if left <= 0 or failed:
                said = f": {failures[0]}" if failures else ""
                raise ConnectionLost("CONNECTION_LOST", f"{len(listening)} of {loaders or wanted} loaders of the pool {self.name} listen{said}")

    def scale(self, loaders: int) -> None:
        """So many loaders from now on; wait() waits for that. Those that stay take up their new share one after the other, without a pause."""
        if loaders < 1:
            raise BadOption("BAD_OPTION", f"loaders: got {loaders}; expected 1 or more")
        ray.get(self._keeper.scale.remote(loaders))

    def autoscale(self, min: int = 1, max: int = 8, *, every: float = 10.0, **rule: Any) -> None:
        """Lets the time that trainers wait for batches decide how many loaders there are (autoscale.py has the rule and its other numbers).

        every: seconds between two looks. What counts is the time of clients made by connect(): inside get() and the streams' next, and between them.
        """
        ray.get(self._keeper.autoscale.remote(Rule(min=min, max=max, **rule), every))

    def close(self) -> None:
        """Ends all loaders, and returns when their processes are gone. Idempotent."""
        with contextlib.suppress(RayError):
            ray.get(self._keeper.close.remote(), timeout=3 * GRACE)
        ray.kill(self._keeper)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
