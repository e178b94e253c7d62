"""Jumping over what repeats gives the integers of executing every task."""

import numpy as np
import pytest
from hybridsim.engines._outline_tables import WINDOW
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.engines import Engine, compiled, reference, steady
from hybridsim.errors import PlanError
from hybridsim.measure.usage import usage
from hybridsim.plan import (
    Loop,
    Mostly,
    Need,
    Outline,
    PlanBuilder,
    Resource,
    Step,
    Within,
)
from hybridsim.work import Prices, Pricing, delay, price
from tests.carried_out import carried_out
from tests.engines import naive
from tests.random_inputs import delays, mostly_delay, resources, times

FEW = st.integers(1, 9) | st.integers(1, 10**9)


@st.composite
def own_needs(draw: st.DrawFn, place: int, size: int) -> list[Need | Within]:
    """Needs of a step in its own loop; some have none and run ahead without bound."""
    needs: list[Need | Within] = []
    for back in draw(st.lists(st.integers(0, 4), max_size=3)):
        if back or place:
            step = draw(st.integers(0, size - 1 if back else place - 1))
            needs.append(Within(step, back, room=back > 0))
    return needs


@st.composite
def other_needs(draw: st.DrawFn, before: list[Loop], count: int) -> list[Need | Within]:
    """Needs of single earlier tasks, and of earlier loops iteration by iteration."""
    needs: list[Need | Within] = []
    for loop in draw(st.lists(st.sampled_from(before), max_size=2)) if before else []:
        ratio = draw(st.integers(0, (loop.count - 1) // max(1, count - 1)))
        first = draw(st.integers(0, loop.count - 1 - ratio * (count - 1)))
        step = draw(st.integers(0, loop.size - 1))
        needs.append(Need(loop.task(step, first), ratio * loop.size))
    return needs


@st.composite
def mostly(draw: st.DrawFn, count: int) -> Mostly:
    first = draw(st.lists(FEW, max_size=min(2, count)))
    last = draw(st.lists(FEW, max_size=min(2, count - len(first))))
    return mostly_delay("work", draw(FEW), last, first)


@st.composite
def outlines(draw: st.DrawFn, most: int) -> Outline:
    builder, loops = PlanBuilder(draw(resources())), []
    held = st.lists(st.integers(0, len(builder.resources) - 1), max_size=2, unique=True)
    for _ in range(draw(st.integers(1, 4))):
        size = draw(st.integers(1, 5))
        counts = [loop.count for loop in loops]
        count = draw(
            st.sampled_from(counts) | st.integers(1, most) if counts else st.integers(1, most)
        )
        steps = [
            Step(
                draw(mostly(count)),
                tuple(draw(held)) if builder.resources else (),
                (*draw(own_needs(j, size)), *draw(other_needs(loops, count))),
            )
            for j in range(size)
        ]
        loops.append(builder.repeat(draw(st.sampled_from("ab")), steps, count))
    if draw(st.integers(0, 3)) == 0:
        by = len(builder.resources)
        swaps = {use: (use + 1) % by for use in range(by)}
        builder.again(builder.templates - 1, builder.templates - 1, "c", swaps)
    return builder.outline()


def extent(outline: Outline) -> steady.Extent:
    """Execute an outline of delays."""
    return steady.run(outline, Prices(outline.works, times(outline)))


def assert_same(
    outline: Outline, machine: Pricing | None = None, engine: Engine = compiled.run
) -> steady.Extent:
    """Compare with the full expansion, and return what was found.

    Without a ``machine`` the works are delays.
    """
    plan = outline.expand()
    if machine is None:
        timeline, found = engine(plan, times(plan)), extent(outline)
    else:
        timeline = carried_out(plan, machine, engine)
        found = steady.run(outline, price(outline.works, machine))
    assert found.makespan_ps == timeline.makespan
    assert found.ops == plan.ops
    for op, latency in enumerate(found.latency_ps.tolist()):
        own = plan.op == op
        if own.any():
            assert latency == timeline.end[own].max() - timeline.ready[own].min()
    assert found.busy_ps.tolist() == usage(plan, timeline)["busy_ps"].tolist()
    assert found.tasks == len(plan)
    assert found.executed <= found.tasks
    assert not found.laid_out or found.executed == found.tasks
    return found


@given(outlines(most=9))
@settings(max_examples=80)
def test_short_loops_are_executed_as_the_rule_says(outline: Outline) -> None:
    assert_same(outline, engine=naive.run)


@given(outlines(most=300))
@settings(max_examples=120)
def test_long_loops_end_where_full_expansion_ends(outline: Outline) -> None:
    assert_same(outline)


@given(outlines(most=60))
@settings(max_examples=20)
def test_simpy_agrees(outline: Outline) -> None:
    assert_same(outline, engine=reference.run)


def competing(count: int, ratio: int = 1) -> PlanBuilder:
    """Two loops with room for two batches that share resources; the second reads the first."""
    builder = PlanBuilder((Resource("a", "x", 2), Resource("b", "y"), Resource("c", "y")))
    before: tuple[Need, ...] = ()
    for durations in ((7, 5, 3), (4, 9, 2)):
        steps = [
            Step(delay("1", durations[0]), (0,), (Within(2, 2, room=True), *before)),
            Step(mostly_delay("2", durations[1], (1,), (8, 8)), (1, 2), (Within(0),)),
            Step(delay("3", durations[2]), (2,), (Within(1),)),
        ]
        loop = builder.repeat("op", steps, count)
        before, count = (Need(loop.task(2, 0), ratio * loop.size),), count // ratio
    return builder


@pytest.mark.parametrize("ratio", [1, 2, 3])
def test_long_loops_are_mostly_jumped_over(ratio: int) -> None:
    """Also where units and loops compete, and one loop reads another."""
    found = assert_same(competing(6_000, ratio).outline())
    assert found.executed < 0.1 * found.tasks
    assert not found.laid_out


@pytest.mark.parametrize("slow", [2, 50])
def test_a_slow_reader_falls_behind_and_is_jumped_over_all_the_same(slow: int) -> None:
    """Nothing but the window bounds how far the first loop runs ahead of the second."""
    builder = PlanBuilder((Resource("a", "x"), Resource("b", "y")))
    back = Within(0, 1)
    loop = builder.repeat("fast", [Step(delay("1", 3), (0,), (back,))], 20_000)
    reads = Need(loop.first, 1)
    builder.repeat("slow", [Step(delay("2", 3 * slow), (1,), (back, reads))], 20_000)
    found = assert_same(builder.outline())
    assert found.executed < 0.1 * found.tasks


@pytest.mark.parametrize("quick", [1, 2, 4])
def test_a_reader_that_starts_late_catches_up(quick: int) -> None:
    """It is jumped over until it has to wait; what runs beside the long task is executed."""
    builder = PlanBuilder((Resource("a", "x"), Resource("b", "y"), Resource("c", "z")))
    back = Within(0, 1)
    loop = builder.repeat("even", [Step(delay("1", 5), (0,), (back,))], 20_000)
    late = Need(builder.add("late", delay("wait", 40_000), (2,)))
    builder.repeat(
        "quick", [Step(delay("2", quick), (1,), (back, late, Need(loop.first, 1)))], 20_000
    )
    found = assert_same(builder.outline())
    assert found.executed < 10_000
    assert not found.laid_out


def test_a_loop_that_runs_ahead_of_the_window_is_laid_out() -> None:
    builder = PlanBuilder((Resource("a", "x"), Resource("b", "y")))
    far = Within(1, back=40 * WINDOW, room=True)
    builder.repeat(
        "op", [Step(delay("1", 1), (0,), (far,)), Step(delay("2", 3), (1,), (Within(0),))], 400
    )
    assert "runs ahead" in assert_same(builder.outline()).laid_out


def test_a_reader_of_every_other_task_is_laid_out() -> None:
    builder = PlanBuilder((Resource("a", "x"), Resource("b", "y")))
    steps = [Step(delay("1", 1), (0,), (Within(1, 1),)), Step(delay("2", 2), (0,), (Within(0),))]
    loop = builder.repeat("op", steps, 300)
    builder.repeat("op", [Step(delay("3", 3), (1,), (Need(loop.first, 1), Within(0, 1)))], 600)
    assert "out of step" in assert_same(builder.outline()).laid_out


def test_durations_that_differ_in_every_iteration_are_laid_out() -> None:
    builder = PlanBuilder((Resource("a", "x"),))
    durations = range(1, 301)
    builder.repeat("op", [Step(delays("1", durations), (0,), (Within(0, back=1),))], 300)
    found = assert_same(builder.outline())
    assert found.makespan_ps == sum(durations)
    assert "durations" in found.laid_out


def test_links_are_laid_out() -> None:
    builder = competing(20)
    builder.link(np.array([61]), np.array([4]))
    assert "links" in assert_same(builder.outline()).laid_out


@pytest.mark.parametrize(
    "step",
    [
        Step(mostly_delay("a", 5, (1, 2), (3, 4)), (0,)),
        Step(delay("a", 5), (1,)),
        Step(delay("a", 5), (0, 0)),
        Step(delay("a", 2**61), (0,)),
        Step(delay("a", 5), (0,), (Need(1),)),
        Step(delay("a", 5), (0,), (Within(0),)),
    ],
)
def test_what_no_engine_can_run_is_refused(step: Step) -> None:
    builder = PlanBuilder((Resource("tile", "tile"),))
    builder.repeat("op", [step], 3)
    with pytest.raises(PlanError):
        extent(builder.outline())


def test_a_plan_without_tasks_takes_no_time() -> None:
    assert extent(PlanBuilder(()).outline()).makespan_ps == 0
