"""Frozen orders give the integers of executing every point, or say that they do not hold."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.engines import compiled, reference
from hybridsim.engines._frozen_order import freeze
from hybridsim.engines._frozen_times import WIDTH, times
from hybridsim.engines.frozen import Frozen
from hybridsim.plan import Plan, PlanBuilder, Resource
from hybridsim.units import Ints
from tests.engines import naive
from tests.engines.test_engines_agree import crowd
from tests.random_inputs import plans

SPREADS = (0.0, 0.001, 0.1, 1.0)
"""How far prices lie apart, from none at all to all orders."""


def prices(works: Ints, points: int, seed: int) -> Ints:
    """Return times around those of some works, the first point at these themselves."""
    rng = np.random.default_rng(seed)
    spread = rng.choice(SPREADS, points)
    changed = works[:, None] * np.exp(spread * rng.normal(size=(len(works), points)))
    changed[:, :1] = works[:, None]
    return np.maximum(1, np.round(np.minimum(changed, 2.0**56))).astype(np.int64)


def assert_proven_right(plan: Plan, seed: int) -> tuple[int, int]:
    """Compare all times of all points; return how many were refused, and how many of those
    had the right times."""
    order = freeze(plan, compiled.run(plan))
    time_ps, work = prices(plan.duration, WIDTH, seed), np.arange(len(plan))
    end = np.empty((len(plan), WIDTH), np.int64)
    latest, holds = times(order, work, time_ps, end)
    assert holds[0]
    needless = 0
    for point in range(WIDTH):
        expected = naive.run(replace(plan, duration=np.ascontiguousarray(time_ps[:, point])))
        same = np.array_equal(end[:, point], expected.end)
        needless += same and not holds[point]
        if holds[point]:
            assert same
            assert latest[point] == expected.makespan
    return int(WIDTH - holds.sum()), needless


@given(plans(), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_no_point_is_wrongly_accepted(plan: Plan, seed: int) -> None:
    assert_proven_right(plan, seed)


def queues(seed: int, units: int) -> Plan:
    """Many tasks that wait for few resources, one to three at a time."""
    rng = np.random.default_rng(seed)
    builder = PlanBuilder(tuple(Resource(f"r{i}", "kind", units) for i in range(4)))
    for task in range(40):
        uses = rng.permutation(4)[: rng.integers(1, 4)].tolist()
        needs = {*rng.integers(max(0, task - 6), task, 1).tolist()} if task > 3 else ()
        builder.add("op", "action", uses, int(rng.integers(1, 9)), [*needs])
    return builder.build()


@pytest.mark.parametrize("seed", range(6))
def test_on_single_units_no_point_is_needlessly_refused(seed: int) -> None:
    """Also where tasks wait in long queues, and for several resources one after the other."""
    refused, needless = assert_proven_right(queues(seed, 1), seed)
    assert refused > 0
    assert needless == 0


@pytest.mark.parametrize("seed", range(6))
def test_on_several_units_few_points_are_needlessly_refused(seed: int) -> None:
    refused, needless = assert_proven_right(queues(seed, 2), seed)
    assert needless <= 0.2 * refused


@given(plans(), st.integers(0, 2**32 - 1))
@settings(max_examples=100)
def test_every_makespan_is_that_of_the_rule(plan: Plan, seed: int) -> None:
    """Whichever of proof, other order, execution, and pieces it comes from."""
    frozen, time_ps = Frozen(plan, np.arange(len(plan))), prices(plan.duration, 20, seed)
    for _ in range(2):
        found = frozen.makespans(time_ps)
        for point in range(20):
            own = np.ascontiguousarray(time_ps[:, point])
            assert found[point] == naive.run(replace(plan, duration=own)).makespan


@pytest.mark.parametrize("seed", range(10))
def test_simpy_agrees(seed: int) -> None:
    plan = crowd(seed)
    time_ps = prices(plan.duration, 4, seed)
    found = Frozen(plan, np.arange(len(plan))).makespans(time_ps)
    for point in range(4):
        own = np.ascontiguousarray(time_ps[:, point])
        assert found[point] == reference.run(replace(plan, duration=own)).makespan


def blocks(count: int, alike: bool) -> tuple[Plan, Ints]:
    """Blocks one after the other, of two workers on one line each; and the works of the tasks."""
    builder, work = PlanBuilder((Resource("a", "x"), Resource("b", "x"), Resource("c", "y"))), []
    before: list[int] = []
    for block in range(count):
        first = [builder.add("op", "split", (r,), 1, before) for r in (0, 1)]
        second = [builder.add("op", "queue", (2,), 1, [task]) for task in first]
        before = [builder.add("op", "join", (0,), 1, second)]
        own = 0 if alike else 5 * (block % 2)
        work += [own, own + 1, own + 2, own + 3, own + 4]
    return builder.build(), np.array(work, np.int64)


@pytest.mark.parametrize("alike", [True, False])
def test_blocks_one_after_the_other_are_executed_once_per_different_one(alike: bool) -> None:
    plan, work = blocks(40, alike)
    frozen = Frozen(plan, work)
    time_ps = np.random.default_rng(0).integers(1, 50, (work.max() + 1, 300))
    found = frozen.makespans(time_ps)
    assert frozen.executed < 100
    for point in range(300):
        own = replace(plan, duration=time_ps[work, point])
        assert found[point] == compiled.run(own).makespan


def test_a_block_that_outlasts_what_is_waited_for_is_no_piece_of_its_own() -> None:
    """The next block waits for the last task, which prices decide to be the last or not."""
    builder = PlanBuilder((Resource("a", "x"), Resource("b", "x")))
    last = builder.add("op", "begin", (0,), 1)
    for _ in range(3):
        builder.add("op", "beside", (1,), 1, [last])
        last = builder.add("op", "on", (0,), 1, [last])
    plan, work = builder.build(), np.array([0, 1, 2, 1, 2, 1, 2])
    time_ps = np.array([[5, 5], [2, 90], [7, 7]])
    assert Frozen(plan, work).makespans(time_ps).tolist() == [5 + 3 * 7, 5 + 3 * 90]


def test_points_that_need_too_many_orders_are_executed() -> None:
    plan = crowd(1)
    frozen = Frozen(plan, np.arange(len(plan)))
    time_ps = np.random.default_rng(0).integers(1, 10**6, (len(plan), 200))
    found = frozen.makespans(time_ps)
    assert frozen.executed > 100
    for point in range(200):
        own = np.ascontiguousarray(time_ps[:, point])
        assert found[point] == compiled.run(replace(plan, duration=own)).makespan


def test_a_plan_without_tasks_takes_no_time() -> None:
    plan = PlanBuilder(()).build()
    assert Frozen(plan, np.empty(0, np.int64)).makespans(np.empty((0, 3), np.int64)).tolist() == [
        0, 0, 0,
    ]  # fmt: skip
