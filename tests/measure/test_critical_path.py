from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.errors import PlanError
from hybridsim.measure.critical_path import critical_path, critical_share
from hybridsim.plan import Plan, PlanBuilder, Resource
from hybridsim.work import delay
from tests.random_inputs import Run, plans, two_stages


@given(plan=plans())
def test_the_path_fills_the_run_without_a_gap(run: Run, plan: Plan) -> None:
    timeline = run(plan)
    path = critical_path(plan, timeline)
    assert timeline.duration[path["task"]].sum() == timeline.makespan
    start, end = path["start_ps"].tolist(), path["end_ps"].tolist()
    assert [0, *end] == [*start, timeline.makespan]
    np.testing.assert_array_equal(timeline.start[path["task"]], start)
    np.testing.assert_array_equal(timeline.end[path["task"]], end)


@given(plan=plans())
def test_each_task_of_the_path_started_because_of_the_one_before(run: Run, plan: Plan) -> None:
    timeline = run(plan)
    tasks, why = (critical_path(plan, timeline)[c].tolist() for c in ("task", "why"))
    if tasks:
        assert why[0] == "start"
        assert tasks[-1] == np.argmax(timeline.end)
    for before, task, reason in zip(tasks, tasks[1:], why[1:], strict=False):
        needs = plan.needs_of(task)
        room = plan.room[plan.need_first[task] : plan.need_first[task + 1]]
        last = timeline.end[needs] == timeline.start[task]
        waited = timeline.ready[task] < timeline.start[task]
        if reason == "data":
            assert not waited
            assert before == needs[last & ~room][0]
        elif reason == "room":
            assert not waited
            assert before == needs[last & room][0]
            assert not (last & ~room).any()
        else:
            assert waited
            resource = [f"resource {r.name}" for r in plan.resources].index(reason)
            holders = [t for t in range(len(plan)) if resource in plan.uses_of(t)]
            assert task in holders
            assert before in holders
            now = timeline.start[task]
            taken = (timeline.start[holders] < now) & (timeline.end[holders] >= now)
            assert taken.sum() == plan.resources[resource].units


def test_room_need_that_ends_last_is_the_reason(run: Run) -> None:
    plan = two_stages([2, 2, 2], [5, 5, 5], room=2)
    path = critical_path(plan, run(plan))
    assert path["why"].tolist() == ["start", "data", "resource consumer", "resource consumer"]
    tight = two_stages([2, 2], [5, 5], room=1)
    assert critical_path(tight, run(tight))["why"].tolist() == ["start", "data", "room", "data"]


def test_data_is_the_reason_where_room_ends_as_late(run: Run) -> None:
    builder = PlanBuilder(())
    builder.add("op", delay("drain", 4), [])
    builder.add("op", delay("load", 4), [])
    builder.add("op", delay("mvm", 1), [], needs=[1], rooms=[0])
    plan = builder.build()
    path = critical_path(plan, run(plan))
    assert path["action"].tolist() == ["load", "mvm"]
    assert path["why"].tolist() == ["start", "data"]


def test_a_resource_of_which_a_unit_was_free_is_not_the_reason(run: Run) -> None:
    """Task 2 lacks the link alone: a core is given back at the same time, but one was free."""
    builder = PlanBuilder((Resource("core", "cores", 2), Resource("link", "link")))
    builder.add("op", delay("add", 6), [0])
    builder.add("op", delay("load", 6), [1])
    builder.add("op", delay("both", 1), [0, 1])
    plan = builder.build()
    path = critical_path(plan, run(plan))
    assert path["action"].tolist() == ["load", "both"]
    assert path["why"].tolist() == ["start", "resource link"]


def test_the_path_of_nothing_is_empty(run: Run) -> None:
    plan = PlanBuilder((Resource("core", "cores"),)).build()
    timeline = run(plan)
    columns = ["task", "op", "action", "item", "start_ps", "end_ps", "why"]
    assert critical_path(plan, timeline).columns.tolist() == columns
    assert len(critical_path(plan, timeline)) == len(critical_share(plan, timeline)) == 0


@pytest.mark.parametrize("delayed", [("ready", "start", "end"), ("start", "end")])
def test_a_timeline_of_another_plan_is_refused(run: Run, delayed: tuple[str, ...]) -> None:
    plan = two_stages([2], [5], room=1)
    timeline = run(plan)
    shift = np.array([0, 1])
    late = replace(timeline, **{column: getattr(timeline, column) + shift for column in delayed})
    with pytest.raises(PlanError, match=r"op: consume \[0\]: nothing in the plan makes it start"):
        critical_path(plan, late)


@given(plan=plans(), by=st.sampled_from(["resource", "kind", "op", "action", "why"]))
def test_shares_add_up_to_the_makespan(run: Run, plan: Plan, by: str) -> None:
    timeline = run(plan)
    table = critical_share(plan, timeline, by)
    assert table.index.name == by
    assert table.index.is_unique
    assert table["time_ps"].sum() == timeline.makespan
    assert table["time_ps"].is_monotonic_decreasing
    if len(plan):
        assert table["share"].sum() == pytest.approx(1)


def test_a_share_goes_to_what_was_held(run: Run) -> None:
    builder = PlanBuilder(
        (Resource("dma", "dma"), Resource("east", "link"), Resource("west", "link"))
    )
    before = builder.add("query", delay("load", 5), [2, 0, 1])
    before = builder.add("query", delay("send", 2), [0, 1], needs=[before])
    before = builder.add("key", delay("settle", 1), [], needs=[before])
    builder.add("key", delay("send", 2), [1, 0], needs=[before])
    plan = builder.build()
    timeline = run(plan)

    def times(by: str) -> dict[str, int]:
        table = critical_share(plan, timeline, by)
        np.testing.assert_array_equal(table["share"], table["time_ps"] / 10)
        return table["time_ps"].to_dict()

    assert times("resource") == {"dma + east + west": 5, "dma + east": 4, "delay": 1}
    assert times("kind") == {"dma + link": 9, "delay": 1}
    assert times("op") == {"query": 7, "key": 3}
    assert times("action") == {"load": 5, "send": 4, "settle": 1}
    assert times("why") == {"start": 5, "data": 5}
