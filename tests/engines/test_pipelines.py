"""Batches with the same steps take as long as their plan does, however many there are."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.arch import load_machine
from hybridsim.engines import compiled
from hybridsim.engines.lines import StepTimes
from hybridsim.engines.pipelines import TOO_FAR, Pipeline
from hybridsim.errors import PlanError, TooLongError
from hybridsim.mapping import place
from hybridsim.plan import Plan
from hybridsim.programs import BALANCED, CHOICES
from hybridsim.strategies import Job
from hybridsim.strategies.layers.outlines import ONCE, Steps, pipeline_of, pipelined_ps
from hybridsim.units import Ints
from hybridsim.validation.strategies import layer

EVERY = (*CHOICES, BALANCED, *(c.model_copy(update={"add": "separate"}) for c in CHOICES))


def job_with(links: int, output_buffers: int) -> Job:
    """A layer on a machine whose clusters share so many links."""
    changes = {
        "cluster.count": 4, "link.count": links, "tile.output_buffers": output_buffers
    }  # fmt: skip
    return Job(place(layer(64, 64), load_machine("ahwa_lora_2026", changes)), 8)


def times_of(draw: Any, rows: int, kinds: list[tuple[int, int]], longest: int) -> StepTimes:
    """Random times of kinds with so many first and last batches of their own."""
    entries = sum(before + after + 1 for before, after in kinds)
    seed = np.random.default_rng(draw(st.integers(0, 10**6)))
    befores, afters = np.array(kinds, np.int64).T
    begin = np.concatenate(([0], np.cumsum(befores + afters + 1)[:-1]))
    steps_ps = seed.integers(1, longest + 1, (rows, entries))
    steps_ps[0] = 0
    once_ps = np.concatenate(
        (seed.integers(1, longest + 1, (2, len(kinds))), np.zeros((1, len(kinds)), np.int64))
    )
    tokens = seed.integers(1, 4, entries)
    return StepTimes(
        once_ps, np.zeros_like(once_ps), steps_ps, tokens, begin, befores.copy(), afters.copy()
    )


def last_end(plan: Plan, slots: Ints, times: StepTimes, kind: int, vector: int) -> int:
    """Return the last end of a plan whose tasks are priced one by one."""
    count, found = int(plan.item.max()) + 1, np.empty(len(plan), np.int64)
    begin, before, after = (int(c[kind]) for c in (times.begin, times.before, times.after))
    for task, (row, batch) in enumerate(zip(slots.tolist(), plan.item.tolist(), strict=True)):
        if row < ONCE:
            found[task] = times.once_ps[row, kind]
            continue
        entry = begin + before + after
        if count - batch <= after:
            entry = begin + after - (count - batch)
        elif batch < before:
            entry = begin + after + batch
        found[task] = times.steps_ps[row - ONCE, entry]
        if row == ONCE:
            found[task] += times.tokens[entry] * vector
    apart = replace(
        plan, work=np.arange(len(plan)), works=tuple(plan.works[own] for own in plan.work)
    )
    return compiled.run(apart, found).makespan


@given(
    choice=st.sampled_from(EVERY), slices=st.integers(1, 3), early=st.booleans(),
    clusters=st.integers(1, 4), buffers=st.integers(1, 3), links=st.integers(1, 3),
    output_buffers=st.integers(1, 3), rounds=st.integers(1, 12),
    ends=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=2),
    longest=st.sampled_from([2, 9, 1000]), data=st.data(),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_points_take_as_long_as_their_plan(
    choice: Any, slices: int, early: bool, clusters: int, buffers: int, links: int,
    output_buffers: int, rounds: int, ends: list[tuple[int, int]], longest: int, data: Any,
) -> None:  # fmt: skip
    """Ties, contention for the link, first and last batches of their own, and lines of points."""
    job = job_with(links, output_buffers)
    steps = Steps(choice, slices, early, True, clusters)
    plan = steps.outline(buffers, rounds, job).expand()
    slots = np.array([work.shape[0] for work in plan.works], np.int64)[plan.work]
    fitting = [(b, a) if b + a <= rounds * clusters else (0, 0) for b, a in ends]
    times = times_of(data.draw, int(slots.max()) + 1 - ONCE, fitting, longest)
    vectors = data.draw(st.lists(st.integers(1, 3 * longest), min_size=2, max_size=12))
    kind = np.repeat(np.arange(len(fitting)), len(vectors))
    vector = np.array(vectors * len(fitting), np.int64)
    points = kind, vector, np.full(len(kind), rounds * clusters)
    found = pipelined_ps(steps, buffers, job, times, points)
    for k, v, latency in zip(kind.tolist(), vector.tolist(), found.tolist(), strict=True):
        assert latency == last_end(plan, slots, times, k, v)


@given(
    choice=st.sampled_from(EVERY), slices=st.integers(1, 2), early=st.booleans(),
    clusters=st.integers(1, 3), buffers=st.integers(1, 3), links=st.integers(1, 2),
    batches=st.integers(1, 40), longest=st.sampled_from([2, 9, 1000]), data=st.data(),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_a_point_of_a_line_is_as_if_it_were_alone(
    choice: Any, slices: int, early: bool, clusters: int, buffers: int, links: int, batches: int,
    longest: int, data: Any,
) -> None:  # fmt: skip
    """Whatever was told from the point before: each vector up to thrice the longest step."""
    steps = Steps(choice, slices, early, True, clusters)
    own = pipeline_of(steps, buffers, job_with(links, 2), 8)
    kinds = [(1, 1) if batches > 1 else (0, 0)]
    times = times_of(data.draw, int(own.steps.row.max()) + 1, kinds, longest)
    vector = np.unique(np.linspace(1, 3 * longest, 60).astype(np.int64))
    whole = own.makespans(times, np.zeros_like(vector), vector, np.full_like(vector, batches))
    for at in range(len(vector)):
        (alone,) = own.makespans(times, np.array([0]), vector[at : at + 1], np.array([batches]))
        assert alone == whole[at]


@given(
    choice=st.sampled_from(EVERY), slices=st.integers(1, 2), early=st.booleans(),
    links=st.integers(2, 3), buffers=st.integers(2, 3), batches=st.integers(2, 9),
    longest=st.sampled_from([30, 100, 1000]), data=st.data(),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_points_of_lines_take_as_long_in_any_order(
    choice: Any, slices: int, early: bool, links: int, buffers: int, batches: int, longest: int,
    data: Any,
) -> None:  # fmt: skip
    """Two lines one after the other, or in turn, where nothing is told from the point before.

    With more clusters than links, which are given back in an order that changes along a line.
    """
    steps = Steps(choice, slices, early, True, 4)
    own = pipeline_of(steps, buffers, job_with(links, 2), 8)
    times = times_of(data.draw, int(own.steps.row.max()) + 1, [(1, 1), (1, 1)], longest)
    vector = np.arange(1, 1 + 300)[None] * longest // 100
    points = np.arange(2)[:, None] + 0 * vector, vector + np.zeros((2, 1), np.int64)
    count = np.full(points[0].size, batches)
    lines = own.makespans(times, *(each.ravel() for each in points), count)
    in_turn = own.makespans(times, *(each.T.ravel() for each in points), count)
    assert (lines.reshape(2, -1) == in_turn.reshape(-1, 2).T).all()


def test_more_batches_than_can_be_numbered_are_refused() -> None:
    job, steps = job_with(1, 2), Steps(CHOICES[0], 1, True, True, 1)
    plan = steps.outline(1, 8, job).expand()
    slots = np.array([work.shape[0] for work in plan.works], np.int64)[plan.work]
    with pytest.raises(PlanError, match="may be under way"):
        Pipeline.of(plan, slots, ONCE, 1, 2**22)


def test_what_is_beyond_a_time_is_only_told_to_be() -> None:
    job, steps = job_with(1, 2), Steps(CHOICES[0], 1, True, True, 2)
    own = pipeline_of(steps, 2, job)
    rows = int(own.steps.row[: own.steps.size].max()) + 1
    times = StepTimes(
        np.full((3, 1), 5), np.zeros((3, 1), np.int64), np.full((rows, 1), 7), np.array([1]),
        *(np.array([0]) for _ in range(3)),
    )  # fmt: skip
    points = np.zeros(3, np.int64), np.full(3, 4), np.full(3, 50)
    (whole, *_) = own.makespans(times, *points).tolist()
    most = np.array([whole - 1, whole, whole // 2])
    found = own.makespans(times, *points, most)
    assert found[1] == whole
    assert (found[[0, 2]] > most[[0, 2]]).all()
    with pytest.raises(TooLongError):
        own.makespans(times, points[0], np.full(3, 2**57), points[2])


def test_a_total_is_of_the_batches_that_are_neither_first_nor_last() -> None:
    job, steps = job_with(1, 2), Steps(CHOICES[0], 1, True, True, 2)
    own = pipeline_of(steps, 2, job)
    rows = int(own.steps.row[: own.steps.size].max()) + 1
    last_first_usual = np.tile([1, 1, 2**62 // (40 * rows)], (rows, 1))
    times = StepTimes(
        np.full((3, 1), 5), np.zeros((3, 1), np.int64), last_first_usual, np.ones(3, np.int64),
        *(np.array([n]) for n in (0, 1, 1)),
    )  # fmt: skip
    with pytest.raises(TooLongError):
        own.makespans(times, *(np.array([n]) for n in (0, 4, 50)))


def test_a_window_that_is_too_small_says_so() -> None:
    """And a wider one is taken."""
    job, steps = job_with(3, 3), Steps(CHOICES[0], 1, True, True, 3)
    plan = steps.outline(3, 40, job).expand()
    slots = np.array([work.shape[0] for work in plan.works], np.int64)[plan.work]
    small = Pipeline.of(plan, slots, ONCE, 3, 9)
    rows = int(slots.max()) + 1 - ONCE
    times = StepTimes(
        np.ones((3, 1), np.int64), np.zeros((3, 1), np.int64), np.full((rows, 1), 3),
        np.array([1]), *(np.array([0]) for _ in range(3)),
    )  # fmt: skip
    (found,) = small.makespans(times, *(np.array([n]) for n in (0, 1, 120)))
    expected = last_end(plan, slots, times, 0, 1)
    assert found in (TOO_FAR, expected)
    points = np.array([0]), np.array([1]), np.array([120])
    assert pipelined_ps(steps, 3, job, times, points).tolist() == [expected]
