"""Outlines with other counts are those that are made with them, or are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.engines.looped import Looped, changed
from hybridsim.errors import PlanError
from hybridsim.plan import Need, Outline, Plan, PlanBuilder, Resource, Step, Within
from hybridsim.work import delay
from tests.engines.outlines import competing, outlines
from tests.engines.test_looped import pipeline
from tests.random_inputs import mostly_delay, times


def tasks_of(plan: Plan) -> list[tuple[object, ...]]:
    """What each task does, holds and waits for."""
    return [
        (plan.works[plan.work[t]], plan.uses_of(t).tolist(), plan.needs_of(t).tolist())
        for t in range(len(plan))
    ]


@pytest.mark.parametrize("count", [6, 19, 21, 61])
def test_a_pipeline_of_other_length_is_the_one_made_so(count: int) -> None:
    made = pipeline(count, 2, 1).expand()
    assert tasks_of(changed(pipeline(20, 2, 1), {20: count}).expand()) == tasks_of(made)


@pytest.mark.parametrize("ratio", [1, 2, 3])
def test_loops_beside_each_other_of_other_lengths_are_those_made_so(ratio: int) -> None:
    own, longer = competing(12, ratio), competing(30, ratio)
    lengths = {12: 30, 12 // ratio: 30 // ratio}
    assert tasks_of(changed(own.outline(), lengths).expand()) == tasks_of(
        longer.outline().expand()
    )


def reading(count: int, base: int, stride: int) -> Outline:
    """Two loops of 20 and of 5 iterations, and one that reads every ``stride``-th task."""
    builder = PlanBuilder((Resource("a", "x"), Resource("b", "y")))
    builder.repeat("a", [Step(delay("1", 3), (0,)), Step(delay("2", 2), (0,))], 20)
    builder.repeat("b", [Step(delay("3", 3), (0,)), Step(delay("4", 2), (0,))], 5)
    builder.repeat("c", [Step(delay("5", 3), (1,), (Need(base, stride),))], count)
    return builder.outline()


def test_what_reads_on_behind_the_end_of_a_loop_lets_it_not_grow() -> None:
    """The last read task is the first one of the next loop; in a longer loop it would not be."""
    outline = reading(21, 0, 2)
    assert changed(outline, {}).expand().needs_of(50 + 20).tolist() == [40]
    with pytest.raises(PlanError, match="long enough"):
        changed(outline, {20: 40})


def test_what_reads_out_of_step_lets_a_loop_not_grow() -> None:
    outline = reading(6, 0, 3)
    assert len(changed(outline, {20: 20})) == len(outline)
    with pytest.raises(PlanError, match="long enough"):
        changed(outline, {20: 40})


def test_what_reads_all_of_a_loop_does_not_grow_alone() -> None:
    outline = reading(20, 1, 2)
    assert len(changed(outline, {20: 40}).expand()) == 2 * 40 + 2 * 5 + 40
    shorter = reading(19, 1, 2)
    changed(shorter, {19: 20})
    with pytest.raises(PlanError, match="long enough"):
        changed(shorter, {19: 21})


@given(outlines(most=9), st.integers(0, 30))
def test_how_many_tasks_a_point_has_is_what_is_laid_out(outline: Outline, more: int) -> None:
    looped = Looped(outline)
    counts = looped.as_drawn(2)
    assert looped.tasks(counts).tolist() == [len(outline.expand())] * 2
    counts += [0, more]
    try:
        plans = [looped.laid_out(each) for each in counts.T.tolist()]
    except PlanError:
        return  # one loop reads another one
    assert looped.tasks(counts).tolist() == [len(plan) for plan in plans]


@pytest.mark.parametrize(
    "needs",
    [
        (Need(2),),  # itself
        (Need(0, 3),),  # itself, in the third iteration
        (Need(-1),),
        (Need(-1, 1),),  # nothing in the first iteration alone
        (Need(4, -2),),  # later ones
    ],
)
@pytest.mark.parametrize("count", [1, 3])
def test_a_task_waits_for_earlier_ones_alone(needs: tuple[Need, ...], count: int) -> None:
    builder = PlanBuilder((Resource("a", "x"),))
    builder.repeat("before", [Step(delay("1", 5), (0,))], 2)
    builder.repeat("op", [Step(delay("2", 5), (0,), needs), Step(delay("3", 5), (0,))], count)
    outline = builder.outline()
    if count == 1 and needs == (Need(0, 3),):
        assert Looped(outline).makespans(times(outline)[:, None]).tolist() == [20]
        return
    with pytest.raises(PlanError):
        Looped(outline).makespans(times(outline)[:, None])


def test_no_resource_beyond_the_last_and_none_twice() -> None:
    for uses in ((1,), (0, 0), (-1,)):
        builder = PlanBuilder((Resource("a", "x"),))
        builder.repeat("op", [Step(delay("a", 5), uses)], 3)
        with pytest.raises(PlanError, match="used twice, or is not there"):
            Looped(builder.outline()).makespans(times(builder.outline())[:, None])


def test_a_loop_may_consist_of_odd_iterations_alone() -> None:
    builder = PlanBuilder((Resource("a", "x"),))
    back = Within(0, 1)
    builder.repeat("op", [Step(mostly_delay("a", 5, (1, 2), (4,)), (0,), (back,))], 3)
    looped = Looped(builder.outline())
    time_ps = times(looped.outline)[:, None]
    assert looped.makespans(time_ps, np.array([[3]])).tolist() == [1 + 2 + 4]
    assert looped.makespans(time_ps, np.array([[5]])).tolist() == [1 + 2 + 4 + 2 * 5]
