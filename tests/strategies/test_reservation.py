"""Reserving ahead: the order it fixes makes an engine run at exactly the reserved times."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.engines import ENGINES, engine
from hybridsim.engines._abreast import WIDTH
from hybridsim.engines._reserved_times import Reserver
from hybridsim.engines.frozen import Frozen
from hybridsim.engines.reservation import (
    ReservedPiece,
    reserve,
    reserved,
    visiting,
    visiting_order,
)
from hybridsim.plan import Plan, PlanBuilder, Resource
from hybridsim.work import delay
from tests.engines.proofs import point_of, prices, queues
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
    found, _ = reserve(plan, times(plan), in_plan_order(plan))
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
    timeline, unit = reserve(plan, times(plan), in_plan_order(plan))
    assert list(timeline.start) == [0, 0, 10, 18]
    assert list(unit) == [1, 0, 0, 0]
    # who is before whom on a resource is a need
    ordered, _ = reserved(plan, times(plan))
    assert [ordered.needs_of(task).tolist() for task in range(4)] == [[], [], [0, 1], [1, 2]]
    # the execution rule, on its own, would start the short one at once
    assert list(engine("compiled")(plan, times(plan)).start) == [0, 0, 11, 4]


def test_nothing_to_reserve() -> None:
    nothing = PlanBuilder(()).build()
    ordered, planned = reserved(nothing, times(nothing))
    assert (len(ordered), planned.makespan) == (0, 0)


@given(plans())
def test_a_plan_put_in_visiting_order_is_reserved_as_it_was(plan: Plan) -> None:
    visited = visiting_order(plan)
    found, _ = reserve(plan, times(plan), visited)
    ordered, _ = reserve(visiting(plan), times(plan), in_plan_order(plan))
    assert (ordered.start == found.start[visited]).all()
    assert (ordered.end == found.end[visited]).all()
    assert reserved(plan, times(plan))[1].makespan == found.makespan


def one_after_the_other(plan: Plan, time_ps: np.ndarray) -> np.ndarray:
    """Reserve in plan order with nothing but lists; return the end of each task."""
    duration, end = plan.times(time_ps).tolist(), [0] * len(plan)
    held = [[[] for _ in range(resource.units)] for resource in plan.resources]

    def fits(lane: list[tuple[int, int]], at: int, length: int) -> bool:
        return all(stop <= at or at + length <= start for start, stop in lane)

    for task in range(len(plan)):
        ready = max((end[need] for need in plan.needs_of(task)), default=0)
        used, length = plan.uses_of(task), duration[task]
        instants = {stop for r in used for lane in held[r] for _, stop in lane if stop > ready}
        start = next(
            at
            for at in sorted({ready, *instants})
            if all(any(fits(lane, at, length) for lane in held[r]) for r in used)
        )
        end[task] = start + length
        for r in used:
            next(lane for lane in held[r] if fits(lane, start, length)).append((start, end[task]))
    return np.array(end, np.int64)


@given(plans(), st.booleans(), st.integers(0, 2**32 - 1), st.integers(1, 2 * WIDTH + 1))
@settings(max_examples=150, deadline=None)
def test_points_side_by_side_end_as_each_by_itself(
    plan: Plan, alone: bool, seed: int, points: int
) -> None:
    """All tasks at all points, and as a search with lists finds them."""
    plan = each_its_own(plan) if alone else plan
    assert_ends(plan, prices(times(plan), points, seed))


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_points_side_by_side_in_crowded_gaps(seed: int, alone: bool) -> None:
    plan = each_its_own(crowd(seed)) if alone else crowd(seed)
    assert_ends(plan, prices(times(plan), WIDTH, seed))


@pytest.mark.parametrize("units", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_points_side_by_side_in_long_queues(seed: int, units: int) -> None:
    plan = queues(seed, units)
    assert_ends(plan, prices(times(plan) * 1000, WIDTH, seed))


def assert_ends(plan: Plan, time_ps: np.ndarray) -> None:
    reserver, seen = Reserver(plan, in_plan_order(plan)), []
    for points, end, latest in reserver.blocks(time_ps):
        seen += points.tolist()
        for column, point in enumerate(points.tolist()):
            own = point_of(time_ps, point)
            expected = one_after_the_other(plan, own)
            assert (end[:, column] == expected).all()
            assert (reserver.one(own)[0] == expected).all()
            assert latest[column] == expected.max(initial=0)
    assert seen == list(range(time_ps.shape[1]))


@given(plans(), st.booleans(), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=100, deadline=None)
def test_many_points_take_what_an_engine_takes_for_each_reserved_plan(
    plan: Plan, alone: bool, seed: int, most_different: float
) -> None:
    """In pieces or as a whole, and no less than what was said at once."""
    plan = each_its_own(plan) if alone else plan
    ordered = visiting(plan)
    frozen = Frozen(ordered, ReservedPiece, most_different)
    time_ps = prices(times(plan), 20, seed)
    found = frozen.makespans(time_ps)
    for point in range(20):
        carried_out, timeline = reserved(plan, point_of(time_ps, point))
        assert found[point] == timeline.makespan
        assert found[point] == engine("reference")(carried_out, point_of(time_ps, point)).makespan
    assert (frozen.at_least(time_ps) <= found).all()


def test_a_far_gap_is_found() -> None:
    """In front of many tasks that were visited before."""
    builder = PlanBuilder((Resource("line", "a"), Resource("other", "b")))
    first = builder.add("x", delay("first", 50), (1,))
    for _ in range(40):
        builder.add("x", delay("wide", 7), (0,))
        builder.add("x", delay("in between", 9), (1, 0))
    builder.add("y", delay("narrow", 5), (0,), (first,))
    builder.add("y", delay("wider", 60), (0,), (first,))
    plan = builder.build()
    assert_ends(plan, prices(times(plan), 2, 0))
