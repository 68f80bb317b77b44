"""The number of loaders follows the time that trainers wait, and comes to rest."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from ssl_r1 import BadOption
from ssl_r1.autoscale import Memory, Meter, Rule, next_size


def run(rule: Rule, size: int, trainer: float, loader: float, rounds: int, memory: Memory | None = None) -> list[int]:
    """A trainer that needs `trainer` seconds a batch and loaders that need `loader` seconds each: the sizes, round after round."""
    memory = memory or Memory()
    sizes = []
    for _ in range(rounds):
        waited = max(0.0, loader / size - trainer)
        size, memory = next_size(rule, size, waited, trainer, memory)
        sizes.append(size)
    return sizes


@pytest.mark.parametrize("seed", range(20))
def test_any_trainer_gets_enough_and_it_comes_to_rest(seed: int) -> None:
    rng = random.Random(seed)
    rule = Rule(min=1, max=64)
    trainer, loader = 1.0, rng.uniform(0.1, 50.0)
    sizes = run(rule, rng.randint(1, 64), trainer, loader, 3000)
    settled = sizes[1000:]
    hungry = [loader / size - trainer > rule.grow_above * max(trainer, loader / size) for size in settled]
    # A smaller number is tried now and then; that must be rare, and never more than what keeps up and rounding.
    assert sum(hungry) <= 0.03 * len(settled)
    assert max(settled) <= max(1, loader / trainer) + 2
    assert sum(one != other for one, other in pairwise(settled)) <= 0.03 * len(settled)


def test_a_step_at_most_doubles_and_needs_two_hungry_rounds() -> None:
    assert run(Rule(max=64), 4, 0.0, 1.0, 6) == [4, 8, 8, 16, 16, 32]


def test_it_grows_to_what_keeps_up() -> None:
    assert run(Rule(max=64), 6, 3.0, 24.0, 4) == [6, 8, 8, 8]


def test_one_hungry_round_is_no_reason() -> None:
    memory = Memory()
    for waited in (9.0, 0.5, 9.0, 0.5):
        size, memory = next_size(Rule(), 2, waited, 10.0, memory)
        assert size == 2


def test_silence_is_no_reason_either_way() -> None:
    size, memory = next_size(Rule(), 3, 0.0, 0.0, Memory(hungry=1, idle=11))
    assert (size, memory.hungry, memory.idle) == (3, 0, 0)


def test_a_number_that_was_too_small_is_left_alone_for_a_while() -> None:
    rule = Rule(remember=40)
    sizes = run(rule, 4, 1.0, 0.001, 100, Memory(floor=3, floor_rounds=40))
    assert sizes[:38] == [4] * 38
    assert sizes[-1] == 1


def test_bounds_hold_and_bring_in_who_is_outside() -> None:
    assert run(Rule(min=2, max=5), 9, 1.0, 0.0, 40)[0] == 5
    assert run(Rule(min=2, max=5), 1, 1.0, 0.0, 60)[-1] == 2
    assert run(Rule(min=2, max=5), 5, 0.0, 1.0, 40)[-1] == 5


@pytest.mark.parametrize("given", [{"min": 0}, {"min": 3, "max": 2}, {"shrink_below": 0.2}, {"grow_above": 1.0}])
def test_wrong_rules(given: dict[str, float]) -> None:
    with pytest.raises(BadOption, match="expected"):
        Rule(**given)  # type: ignore[arg-type]


def test_a_meter_divides_the_time() -> None:
    now = 100.0
    meter = Meter(lambda: now)
    assert meter.take() == (0, 0)
    now += 50  # before the first batch is asked for nobody trains
    assert meter.take() == (0, 0)
    with meter:
        now += 3
        assert meter.take() == (3, 0)
        with meter:  # another thread, that waits too
            now += 2
        now += 1
    now += 4
    assert meter.take() == (3, 4)
    now += 1
    with meter:
        now += 1
    assert meter.take() == (1, 1)
