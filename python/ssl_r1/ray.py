"""A pool of loaders on a Ray cluster: started, restarted, scaled and found by Ray; batches travel over the loaders' own sockets.

import ssl_r1.ray

pool = ssl_r1.ray.start("shards", seed=7, batch=40, loaders=3)   # in the driver, after ray.init()
client = ssl_r1.ray.connect()                                    # in the trainer, anywhere on the cluster
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final

import ray
from ray.exceptions import ActorDiedError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from .autoscale import Memory, Rule, next_size
from .client import Client
from .client import connect as connect_to
from .errors import BadOption, ConnectionLost
from .serving import GRACE, LINGER, Serving, State, find_command, flags

NAME: Final = "ssl-r1"
#: Actors of one namespace find each other; Ray's own default is another one for every driver.
NAMESPACE: Final = "ssl-r1"
_ASK_SECONDS: Final = 20.0
_PAUSE: Final = 0.5
_PLACE_SECONDS: Final = 120.0


@dataclass(frozen=True)
class Recipe:
    """What every loader of a pool is started with."""

    source: tuple[str, ...]
    options: Mapping[str, object]
    command: str | Sequence[str] | None
    token: str = field(repr=False)
    host: str | None
    """The address to listen on: None is the node's own."""
    machine: str
    """Address of the machine where the pool was started."""
    id: str
    """Of this pool and no other of its name."""

    def arguments(self, cpus: int) -> list[str]:
        host = self.host or _own_address()
        host = f"[{host}]" if ":" in host else host
        options = {"workers": cpus, **self.options, "listen": f"tcp://{host}:0", "json": True, "until_eof": True}
        return [*find_command(self.command), "serve", *self.source, *flags(options)]


@dataclass(frozen=True)
class _Placement:
    """Where loaders go."""

    cpus: int
    resources: dict[str, float]
    runtime_env: dict[str, Any]
    node: str | None
    """The only node, where the loaders listen on loopback; None: spread."""


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
    recipe = Recipe(sources, options, command, token or secrets.token_urlsafe(32), host, _own_address(), secrets.token_hex(8))
    alone = len(_nodes()) == 1
    home = ray.get_runtime_context().get_node_id() if host is not None and alone else None
    actor = _Placement(cpus, dict(resources or {}), dict(runtime_env or {}), home)
    keeper: Any = (
        ray.remote(_Keeper)
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


def _own_address() -> str:
    return str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]


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
        if recipe.host is not None and _own_address() != recipe.machine:
            raise BadOption("BAD_OPTION", f"the pool {self.name} listens on loopback of another machine: start it with insecure=True or tls_cert")
        return connect_to(_following(self._keeper, recipe).url, **{"token": recipe.token, "wait": 60.0, **options})

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


@dataclass(frozen=True)
class _Listing:
    version: int
    addresses: tuple[str, ...]


class _Follower:
    """Keeps a pool's addresses in a file of this process, from which also its children read them: Ray itself does not survive a fork."""

    def __init__(self, keeper: Any) -> None:
        self._keeper = keeper
        self._folder = tempfile.mkdtemp(prefix="ssl-r1-pool-")
        self._file = os.path.join(self._folder, "loaders.txt")
        self.url = f"file://{self._file}"
        self.ended = False
        self._write(ray.get(keeper.listing.remote()))
        self._remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        threading.Thread(target=self._run, name="ssl_r1 pool", daemon=True).start()

    def _write(self, listing: _Listing) -> None:
        # Replaced in one go: nobody reads half of it.
        with open(f"{self._file}.new", "w", encoding="utf-8") as file:
            file.writelines(f"{address}\n" for address in listing.addresses)
        os.replace(f"{self._file}.new", self._file)
        self._listing = listing

    def _run(self) -> None:
        while True:
            try:
                listing: _Listing = ray.get(self._keeper.listing.remote(self._listing.version, _ASK_SECONDS), timeout=2 * _ASK_SECONDS)
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
_followers: dict[tuple[int, str], _Follower] = {}
_followers_lock = threading.Lock()


def _following(keeper: Any, recipe: Recipe) -> _Follower:
    key = (os.getpid(), recipe.id)
    with _followers_lock:
        follower = _followers.get(key)
        if follower is None or follower.ended:
            follower = _followers[key] = _Follower(keeper)
        return follower


class _Loader:
    """The actor around one loader."""

    def __init__(self, recipe: Recipe, cpus: int, node: tuple[int, int]) -> None:
        self._serving = Serving(recipe.arguments(cpus), node, {"SSL_R1_TOKEN": recipe.token}, _say)

    def state(self, after: int, timeout: float) -> State:
        return self._serving.state(after, timeout)

    def place(self, node: tuple[int, int]) -> None:
        self._serving.place(node)

    def stop(self) -> None:
        self._serving.stop()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@dataclass
class _Member:
    actor: Any
    node: tuple[int, int]
    state: State


