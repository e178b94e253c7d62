"""Reserving ahead: the order it fixes makes an engine run at exactly the reserved times."""

import numpy as np
from hybridsim.strategies._reservation import reserve, reserved
from hypothesis import given, settings

from hybridsim.engines import engine
from hybridsim.plan import Plan, PlanBuilder, Resource
from tests.random_inputs import plans


@given(plan=plans())
@settings(deadline=None)
def test_both_engines_run_at_the_reserved_times(plan: Plan) -> None:
    ordered, times = reserved(plan)
    for name in ("des", "fast"):
        found = engine(name)(ordered)
        assert (found.start == times.start).all()
        assert (found.end == times.end).all()
        assert (found.ready[found.start > 0] == found.start[found.start > 0]).all()


@given(plan=plans())
@settings(deadline=None)
def test_reserving_keeps_every_task_and_need(plan: Plan) -> None:
    ordered, _ = reserved(plan)
    assert sorted(ordered.duration) == sorted(plan.duration)
    assert len(ordered.use) == len(plan.use)
    added = np.zeros(len(ordered.need), bool) if ordered.order is None else ordered.order
    assert len(ordered.need) - added.sum() == len(plan.need)
    assert not (added & ordered.room).any()
    assert ordered.room.sum() == plan.room.sum()


@given(plan=plans())
@settings(deadline=None)
def test_a_naive_search_finds_the_same_times(plan: Plan) -> None:
    """Each task in plan order, at the first instant at which it fits for its whole duration."""
    found, _, _ = reserve(plan)
    start, end = np.zeros(len(plan), np.int64), np.zeros(len(plan), np.int64)
    for task in range(len(plan)):
        ready = max((int(end[need]) for need in plan.needs_of(task)), default=0)
        instants = sorted({ready, *(int(e) for e in end[:task] if e > ready)})
        start[task] = next(t for t in instants if _fits(plan, task, t, start, end))
        end[task] = start[task] + plan.duration[task]
    # with one unit each, the earliest gap is unique; with more, lanes may cut it up
    if all(resource.units == 1 for resource in plan.resources):
        assert (found.start == start).all()
    else:
        assert (found.end - found.start == plan.duration).all()


def _fits(plan: Plan, task: int, at: int, start: np.ndarray, end: np.ndarray) -> bool:
    until = at + int(plan.duration[task])
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
    long = builder.add("x", "long", (1,), 10)
    lead = builder.add("y", "lead", (0,), 4)
    builder.add("x", "later", (0,), 8, (long,))
    builder.add("y", "short", (0,), 7, (lead,))
    timeline, before, after = reserve(builder.build())
    assert list(timeline.start) == [0, 0, 10, 18]
    assert sorted(zip(before.tolist(), after.tolist(), strict=True)) == [(1, 2), (2, 3)]
    # the execution rule, on its own, would start the short one at once
    assert list(engine("fast")(builder.build()).start) == [0, 0, 11, 4]


def test_nothing_to_reserve() -> None:
    ordered, times = reserved(PlanBuilder(()).build())
    assert (len(ordered), times.makespan) == (0, 0)
