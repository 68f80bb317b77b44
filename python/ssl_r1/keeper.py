"""The actors of a pool: one around each loader, and the keeper that makes these and knows where they listen."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import ray
from ray.exceptions import ActorDiedError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from .autoscale import Memory, Rule, next_size
from .serving import GRACE, LINGER, Serving, State, find_command, flags

#: How long a loader is asked for news before it answers that there are none.
_ASK_SECONDS: Final = 20.0
#: Before a loader that Ray restarts is asked again.
_PAUSE: Final = 0.5
#: How long the others wait for one that changes its share.
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
        host = self.host or own_address()
        host = f"[{host}]" if ":" in host else host
        scheme = "tls" if "tls_cert" in self.options else "tcp"
        options = {"workers": cpus, "http": "127.0.0.1:0", **self.options, "listen": f"{scheme}://{host}:0", "json": True, "until_eof": True}
        return [*find_command(self.command), "serve", *self.source, *flags(options)]


@dataclass(frozen=True)
class Placement:
    """Where loaders go."""

    cpus: int
    resources: dict[str, float]
    runtime_env: dict[str, Any]
    node: str | None
    """The only node, where the loaders listen on loopback; None: spread."""


@dataclass(frozen=True)
class Listing:
    version: int
    addresses: tuple[str, ...]


def own_address() -> str:
    return str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]


class LoaderActor:
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


class Keeper:
    """The actor that holds a pool together: it makes the loader actors, so these end with it, and tells who asks where they listen."""

    def __init__(self, recipe: Recipe, loaders: int, actor: Placement) -> None:
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

    async def listing(self, after: int = -1, timeout: float = 0.0, waited: float = 0.0, used: float = 0.0) -> Listing:
        """`waited`, `used`: seconds that the clients of the process that asks have waited for batches and computed since it asked last."""
        self._waited += waited
        self._used += used
        await self._progress(after, timeout)
        return Listing(self._version, tuple(member.state.address for member in self._members if member.state.address is not None))

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
            ray.remote(LoaderActor)
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
