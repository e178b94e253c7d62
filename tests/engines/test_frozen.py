"""Frozen orders give the integers of executing every point, or say that they do not hold."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.engines import compiled, reference
from hybridsim.engines._frozen_pieces import pieces
from hybridsim.engines.frozen import Frozen
from hybridsim.errors import PlanError
from hybridsim.plan import Plan, PlanBuilder, Resource
from hybridsim.units import Ints
from hybridsim.work import delay
from tests.engines import naive
from tests.engines.proofs import point_of, prices, proof, queues
from tests.engines.test_engines_agree import crowd
from tests.random_inputs import each_its_own, plans, times


def assert_makespans(plan: Plan, found: Ints, time_ps: Ints, run=compiled.run) -> None:
    points = range(time_ps.shape[1])
    assert found.tolist() == [run(plan, point_of(time_ps, point)).makespan for point in points]


@given(plans(), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=100)
def test_no_point_is_wrongly_accepted(plan: Plan, alone: bool, seed: int) -> None:
    """Whether each task has its own price, or those that do the same work change together."""
    proof(each_its_own(plan) if alone else plan, seed)


@pytest.mark.parametrize("seed", range(6))
def test_on_single_units_no_point_is_needlessly_refused(seed: int) -> None:
    """Also where tasks wait in long queues, and for several resources one after the other."""
    found = proof(queues(seed, 1), seed)
    assert found.refused > 0
    assert found.needless == 0


@pytest.mark.parametrize("seed", range(6))
def test_on_several_units_few_points_are_needlessly_refused(seed: int) -> None:
    found = proof(queues(seed, 2), seed)
    assert found.needless <= 0.2 * found.refused


@given(plans(), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=150)
def test_every_makespan_is_that_of_the_rule(plan: Plan, alone: bool, seed: int) -> None:
    """Whichever of proof, other order, execution, and pieces it comes from."""
    plan = each_its_own(plan) if alone else plan
    frozen, time_ps = Frozen(plan), prices(times(plan), 20, seed)
    for _ in range(2):
        assert_makespans(plan, frozen.makespans(time_ps), time_ps, naive.run)


@pytest.mark.parametrize("seed", range(10))
def test_simpy_agrees(seed: int) -> None:
    plan = each_its_own(crowd(seed))
    time_ps = prices(times(plan), 4, seed)
    assert_makespans(plan, Frozen(plan).makespans(time_ps), time_ps, reference.run)


def blocks(count: int, alike: bool) -> Plan:
    """Blocks one after the other, of two workers on one line each; every other one is another."""
    builder = PlanBuilder((Resource("a", "x"), Resource("b", "x"), Resource("c", "y")))
    before: list[int] = []
    for block in range(count):
        work = [delay(f"{kind} {0 if alike else block % 2}", 1) for kind in "vwxyz"]
        first = [builder.add("split", work[r], (r,), before) for r in (0, 1)]
        second = [builder.add("queue", work[2 + r], (2,), [first[r]]) for r in (0, 1)]
        before = [builder.add("join", work[4], (0,), second)]
    return builder.build()


@pytest.mark.parametrize("alike", [True, False])
def test_blocks_one_after_the_other_are_executed_once_per_different_one(alike: bool) -> None:
    plan = blocks(40, alike)
    frozen = Frozen(plan)
    time_ps = np.random.default_rng(0).integers(1, 50, (len(plan.works), 300))
    found = frozen.makespans(time_ps)
    assert frozen.executed < 100
    assert_makespans(plan, found, time_ps)


@given(st.lists(st.integers(1, 4), min_size=2, max_size=12), st.integers(0, 2**32 - 1))
def test_layers_one_after_the_other_take_the_sum_of_their_slowest_tasks(
    widths: list[int], seed: int
) -> None:
    """Each layer is a piece of its own, and those as wide and priced alike are the same one."""
    builder = PlanBuilder(tuple(Resource(f"r{r}", "x") for r in range(4)))
    before: list[int] = []
    for width in widths:
        uses = range(width)
        before = [builder.add("op", delay(f"{width} {r}", 1), (r,), before) for r in uses]
    plan = builder.build()
    found = pieces(plan)
    assert sum(piece.times for piece in found) == len(widths)
    followed = {*pairwise(widths), (widths[-1], 0)}
    assert len(found) <= len(followed)
    frozen = Frozen(plan)
    time_ps = np.random.default_rng(seed).integers(1, 50, (len(plan.works), 40))
    label = [work.label for work in plan.works]
    slowest = {
        width: time_ps[[label.index(f"{width} {r}") for r in range(width)]].max(axis=0)
        for width in widths
    }
    expected = sum(slowest[width] for width in widths)
    assert frozen.makespans(time_ps).tolist() == expected.tolist()
    # one order each, but for what the next layer waits for
    assert frozen.executed <= len(found)


def test_pieces_that_differ_in_which_task_holds_a_resource_are_not_alike() -> None:
    """Both hold three in the same order: a and b, then a; or a, then b and a."""
    builder = PlanBuilder((Resource("a", "x", 2), Resource("b", "x"), Resource("c", "x")))
    short, long, end = delay("short", 1), delay("long", 9), delay("end", 1)
    for uses in (((0, 1), (2,)), ((0,), (1, 2))):
        before = [len(builder) - 1] if len(builder) else []
        pair = [
            builder.add("op", work, own, before)
            for work, own in zip((short, long), uses, strict=True)
        ]
        builder.add("op", end, (), pair)
    assert sorted(piece.times for piece in pieces(builder.build())) == [1, 1, 1, 1]


@given(plans(), st.integers(0, 2**32 - 1))
def test_a_resource_is_held_no_longer_than_a_plan_lasts(plan: Plan, seed: int) -> None:
    frozen, time_ps = Frozen(plan), prices(times(plan), 5, seed)
    busy = np.zeros(5, np.int64)
    for r, resource in enumerate(plan.resources):
        users = [t for t in range(len(plan)) if r in plan.uses_of(t)]
        held = time_ps[plan.work[users]].sum(axis=0)
        busy = np.maximum(busy, -(-held // resource.units))
    assert frozen.at_least(time_ps).tolist() == busy.tolist()
    assert (frozen.at_least(time_ps) <= frozen.makespans(time_ps)).all()


def test_a_block_that_outlasts_what_is_waited_for_is_no_piece_of_its_own() -> None:
    """The next block waits for the last task, which prices decide to be the last or not."""
    builder = PlanBuilder((Resource("a", "x"), Resource("b", "x")))
    begin, beside, on = delay("begin", 5), delay("beside", 2), delay("on", 7)
    last = builder.add("op", begin, (0,))
    for _ in range(3):
        builder.add("op", beside, (1,), [last])
        last = builder.add("op", on, (0,), [last])
    plan = builder.build()
    assert plan.works == (begin, beside, on)
    time_ps = np.array([[5, 5], [2, 90], [7, 7]])
    assert Frozen(plan).makespans(time_ps).tolist() == [5 + 3 * 7, 5 + 3 * 90]


def test_what_outlasts_its_block_runs_beside_the_next_ones() -> None:
    """Each on a resource of its own: the blocks do not add up then, but those of points where
    nothing outlasts them do."""
    builder = PlanBuilder(tuple(Resource(name, "x") for name in "abcd"))
    begin, beside, on = delay("begin", 5), delay("beside", 2), delay("on", 7)
    last = builder.add("op", begin, (0,))
    for block in range(3):
        builder.add("op", beside, (1 + block,), [last])
        last = builder.add("op", on, (0,), [last])
    time_ps = np.array([[5, 5, 5], [2, 90, 7], [7, 7, 7]])
    expected = [5 + 3 * 7, 5 + 2 * 7 + 90, 5 + 3 * 7]
    assert Frozen(builder.build()).makespans(time_ps).tolist() == expected


def test_points_that_need_too_many_orders_are_executed() -> None:
    plan = each_its_own(crowd(1))
    frozen = Frozen(plan)
    time_ps = np.random.default_rng(0).integers(1, 10**6, (len(plan), 200))
    found = frozen.makespans(time_ps)
    assert frozen.executed > 100
    assert_makespans(plan, found, time_ps)


def test_a_plan_without_tasks_takes_no_time() -> None:
    found = Frozen(PlanBuilder(()).build()).makespans(np.empty((0, 3), np.int64))
    assert found.tolist() == [0, 0, 0]


@pytest.mark.parametrize("alone", [True, False])
def test_points_whose_ends_do_not_fit_64_bits_are_refused(alone: bool) -> None:
    """Even where the order would hold for them, and each piece for itself is short enough."""
    plan = blocks(8, True)
    frozen = Frozen(each_its_own(plan) if alone else plan)
    short = np.ones((len(frozen.plan.works), 2), np.int64)
    assert frozen.makespans(short).tolist() == [8 * 4, 8 * 4]
    short[:, 1] = 2**57
    with pytest.raises(PlanError, match="53 days"):
        frozen.makespans(short)
