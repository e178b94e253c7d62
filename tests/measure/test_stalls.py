from collections import Counter
from itertools import pairwise

import numpy as np
from hypothesis import given

from hybridsim.engines.reservation import reserved
from hybridsim.measure.stalls import stalls_by_kind, stalls_by_resource, stalls_by_task
from hybridsim.measure.usage import usage
from hybridsim.plan import Plan, PlanBuilder, Resource, Timeline
from hybridsim.work import delay
from tests.random_inputs import Run, plans, times, two_stages

WHERE_TIME_GOES = ["busy_ps", "waiting_ps", "blocked_ps", "starved_ps", "finished_ps"]


def naive_ready(plan: Plan, timeline: Timeline, task: int, rooms: bool) -> int:
    """When the last of its data needs ended, and of its room needs, one need at a time."""
    ends = [0]
    for k in range(plan.need_first[task], plan.need_first[task + 1]):
        only_order = plan.order is not None and plan.order[k]
        if not only_order and (rooms or not plan.room[k]):
            ends.append(int(timeline.end[plan.need[k]]))
    return max(ends)


def naive_data_ready(plan: Plan, timeline: Timeline, task: int) -> int:
    return naive_ready(plan, timeline, task, rooms=False)


def naive_partition(plan: Plan, timeline: Timeline, resource: int) -> Counter[str]:
    """The definitions, instant by instant, for one resource."""
    tasks = [t for t in range(len(plan)) if resource in plan.uses_of(t)]
    data = {t: naive_data_ready(plan, timeline, t) for t in tasks}
    ready = {t: naive_ready(plan, timeline, t, rooms=True) for t in tasks}
    start, end = (dict(enumerate(c.tolist())) for c in (timeline.start, timeline.end))
    instants = sorted({0, timeline.makespan, *data.values(), *(x[t] for t in tasks
                       for x in (ready, start, end))})  # fmt: skip
    spent: Counter[str] = Counter()
    for now, until in pairwise(instants):
        running = sum(start[t] <= now < end[t] for t in tasks)
        if any(ready[t] <= now < start[t] for t in tasks):
            state = "waiting_ps"
        elif any(data[t] <= now < ready[t] for t in tasks):
            state = "blocked_ps"
        elif any(now < start[t] for t in tasks):
            state = "starved_ps"
        else:
            state = "finished_ps"
        spent["busy_ps"] += running * (until - now)
        spent[state] += (plan.resources[resource].units - running) * (until - now)
    return spent


@given(plan=plans())
def test_every_instant_of_every_unit_is_accounted_for_once(run: Run, plan: Plan) -> None:
    timeline = run(plan)
    table, used = stalls_by_resource(plan, timeline), usage(plan, timeline)
    capacity = table["units"] * timeline.makespan
    assert (table[WHERE_TIME_GOES] >= 0).all(axis=None)
    np.testing.assert_array_equal(table[WHERE_TIME_GOES].sum(axis=1), capacity)
    np.testing.assert_array_equal(table["busy_ps"], used["busy_ps"])
    np.testing.assert_array_equal(table[WHERE_TIME_GOES[1:]].sum(axis=1), used["idle_ps"])


@given(plan=plans())
def test_a_free_unit_is_put_down_to_what_its_tasks_lack(run: Run, plan: Plan) -> None:
    timeline = run(plan)
    table = stalls_by_resource(plan, timeline)
    for resource, row in enumerate(table.to_dict("records")):
        expected = naive_partition(plan, timeline, resource)
        assert {column: row[column] for column in WHERE_TIME_GOES} == {
            column: expected[column] for column in WHERE_TIME_GOES
        }


