"""A builder lays templates out as a plain loop would; a plan refuses what no engine can run."""

from dataclasses import replace
from functools import partial
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.errors import CapacityError, PlanError
from hybridsim.plan import Loop, Need, Plan, PlanBuilder, Resource, Step, Timeline, Within
from hybridsim.plan.building import MOST_TASKS
from hybridsim.work import delay
from tests.random_inputs import delays, plans

LONG = "hybridsim.plan._expansion._LONG"
"""From how many tasks on a template is laid out on its own."""
BLOCK = "hybridsim.plan.columns._BLOCK"
"""How many tasks are checked at a time."""
RESOURCES = (Resource("tile 0", "tile"), Resource("core", "cores", 2), Resource("link", "link"))


@st.composite
def templates(draw: st.DrawFn, first: int) -> tuple[str, list[Step], int]:
    """An op, its steps and their number of iterations, for a loop that begins at ``first``."""
    size, count = draw(st.integers(0, 4)), draw(st.integers(0, 5))
    steps = []
    for step in range(size):
        needs: list[Need | Within] = []
        for room in draw(st.lists(st.booleans(), max_size=3)):
            back = draw(st.integers(0, 3))
            if back or step:
                place = draw(st.integers(0, size - 1 if back else step - 1))
                needs.append(Within(place, back, room))
            if first:
                # iterations reach first, first + stride, ...: the last one must be laid out
                stride = draw(st.integers(0, (first - 1) // max(count - 1, 1)))
                base = draw(st.integers(0, first - 1 - stride * max(count - 1, 0)))
                needs.append(Need(base, stride, room))
        each = st.lists(st.integers(1, 99), min_size=count, max_size=count)
        label = draw(st.sampled_from("mls"))
        works = st.integers(1, 99).map(partial(delay, label)) | each.map(partial(delays, label))
        uses = draw(st.lists(st.integers(0, len(RESOURCES) - 1), unique=True))
        steps.append(Step(draw(works), tuple(uses), tuple(needs)))
    return draw(st.sampled_from(["query", "key"])), steps, count


@given(st.data())
def test_templates_are_laid_out_as_a_plain_loop_would(data: st.DataObject) -> None:
    builder = PlanBuilder(RESOURCES)
    works, uses, needs, rooms, names = ([] for _ in range(5))
    for _ in range(data.draw(st.integers(0, 4))):
        first = len(builder)
        op, steps, count = data.draw(templates(first))
        assert builder.repeat(op, steps, count) == Loop(first, len(steps), count)
        for i in range(count):
            for step in steps:
                works.append(step.work[i] if isinstance(step.work, tuple) else step.work)
                uses.append(list(step.uses))
                names.append(f"{op}: {works[-1].label} [{i}]")
                sources, room = [], []
                for need in step.needs:
                    if isinstance(need, Need):
                        sources.append(need.base + need.stride * i)
                    elif i >= need.back:
                        sources.append(first + (i - need.back) * len(steps) + need.step)
                    else:
                        continue
                    room.append(need.room)
                needs.append(sources)
                rooms.append(room)
    long = data.draw(st.sampled_from([1, 5, 4096]))  # where templates are laid out on their own
    block = data.draw(st.integers(1, 20))
    with patch(LONG, long), patch(BLOCK, block):
        plan = builder.build()
    assert len(plan) == len(builder) == len(works)
    assert [plan.works[work] for work in plan.work] == works
    assert [plan.uses_of(t).tolist() for t in range(len(plan))] == uses
    assert [plan.needs_of(t).tolist() for t in range(len(plan))] == needs
    assert plan.room.tolist() == [r for of_task in rooms for r in of_task]
    assert [plan.name(t) for t in range(len(plan))] == names
    assert all(column.dtype == np.int64 for column in (plan.work, plan.use, plan.need))


@pytest.mark.parametrize("batches", [1, 2, 3, 4])
@pytest.mark.parametrize("long", [1, 4096])
def test_items_count_the_batches_of_all_iterations(batches: int, long: int) -> None:
    """A step more than fits whole batches begins one more of them."""
    builder = PlanBuilder(RESOURCES)
    steps = [Step(delay("mvm", 1), (0,))] * 5
    builder.repeat("op", steps, 3, batches, first_item=7)
    with patch(LONG, long):
        plan = builder.build()
    assert plan.item.tolist() == [7 + task // (5 // batches) for task in range(15)]


@given(plans())
def test_loops_cover_all_tasks_in_order(plan: Plan) -> None:
    tasks = [
        loop.task(step, iteration)
        for loop in plan.loops
        for iteration in range(loop.count)
        for step in range(loop.size)
    ]
    assert tasks == list(range(len(plan)))


@given(plans())
def test_works_are_distinct_and_each_is_done_by_some_task(plan: Plan) -> None:
    assert len(set(plan.works)) == len(plan.works)
    assert set(plan.work.tolist()) == set(range(len(plan.works)))


def test_a_loop_counts_iterations_from_the_end_as_well() -> None:
    loop = Loop(first=10, size=3, count=4)
    assert [loop.task(2, iteration) for iteration in (0, 3, -1, -4)] == [12, 21, 21, 12]


def test_a_task_knows_its_needs_uses_and_name() -> None:
    builder = PlanBuilder(RESOURCES)
    load = builder.add("block3.query", delay("load x", 7), uses=[2, 1])
    mvm = builder.add("block3.query", delay("mvm", 256_000), [0], needs=[load], rooms=[load])
    plan = builder.build()
    assert (load, mvm) == (0, 1)
    assert plan.uses_of(load).tolist() == [2, 1]
    assert plan.needs_of(mvm).tolist() == [load, load]
    assert plan.room.tolist() == [False, True]
    assert plan.name(mvm) == "block3.query: mvm [0]"
    assert (plan.ops, plan.labels) == (("block3.query",), ("load x", "mvm"))


def test_a_builder_can_go_on_after_a_plan_was_built() -> None:
    builder = PlanBuilder(RESOURCES)
    builder.add("op", delay("mvm", 5), [0])
    before = builder.build()
    builder.add("op", delay("mvm", 6), [0], needs=[0])
    assert (len(before), len(builder.build())) == (1, 2)


def test_a_plan_without_tasks_is_a_plan() -> None:
    plan = PlanBuilder(()).build()
    assert len(plan) == 0
    assert plan.use_first.tolist() == plan.need_first.tolist() == [0]
    assert plan.loops == ()


def test_the_makespan_is_the_last_end() -> None:
    nothing = np.empty(0, np.int64)
    assert Timeline(nothing, nothing, nothing).makespan == 0
    assert Timeline(np.array([0, 0]), np.array([0, 2]), np.array([9, 4])).makespan == 9


@pytest.fixture
def plan() -> Plan:
    builder = PlanBuilder(RESOURCES)
    builder.add("op", delay("mvm", 5), [0, 1])
    builder.add("op", delay("add", 6), [1, 2], needs=[0])
    return builder.build()


@pytest.mark.parametrize(
    ("column", "values", "complaint"),
    [
        ("work", [0, 2], "a task does a work that the plan does not have"),
        ("work", [-1, 0], "a task does a work that the plan does not have"),
        ("need", [1], r"op: add \[0\]: needs task 1, which is not before it"),
        ("need", [2], r"op: add \[0\]: needs task 2, which is not before it"),
        ("need", [-1], r"op: add \[0\]: needs task -1, which is not before it"),
        ("use", [0, 1, 1, 3], "a task uses a resource that the plan does not have"),
        ("use", [-1, 1, 1, 2], "a task uses a resource that the plan does not have"),
        ("use", [0, 1, 2, 2], "a task uses the same resource twice"),
        ("use", [0, 0, 1, 2], "a task uses the same resource twice"),
    ],
)
@pytest.mark.parametrize("block", [1, 2, 100])
def test_what_no_engine_can_run_is_refused(
    plan: Plan, column: str, values: list[int], complaint: str, block: int
) -> None:
    with patch(BLOCK, block), pytest.raises(PlanError, match=complaint):
        replace(plan, **{column: np.array(values, np.int64)})


def test_tasks_may_hold_many_resources_and_none_twice() -> None:
    """More than are compared one by one, in any order."""
    builder = PlanBuilder(tuple(Resource(f"r{i}", "part") for i in range(7)))
    builder.add("op", delay("mvm", 5), range(7))
    builder.add("op", delay("mvm", 5), range(6, -1, -1))
    plan = builder.build()
    use = plan.use.copy()
    use[-1] = 6
    with pytest.raises(PlanError, match="the same resource twice"):
        replace(plan, use=use)


def test_a_task_that_waits_for_one_more_needs_its_data_as_well() -> None:
    builder = PlanBuilder(RESOURCES)
    builder.add("op", delay("mvm", 5), [0, 1])
    builder.add("op", delay("mvm", 5), [0])
    builder.add("op", delay("add", 6), [1, 2], needs=[0])
    found = builder.build().waiting(np.array([2, 1]), np.array([1, 0]))
    assert [found.needs_of(task).tolist() for task in range(3)] == [[], [0], [0, 1]]
    assert not found.room.any()


def test_tasks_that_last_longer_than_64_bits_can_hold_are_refused(plan: Plan) -> None:
    with pytest.raises(PlanError, match=r"the tasks last 2\^62 ps \(53 days\) or more"):
        plan.times(np.array([2**61, 2**61]))


def test_the_times_of_works_are_those_of_the_tasks_that_do_them() -> None:
    builder = PlanBuilder(RESOURCES)
    for label in ("mvm", "add", "mvm"):
        builder.add("op", delay(label, 5), [0])
    assert builder.build().times(np.array([7, 9])).tolist() == [7, 9, 7]


@pytest.mark.parametrize("units", [0, -1])
def test_a_resource_without_units_is_refused(plan: Plan, units: int) -> None:
    with pytest.raises(PlanError, match=rf"resource core: has {units} units; it needs 1 or more"):
        replace(plan, resources=(RESOURCES[0], Resource("core", "cores", units), RESOURCES[2]))


def test_a_need_of_a_later_step_of_the_same_iteration_is_refused() -> None:
    builder = PlanBuilder(RESOURCES)
    builder.repeat("op", [Step(delay("a", 1), (0,), (Within(1),)), Step(delay("b", 1), (1,))], 2)
    with pytest.raises(PlanError, match=r"op: a \[0\]: needs task 1, which is not before it"):
        builder.build()


def test_a_need_of_a_step_that_is_not_there_is_refused() -> None:
    builder = PlanBuilder((Resource("tile", "tile"),))
    with pytest.raises(PlanError, match="needs step 3 of a loop of 1 steps"):
        builder.repeat("layer", [Step(delay("mvm", 1), (0,), (Within(3, back=2),))], 4)


def test_a_plan_that_fits_no_memory_is_refused_before_it_is_laid_out() -> None:
    builder = PlanBuilder((Resource("tile0", "tile"),))
    builder.repeat("op", [Step(delay("wait", 1), (0,), ())], MOST_TASKS + 1)
    with pytest.raises(CapacityError, match="has 33,554,433 tasks; at most 33,554,432"):
        builder.build()
    with pytest.raises(CapacityError, match="larger batches, fewer tokens"):
        builder.outline().expand()