class _Keeper:
    """The actor that holds a pool together: it makes the loader actors, so these end with it, and tells who asks where they listen."""

    def __init__(self, recipe: Recipe, loaders: int, actor: _Placement) -> None:
        self._recipe = recipe
        self._actor = actor
        self._wanted = loaders
        # Beyond whatever the keeper before a restart has told.
        self._version = time.time_ns() // 1000
        self._next = asyncio.Event()
        self._members: list[_Member] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun = False
        self._scaling: asyncio.Task[None] | None = None
        self._waited = self._used = 0.0
        for index in range(loaders):
            self._add(index)

    async def recipe(self) -> Recipe:
        return self._recipe

    async def listing(self, after: int = -1, timeout: float = 0.0) -> _Listing:
        await self._progress(after, timeout)
        return _Listing(self._version, tuple(member.state.address for member in self._members if member.state.address is not None))

    async def progress(self, after: int, timeout: float) -> tuple[list[State], int, int]:
        await self._progress(after, timeout)
        return await self.status(), self._version, self._wanted

    async def status(self) -> list[State]:
        self._begin()
        return [member.state for member in self._members]

    async def actors(self) -> list[Any]:
        return [member.actor for member in self._members]

    async def scale(self, loaders: int) -> None:
        self._begin()
        self._wanted = loaders
        self._keep(self._settle())

    async def autoscale(self, rule: Rule, every: float) -> None:
        self._begin()
        if self._scaling is not None:
            self._scaling.cancel()
        self._scaling = self._keep(self._autoscale(rule, every))

    async def report(self, waited: float, used: float) -> None:
        """Seconds that a client has waited for batches and computed since its last report."""
        self._waited += waited
        self._used += used

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        members, self._members = self._members, []
        await asyncio.gather(*(self._dismiss(member) for member in members))

    def _begin(self) -> None:
        """The loaders are watched from the first call on: Ray makes actors before their event loop runs."""
        if not self._begun:
            self._begun = True
            self._settling = asyncio.Lock()
            for member in self._members:
                self._keep(self._follow(member))

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _add(self, index: int) -> _Member:
        node = (index, self._wanted)
        member = _Member(self._create(node), node, State(node=node))
        self._members.append(member)
        return member

    def _create(self, node: tuple[int, int]) -> Any:
        where = self._actor
        return (
            ray.remote(_Loader)
            .options(
                num_cpus=where.cpus,
                num_gpus=0,
                resources=where.resources,
                runtime_env=where.runtime_env,
                max_restarts=-1,
                max_task_retries=-1,
                max_concurrency=4,
                scheduling_strategy="SPREAD" if where.node is None else NodeAffinitySchedulingStrategy(where.node, soft=False),
            )
            .remote(self._recipe, where.cpus, node)
        )

    def _set(self, member: _Member, state: State) -> None:
        member.state = state
        self._changed()

    def _changed(self) -> None:
        self._version += 1
        waiting, self._next = self._next, asyncio.Event()
        waiting.set()

    async def _progress(self, after: int, timeout: float) -> None:
        self._begin()
        if self._version <= after:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._next.wait(), timeout)

    async def _follow(self, member: _Member) -> None:
        after = -1
        while member in self._members:
            try:
                # Not tried again by Ray: that a loader is away is what has to be known at once.
                state = await member.actor.state.options(max_task_retries=0).remote(after, _ASK_SECONDS)
            except RayActorError as error:
                after = -1
                died = isinstance(error, ActorDiedError)
                self._set(member, State(node=member.node, starts=member.state.starts, failure=str(error) if died else None))
                await asyncio.sleep(_PAUSE)
                if died and member in self._members:
                    # Ray has given it up, as when somebody ended it for good.
                    member.actor = self._create(member.node)
                continue
            if state.version != after:
                after = state.version
                self._set(member, state)
            if state.node != member.node:
                await member.actor.place.remote(member.node)

    async def _settle(self) -> None:
        async with self._settling:
            for index in range(len(self._members), self._wanted):
                self._keep(self._follow(self._add(index)))
            for index, member in enumerate(self._members[: self._wanted]):
                if member.node != (index, self._wanted):
                    member.node = (index, self._wanted)
                    with contextlib.suppress(RayActorError):
                        await member.actor.place.remote(member.node)
                    await self._until(member, _PLACE_SECONDS)
            leaving = self._members[self._wanted :]
            del self._members[self._wanted :]
            self._changed()
        if leaving:
            # Their clients hear of it and go on their own.
            await asyncio.sleep(LINGER)
            await asyncio.gather(*(self._dismiss(member) for member in leaving))

    async def _until(self, member: _Member, seconds: float) -> None:
        """Until it listens at its place; where that takes long, the others need not wait for it."""
        deadline = time.monotonic() + seconds
        while not (member.state.address is not None and member.state.node == member.node) and time.monotonic() < deadline:
            await self._progress(self._version, _ASK_SECONDS)

    async def _dismiss(self, member: _Member) -> None:
        if member.state.version > 0:
            with contextlib.suppress(RayError, asyncio.TimeoutError):
                await asyncio.wait_for(member.actor.stop.remote(), GRACE + 2)
        ray.kill(member.actor)

    async def _autoscale(self, rule: Rule, every: float) -> None:
        memory = Memory()
        while True:
            self._waited = self._used = 0.0
            await asyncio.sleep(every)
            size = len(self._members)
            if size != self._wanted or any(member.state.address is None for member in self._members):
                continue
            wanted, memory = next_size(rule, size, self._waited, self._used, memory)
            if wanted != size:
                _say(f"trainers waited {self._waited:.1f} s of {self._waited + self._used:.1f} s: {size} -> {wanted} loaders")
                self._wanted = wanted
                await self._settle()
