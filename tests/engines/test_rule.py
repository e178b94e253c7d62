"""The execution rule of hybridsim.plan, clause by clause, on plans that fit on a line."""

from itertools import permutations

import numpy as np
import pytest

from hybridsim.plan import Plan, PlanBuilder, Resource, Timeline
from hybridsim.work import delay
from tests.random_inputs import Run


def plan(
    units: list[int], *tasks: tuple[list[int], int] | tuple[list[int], int, list[int]]
) -> Plan:
    """A plan from (resources used, duration, needs) per task."""
    builder = PlanBuilder(tuple(Resource(f"r{i}", "kind", n) for i, n in enumerate(units)))
    for uses, duration, *needs in tasks:
        builder.add("op", delay("action", duration), uses, *needs)
    return builder.build()


def test_nothing_to_do_takes_no_time(run: Run) -> None:
    timeline = run(plan([1, 2]))
    assert timeline.makespan == 0
    assert len(timeline.ready) == len(timeline.start) == len(timeline.end) == 0


def test_a_plan_without_resources_runs_all_at_once(run: Run) -> None:
    timeline = run(plan([], ([], 5), ([], 3), ([], 2, [0, 1])))
    assert timeline.start.tolist() == [0, 0, 5]
    assert timeline.makespan == 7


def test_a_task_is_ready_when_its_last_need_has_ended(run: Run) -> None:
    timeline = run(plan([], ([], 5), ([], 3), ([], 1, [0, 1]), ([], 1, [1])))
    assert timeline.ready.tolist() == [0, 0, 5, 3]


@pytest.mark.parametrize("durations", [*permutations((2, 3, 5, 5))])
def test_needs_may_end_in_any_order(run: Run, durations: tuple[int, ...]) -> None:
    """Task 4 needs all; 5 and 6 need two each, one of which may be the first to end."""
    first = [([], duration) for duration in durations]
    timeline = run(plan([], *first, ([], 1, [0, 1, 2, 3]), ([], 1, [0, 1]), ([], 1, [1, 2])))
    a, b, c, _ = durations
    assert timeline.ready[4:].tolist() == [5, max(a, b), max(b, c)]


def test_a_room_need_counts_like_a_data_need(run: Run) -> None:
    builder = PlanBuilder(())
    builder.add("op", delay("action", 5), ())
    builder.add("op", delay("action", 1), (), rooms=[0])
    assert run(builder.build()).ready.tolist() == [0, 5]


def test_the_same_need_twice_is_one_need(run: Run) -> None:
    assert run(plan([], ([], 5), ([], 1, [0, 0]))).start.tolist() == [0, 5]


def test_plan_order_beats_the_order_of_arrival(run: Run) -> None:
    """Tasks 2 and 3 wait for the resource; 3 came first, but 2 is before it in the plan."""
    timeline = run(plan([1], ([], 2), ([0], 4), ([0], 1, [0]), ([0], 1)))
    assert timeline.ready.tolist() == [0, 0, 2, 0]
    assert timeline.start.tolist() == [0, 0, 4, 5]


def test_all_completions_of_an_instant_come_before_any_start(run: Run) -> None:
    """At 3 the resource is given back, then task 2 becomes ready: it still goes before 3."""
    timeline = run(plan([1], ([0], 3), ([], 3), ([0], 1, [1]), ([0], 1)))
    assert timeline.start.tolist() == [0, 0, 3, 4]


def test_a_task_takes_all_its_resources_or_none(run: Run) -> None:
    """Task 1 lacks resource 0, so it leaves resource 1 to task 2."""
    timeline = run(plan([1, 1], ([0], 5), ([0, 1], 5), ([1], 3)))
    assert timeline.start.tolist() == [0, 5, 0]


def test_a_task_that_takes_nothing_can_be_overtaken_for_ever(run: Run) -> None:
    """No head-of-line blocking: the ones after it keep resource 1 busy whenever 0 is free."""
    timeline = run(plan([1, 1], ([0], 4), ([1], 6), ([0, 1], 1), ([0], 4), ([1], 6)))
    assert timeline.start.tolist() == [0, 0, 12, 4, 6]


def test_each_unit_holds_one_task(run: Run) -> None:
    timeline = run(plan([2], ([0], 3), ([0], 4), ([0], 1), ([0], 1)))
    assert timeline.start.tolist() == [0, 0, 3, 4]


def test_units_given_back_together_are_given_out_in_plan_order(run: Run) -> None:
    """At 3 both units are free: tasks 2 and 3 take them, though 4 waits as long."""
    timeline = run(plan([2], ([0], 3), ([0], 3), ([0], 2), ([0], 3), ([0], 1)))
    assert timeline.start.tolist() == [0, 0, 3, 3, 5]


def test_a_shared_link_goes_to_the_first_in_the_plan_whatever_else_it_holds(
    run: Run,
) -> None:
    """Transfers of three DMA engines over one link, which are different sets of resources."""
    link, transfers = 3, [([0, 3], 2), ([2, 3], 2), ([1, 3], 2), ([0, 3], 2)]
    assert all(link in uses for uses, _ in transfers)
    assert run(plan([1, 1, 1, 1], *transfers)).start.tolist() == [0, 2, 4, 6]


def test_a_new_head_of_a_queue_goes_before_those_parked_with_the_old_one(run: Run) -> None:
    """Tasks 3 and 4 wait for the link; then 2 becomes ready and must precede both of them.

    Task 2 uses the same as 4, which is after 3: the first of a set of resources has changed.
    """
    timeline = run(plan([1, 1, 1], ([2], 9), ([], 4), ([0, 2], 1, [1]), ([1, 2], 1), ([0, 2], 1)))
    assert timeline.start.tolist() == [0, 0, 9, 10, 11]


def test_the_order_in_which_resources_are_listed_does_not_matter(run: Run) -> None:
    timeline = run(plan([1, 1], ([0, 1], 2), ([1, 0], 2), ([0, 1], 2)))
    assert timeline.start.tolist() == [0, 2, 4]


def test_times_stay_exact_beyond_what_a_float_can_hold(run: Run) -> None:
    timeline = run(plan([1], ([0], 2**61), ([0], 1), ([0], 1)))
    assert timeline.end.tolist() == [2**61, 2**61 + 1, 2**61 + 2]


def test_a_plan_is_not_changed_by_running_it(run: Run) -> None:
    once = plan([1, 2], ([0], 3), ([1], 2, [0]), ([0, 1], 1, [0]))
    columns = ("work", "use_first", "use", "need_first", "need", "room")
    before = {column: getattr(once, column).copy() for column in columns}
    first, second = run(once), run(once)
    for column in columns:
        np.testing.assert_array_equal(getattr(once, column), before[column])
    for column in ("ready", "start", "end"):
        np.testing.assert_array_equal(getattr(first, column), getattr(second, column))


@pytest.mark.parametrize(("units", "makespan"), [(3, 12), (4, 15)])
def test_one_more_unit_can_make_a_run_longer(run: Run, units: int, makespan: int) -> None:
    """The anomaly of docs/decisions/0002-the-execution-rule.md.

    Source: Graham, Bounds on multiprocessing timing anomalies, SIAM J. Appl. Math. 17 (1969).
    """
    durations = (3, 2, 2, 2, 4, 4, 4, 4, 9)
    needs = {4: [3], 5: [3], 6: [3], 7: [3], 8: [0]}
    tasks = [([0], duration, needs.get(i, [])) for i, duration in enumerate(durations)]
    timeline: Timeline = run(plan([units], *tasks))
    assert timeline.makespan == makespan
