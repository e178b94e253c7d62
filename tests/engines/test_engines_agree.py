"""Both engines obey the one execution rule, so they return the same integers."""

import numpy as np
import pytest
from hypothesis import given, settings

from hybridsim.engines import engine
from hybridsim.plan import Plan, PlanBuilder, Resource, Timeline
from hybridsim.work import delay
from tests.engines import naive
from tests.random_inputs import Run, plans, times


def assert_same(found: Timeline, expected: Timeline) -> None:
    for column in ("ready", "start", "end"):
        values = getattr(found, column)
        assert values.dtype == np.int64
        np.testing.assert_array_equal(values, getattr(expected, column), column)


@given(plans())
@settings(max_examples=1500)
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


@pytest.mark.parametrize("seed", range(40))
def test_they_agree_where_tasks_queue_up(seed: int, run: Run) -> None:
    plan = crowd(seed)
    assert_same(run(plan), naive.run(plan, times(plan)))