@given(plan=plans())
def test_a_reserved_turn_is_waiting_not_starving(plan: Plan) -> None:
    """A reserved plan has the same data and room needs; what is added only fixes turns."""
    order, timeline = reserved(plan, times(plan))
    for index, name in enumerate(resource.name for resource in order.resources):
        row = stalls_by_resource(order, timeline).loc[name, WHERE_TIME_GOES]
        assert row.to_dict() == {k: naive_partition(order, timeline, index)[k] for k in row.index}
    stalls = stalls_by_task(order, timeline)
    assert (stalls >= 0).all(axis=None)
    data = [naive_data_ready(order, timeline, t) for t in range(len(order))]
    assert (stalls["blocked_ps"] + data <= timeline.ready).all()
    np.testing.assert_array_equal(
        data + stalls["blocked_ps"] + stalls["waiting_ps"], timeline.start
    )


@given(plan=plans())
def test_a_task_is_blocked_until_ready_and_waits_until_it_starts(run: Run, plan: Plan) -> None:
    timeline = run(plan)
    table = stalls_by_task(plan, timeline)
    data = [naive_data_ready(plan, timeline, t) for t in range(len(plan))]
    assert (table >= 0).all(axis=None)
    np.testing.assert_array_equal(data + table["blocked_ps"], timeline.ready)
    np.testing.assert_array_equal(timeline.ready + table["waiting_ps"], timeline.start)


@given(plan=plans())
def test_a_kind_sums_over_the_tasks_that_hold_it(run: Run, plan: Plan) -> None:
    timeline = run(plan)
    by_task = stalls_by_task(plan, timeline)
    kinds = [{plan.resources[r].kind for r in plan.uses_of(t)} for t in range(len(plan))]
    table = stalls_by_kind(plan, timeline)
    expected = {resource.kind for resource in plan.resources}
    expected |= {"delay"} if set() in kinds else set()
    assert set(table.index) == expected
    for kind, row in table.iterrows():
        tasks = [t for t, held in enumerate(kinds) if kind in (held or {"delay"})]
        assert row["tasks"] == len(tasks)
        assert row["running_ps"] == timeline.duration[tasks].sum()
        assert row["blocked_ps"] == by_task["blocked_ps"][tasks].sum()
        assert row["waiting_ps"] == by_task["waiting_ps"][tasks].sum()


def test_a_fast_producer_is_blocked_and_a_fast_consumer_starved(run: Run) -> None:
    plan = two_stages([2, 2, 2], [5, 5, 5], room=1)
    table = stalls_by_resource(plan, run(plan))
    assert table.index.tolist() == ["producer", "consumer"]
    assert table.loc["producer", WHERE_TIME_GOES].tolist() == [6, 0, 10, 0, 5]
    assert table.loc["consumer", WHERE_TIME_GOES].tolist() == [15, 0, 0, 6, 0]


def test_a_free_resource_waits_for_the_other_that_its_task_uses(run: Run) -> None:
    builder = PlanBuilder((Resource("dma", "dma"), Resource("link", "link")))
    builder.add("op", delay("send", 4), [1])
    builder.add("op", delay("load", 2), [0, 1])
    builder.add("op", delay("send", 3), [1])
    plan = builder.build()
    timeline = run(plan)
    table = stalls_by_resource(plan, timeline)
    assert table.loc["dma", WHERE_TIME_GOES].tolist() == [2, 4, 0, 0, 3]
    assert table.loc["link", WHERE_TIME_GOES].tolist() == [9, 0, 0, 0, 0]
    assert stalls_by_kind(plan, timeline).loc["dma"].tolist() == [1, 2, 0, 4]


def test_nothing_to_do_is_no_stall(run: Run) -> None:
    plan = PlanBuilder((Resource("core", "cores", 2),)).build()
    timeline = run(plan)
    assert stalls_by_resource(plan, timeline).loc["core"].tolist() == ["cores", 2, 0, 0, 0, 0, 0]
    assert len(stalls_by_task(plan, timeline)) == 0
    assert stalls_by_kind(plan, timeline).loc["cores"].tolist() == [0, 0, 0, 0]
