"""Both engines obey the one execution rule, so they return the same integers."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from hybridsim.engines import compiled, engine
from hybridsim.errors import PlanError
from hybridsim.plan import Plan, PlanBuilder, Resource, Step, Timeline, Within
from hybridsim.work import delay
from tests.engines import naive
from tests.random_inputs import Run, plans, times


def assert_same(found: Timeline, expected: Timeline) -> None:
    for column in ("ready", "start", "end"):
        values = getattr(found, column)
        assert values.dtype == np.int64
        np.testing.assert_array_equal(values, getattr(expected, column), column)


@given(plans())
@settings(max_examples=800)
def test_both_engines_return_what_the_rule_says(plan: Plan) -> None:
    expected = naive.run(plan, times(plan))
    assert_same(engine("reference")(plan, times(plan)), expected)
    assert_same(engine("compiled")(plan, times(plan)), expected)


def crowd(seed: int) -> Plan:
    """Many tasks on few resources, most of them ready long before they can start."""
    rng = np.random.default_rng(seed)
    units = rng.integers(1, 4, size=rng.integers(1, 7))
    builder = PlanBuilder(tuple(Resource(f"r{i}", "kind", int(n)) for i, n in enumerate(units)))
    longest, share_with_needs = rng.choice([2, 5, 10**9]), rng.random() / 2
    for task in range(120):
        uses = rng.permutation(len(units))[: rng.integers(0, 4)]
        needs = rng.integers(0, task, 2) if task and rng.random() < share_with_needs else ()
        duration = int(rng.integers(1, longest, endpoint=True))
        work = delay("action", duration)
        builder.add("op", work, [int(r) for r in uses], [int(n) for n in needs])
    return builder.build()


def senders(seed: int) -> Plan:
    """Owners of one resource each that share some links, and delays that many tasks wait for.

    Queues are many and each is parked and sent again and again; needs are up to seven, of all
    kinds, so that a task goes on waiting when one of them has ended.
    """
    rng = np.random.default_rng(seed)
    owners, links = int(rng.integers(2, 13)), int(rng.integers(1, 4))
    units = rng.choice([1, 1, 1, 2, 3], owners + links)
    builder = PlanBuilder(tuple(Resource(f"r{i}", "kind", int(n)) for i, n in enumerate(units)))
    longest, eager = int(rng.choice([1, 4, 1000])), rng.random()
    for task in range(150):
        shared = owners + rng.permutation(links)[: rng.integers(1, links, endpoint=True)]
        uses = [] if rng.random() < 0.1 else [int(rng.integers(owners)), *shared.tolist()]
        near = range(max(0, task - 20), task)
        count = 0 if rng.random() < eager else min(len(near), int(rng.integers(1, 8)))
        needs = rng.choice(near, count, replace=False).tolist() if count else []
        data = int(rng.integers(count + 1))
        duration = int(rng.integers(1, longest, endpoint=True))
        builder.add("op", delay("action", duration), uses, needs[:data], needs[data:])
    plan = builder.build()
    return replace(plan, order=rng.random(len(plan.need)) < 0.3)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("kind", [crowd, senders])
def test_they_agree_where_tasks_queue_up(kind, seed: int, run: Run) -> None:
    plan = kind(seed)
    assert_same(run(plan), naive.run(plan, times(plan)))


def rounds(resources: int, size: int, count: int, seed: int) -> Plan:
    """A loop of ``count`` iterations, too long for the word of the rule."""
    rng = np.random.default_rng(seed)
    builder = PlanBuilder(tuple(Resource(f"r{i}", "kind", 1 + i % 2) for i in range(resources)))
    steps = []
    for step in range(size):
        needs = [Within(int(rng.integers(step)))] if step and rng.random() < 0.7 else []
        needs += [
            Within(int(rng.integers(size)), back=int(rng.integers(1, 9)), room=True)
            for _ in range(rng.integers(0, 3))
        ]
        uses = tuple(rng.permutation(resources)[: rng.integers(0, 4)].tolist())
        works = tuple(delay("work", each) for each in rng.integers(1, 50, count).tolist())
        steps.append(Step(works, uses, tuple(needs)))
    builder.repeat("op", steps, count)
    return builder.build()


@pytest.mark.parametrize("seed", range(10))
def test_they_agree_on_long_plans(seed: int) -> None:
    plan = rounds(resources=12, size=40, count=100, seed=seed)
    assert_same(engine("compiled")(plan, times(plan)), engine("reference")(plan, times(plan)))


@given(plans())
def test_what_a_need_is_for_changes_no_time(run: Run, plan: Plan) -> None:
    bare = replace(plan, room=np.zeros_like(plan.room))
    assert_same(run(replace(bare, order=~plan.room)), run(plan))


def test_a_plan_that_outgrows_32_bits_is_refused_by_the_compiled_engine(monkeypatch) -> None:
    monkeypatch.setattr(compiled, "_MOST_TASKS", 120)
    small, large = crowd(0), senders(0)
    assert_same(compiled.run(small, times(small)), naive.run(small, times(small)))
    with pytest.raises(PlanError, match="a plan of 150 tasks"):
        compiled.run(large, times(large))
