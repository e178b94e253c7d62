import numpy as np
from hypothesis import given

from hybridsim.measure.usage import queue_depths
from hybridsim.plan import Plan, PlanBuilder, Resource, Timeline
from hybridsim.work import delay
from tests.random_inputs import Run, plans


def naive_depth(plan: Plan, timeline: Timeline, resource: int, now: int) -> int:
    """The definition, task by task."""
    return sum(
        resource in plan.uses_of(task) and timeline.ready[task] <= now < timeline.start[task]
        for task in range(len(plan))
    )


@given(plan=plans())
def test_a_queue_is_what_is_ready_and_has_not_started(run: Run, plan: Plan) -> None:
    timeline = run(plan)
    table = queue_depths(plan, timeline)
    instants = np.unique([0, *timeline.ready, *timeline.start, timeline.makespan])
    for index, resource in enumerate(plan.resources):
        own = table[table["resource"] == resource.name]
        for now in instants:
            told = own[own["time_ps"] <= now]["waiting"].iloc[-1]
            assert told == naive_depth(plan, timeline, index, now)


@given(plan=plans())
def test_rows_are_in_order_and_each_one_changes_something(run: Run, plan: Plan) -> None:
    for _, own in queue_depths(plan, run(plan)).groupby("resource"):
        assert own["time_ps"].iloc[0] == 0
        assert (np.diff(own["time_ps"]) > 0).all()
        assert (np.diff(own["waiting"]) != 0).all()
        assert own["waiting"].iloc[-1] == 0


def test_who_needs_two_parts_stands_before_both(run: Run) -> None:
    builder = PlanBuilder((Resource("dma", "dma"), Resource("link", "link", 2)))
    builder.add("op", delay("load", 5), [0, 1])
    builder.add("op", delay("store", 5), [0, 1])
    plan = builder.build()
    rows = queue_depths(plan, run(plan)).to_records(index=False).tolist()
    assert rows == [("dma", 0, 1), ("dma", 5, 0), ("link", 0, 1), ("link", 5, 0)]
