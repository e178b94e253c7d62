import numpy as np
import pytest
from hypothesis import given

from hybridsim.errors import TooLongError
from hybridsim.measure.usage import usage
from hybridsim.plan import Plan, PlanBuilder, Resource
from hybridsim.work import delay
from tests.random_inputs import Run, plans


@given(plan=plans())
def test_busy_and_idle_add_up_to_units_times_makespan(run: Run, plan: Plan) -> None:
    timeline = run(plan)
    table = usage(plan, timeline)
    units = np.array([resource.units for resource in plan.resources], np.int64)
    np.testing.assert_array_equal(table["busy_ps"] + table["idle_ps"], units * timeline.makespan)
    assert (table["idle_ps"] >= 0).all()
    assert table["utilization"].between(0, 1).all()


@given(plan=plans())
def test_busy_is_the_work_of_the_tasks_that_hold_it(run: Run, plan: Plan) -> None:
    timeline = run(plan)
    table = usage(plan, timeline)
    for resource, busy in enumerate(table["busy_ps"]):
        tasks = [t for t in range(len(plan)) if resource in plan.uses_of(t)]
        assert busy == timeline.duration[tasks].sum()


def test_a_table_names_its_rows_and_units(run: Run) -> None:
    builder = PlanBuilder((Resource("core", "cores", 2), Resource("link", "link")))
    builder.add("op", delay("add", 3), [0, 1])
    builder.add("op", delay("add", 4), [0])
    plan = builder.build()
    table = usage(plan, run(plan))
    assert table.index.tolist() == ["core", "link"]
    assert table.columns.tolist() == ["kind", "units", "busy_ps", "idle_ps", "utilization"]
    assert table.loc["core"].tolist() == ["cores", 2, 7, 1, 7 / 8]
    assert table.loc["link"].tolist() == ["link", 1, 3, 1, 3 / 4]


def test_a_run_that_takes_no_time_uses_nothing(run: Run) -> None:
    plan = PlanBuilder((Resource("core", "cores", 2),)).build()
    assert usage(plan, run(plan)).loc["core"].tolist() == ["cores", 2, 0, 0, 0.0]


def test_a_time_beyond_64_bits_is_refused(run: Run) -> None:
    builder = PlanBuilder((Resource("core", "cores", 1024),))
    builder.add("op", delay("wait", 2**54), [0])
    plan = builder.build()
    with pytest.raises(TooLongError, match="on 1,024 equal units does not fit 64 bits"):
        usage(plan, run(plan))
