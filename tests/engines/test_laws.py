"""What holds for every plan and every engine.

That more hardware is never slower is not among them: see docs/decisions/0002.
"""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.engines import Engine
from hybridsim.plan import Plan, Timeline
from tests.random_inputs import Run, plans, times, two_stages

some_durations = st.lists(st.integers(1, 9), min_size=1, max_size=12)


@given(plan=plans())
def test_a_timeline_respects_needs_and_units(run: Run, plan: Plan) -> None:
    timeline = run(plan)
    assert (timeline.start >= timeline.ready).all()
    np.testing.assert_array_equal(timeline.duration, times(plan)[plan.work])
    for task in range(len(plan)):
        assert timeline.ready[task] == timeline.end[plan.needs_of(task)].max(initial=0)
    for resource, what in enumerate(plan.resources):
        held = [t for t in range(len(plan)) if resource in plan.uses_of(t)]
        for now in timeline.start[held]:
            running = (timeline.start[held] <= now) & (now < timeline.end[held])
            assert running.sum() <= what.units


@given(plan=plans())
def test_the_makespan_has_bounds(run: Run, plan: Plan) -> None:
    """It is at least the longest chain of needs and the work per unit; at most all the work."""
    makespan = run(plan).makespan
    chain, durations = [0] * len(plan), times(plan)[plan.work]
    for task, duration in enumerate(durations.tolist()):
        chain[task] = duration + max((chain[need] for need in plan.needs_of(task)), default=0)
    assert makespan >= max(chain, default=0)
    for resource, what in enumerate(plan.resources):
        work = sum(int(durations[t]) for t in range(len(plan)) if resource in plan.uses_of(t))
        assert makespan * what.units >= work
    assert makespan <= durations.sum()


@given(plan=plans(), factor=st.integers(2, 1000))
def test_a_slower_clock_stretches_the_whole_timeline(
    engine: Engine, plan: Plan, factor: int
) -> None:
    slow: Timeline = engine(plan, times(plan) * factor)
    timeline = engine(plan, times(plan))
    np.testing.assert_array_equal(slow.ready, timeline.ready * factor)
    np.testing.assert_array_equal(slow.start, timeline.start * factor)


@given(batches=st.integers(1, 20), first=st.integers(1, 99), second=st.integers(1, 99),
       room=st.integers(2, 4))  # fmt: skip
def test_the_slower_stage_sets_the_pace(
    run: Run, batches: int, first: int, second: int, room: int
) -> None:
    """Fill with the first stage, repeat the slower one, drain with the second."""
    makespan = run(two_stages([first] * batches, [second] * batches, room)).makespan
    assert makespan == first + (batches - 1) * max(first, second) + second


@given(first=some_durations)
def test_room_for_one_batch_forbids_overlap(run: Run, first: list[int]) -> None:
    second = first[::-1]
    assert run(two_stages(first, second, room=1)).makespan == sum(first) + sum(second)


@given(batches=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12),
       room=st.integers(1, 5))  # fmt: skip
def test_a_producer_is_at_most_the_room_ahead(
    run: Run, batches: list[tuple[int, int]], room: int
) -> None:
    """Batch b is produced when batch b - 1 is, and batch b - room has been consumed."""
    produced, consumed = [0], [0]
    for b, (first, second) in enumerate(batches):
        freed = consumed[b - room + 1] if b >= room else 0
        produced.append(max(produced[-1], freed) + first)
        consumed.append(max(produced[-1], consumed[-1]) + second)
    timeline = run(two_stages(*zip(*batches, strict=True), room))
    assert timeline.end[0::2].tolist() == produced[1:]
    assert timeline.end[1::2].tolist() == consumed[1:]
