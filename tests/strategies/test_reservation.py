"""Reserving ahead: the order it fixes makes an engine run at exactly the reserved times."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.engines import ENGINES, engine
from hybridsim.engines.frozen import Frozen
from hybridsim.engines.reservation import (
    reservation,
    reserve,
    reserved,
    visiting,
    visiting_order,
)
from hybridsim.plan import Plan, PlanBuilder, Resource
from hybridsim.work import delay
from tests.engines.proofs import Proof, point_of, prices, proof, queues, reserving
from tests.engines.test_engines_agree import crowd
from tests.random_inputs import each_its_own, plans, times


def in_plan_order(plan: Plan) -> np.ndarray:
    return np.arange(len(plan))


@given(plan=plans())
@settings(deadline=None)
def test_both_engines_run_at_the_reserved_times(plan: Plan) -> None:
    ordered, planned = reserved(plan, times(plan))
    for name in ENGINES:
        found = engine(name)(ordered, times(ordered))
        assert (found.start == planned.start).all()
        assert (found.end == planned.end).all()
        assert (found.ready[found.start > 0] == found.start[found.start > 0]).all()


@given(plan=plans())
@settings(deadline=None)
def test_reserving_keeps_every_task_and_need(plan: Plan) -> None:
    ordered, _ = reserved(plan, times(plan))
    assert ordered.works == plan.works
    assert sorted(ordered.work) == sorted(plan.work)
    assert len(ordered.use) == len(plan.use)
    added = np.zeros(len(ordered.need), bool) if ordered.order is None else ordered.order
    assert len(ordered.need) - added.sum() == len(plan.need)
    assert not (added & ordered.room).any()
    assert ordered.room.sum() == plan.room.sum()


@given(plan=plans())
@settings(deadline=None)
def test_a_naive_search_finds_the_same_times(plan: Plan) -> None:
    """Each task in plan order, at the first instant at which it fits for its whole duration."""
    found, _, _, _ = reserve(plan, times(plan), in_plan_order(plan))
    duration = plan.times(times(plan))
    start, end = np.zeros(len(plan), np.int64), np.zeros(len(plan), np.int64)
    for task in range(len(plan)):
        ready = max((int(end[need]) for need in plan.needs_of(task)), default=0)
        instants = sorted({ready, *(int(e) for e in end[:task] if e > ready)})
        start[task] = next(t for t in instants if _fits(plan, task, t, start, end))
        end[task] = start[task] + duration[task]
    # with one unit each, the earliest gap is unique; with more, lanes may cut it up
    if all(resource.units == 1 for resource in plan.resources):
        assert (found.start == start).all()
    else:
        assert (found.duration == duration).all()


def _fits(plan: Plan, task: int, at: int, start: np.ndarray, end: np.ndarray) -> bool:
    until = at + int(times(plan)[plan.work[task]])
    for resource in plan.uses_of(task):
        others = [
            other
            for other in range(task)
            if resource in plan.uses_of(other) and start[other] < until and end[other] > at
        ]
        moments = [at, *(int(start[other]) for other in others if start[other] > at)]
        most = max(
            sum(start[other] <= moment < end[other] for other in others) for moment in moments
        )
        if most >= plan.resources[resource].units:
            return False
    return True


def test_what_is_placed_never_moves() -> None:
    """A long task is visited first and keeps its place; a short one does not fit before it."""
    builder = PlanBuilder((Resource("first", "a"), Resource("second", "b")))
    long = builder.add("x", delay("long", 10), (1,))
    lead = builder.add("y", delay("lead", 4), (0,))
    builder.add("x", delay("later", 8), (0,), (long,))
    builder.add("y", delay("short", 7), (0,), (lead,))
    plan = builder.build()
    timeline, before, after, _ = reserve(plan, times(plan), in_plan_order(plan))
    assert list(timeline.start) == [0, 0, 10, 18]
    assert sorted(zip(before.tolist(), after.tolist(), strict=True)) == [(1, 2), (2, 3)]
    # the execution rule, on its own, would start the short one at once
    assert list(engine("compiled")(plan, times(plan)).start) == [0, 0, 11, 4]


def test_nothing_to_reserve() -> None:
    nothing = PlanBuilder(()).build()
    ordered, planned = reserved(nothing, times(nothing))
    assert (len(ordered), planned.makespan) == (0, 0)


@given(plans())
def test_a_plan_put_in_visiting_order_is_reserved_as_it_was(plan: Plan) -> None:
    visited = visiting_order(plan)
    found, _, _, _ = reserve(plan, times(plan), visited)
    ordered = reserving(visiting(plan), times(plan))
    assert (ordered.start == found.start[visited]).all()
    assert (ordered.end == found.end[visited]).all()
    assert reserved(plan, times(plan))[1].makespan == found.makespan


@given(plans(), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=150)
def test_a_frozen_reservation_is_what_reserving_finds(plan: Plan, alone: bool, seed: int) -> None:
    """Whether its order is proven for other prices or the point is reserved anew."""
    plan = each_its_own(plan) if alone else plan
    frozen, time_ps = Frozen(plan, reservation), prices(times(plan), 20, seed)
    for _ in range(2):
        found = frozen.makespans(time_ps).tolist()
        assert found == [reserving(plan, point_of(time_ps, p)).makespan for p in range(20)]


@given(plans(), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=100)
def test_no_point_is_wrongly_accepted(plan: Plan, alone: bool, seed: int) -> None:
    proof(each_its_own(plan) if alone else plan, seed, reservation, reserving)


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_no_point_is_wrongly_accepted_in_crowded_gaps(seed: int, alone: bool) -> None:
    plan = crowd(seed)
    proof(each_its_own(plan) if alone else plan, seed, reservation, reserving)


@pytest.mark.parametrize("units", [1, 2])
def test_few_points_are_needlessly_refused(units: int) -> None:
    found = Proof()
    for seed in range(12):
        found += proof(queues(seed, units), seed, reservation, reserving)
    assert found.refused > 0
    assert found.needless <= 0.05 * found.refused


def test_prices_nearby_share_an_order() -> None:
    plan = each_its_own(crowd(3))
    frozen = Frozen(plan, reservation)
    time_ps = np.repeat(times(plan)[:, None] * 10**6, 200, axis=1)
    time_ps += np.random.default_rng(0).integers(0, 3, time_ps.shape)
    frozen.makespans(time_ps)
    assert frozen.executed < frozen.proven
