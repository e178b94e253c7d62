"""Stamping a part of a plan, and linking tasks that are laid out already."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.errors import PlanError
from hybridsim.plan import Mostly, Need, PlanBuilder, Resource, Step, Within
from hybridsim.work import Work, delay
from tests.random_inputs import delays, mostly_delay

PARTS = tuple(Resource(f"r{i}", "part") for i in range(4))


def laid_out(stamped: bool) -> PlanBuilder:
    """Four blocks of two loops; each reads the block before, the second loop has its own part."""
    builder = PlanBuilder(PARTS)
    before = builder.add("start", delay("go", 5), ())
    for block in range(4):
        if stamped and block == 2:
            break
        first = builder.repeat(
            f"b{block}.x",
            [
                Step(delays("read", (3, 4)), (0,), (Need(before),)),
                Step(delay("make", 2), (), (Within(0),)),
            ],
            2,
        )
        last = builder.repeat(
            f"b{block}.y",
            [Step(delay("use", 7), (block,), (Need(first.first + 1, 2), Within(0, 1, True)))],
            2,
        )
        before = last.task(0, -1)
    if stamped:
        size = 6
        builder.stamp(
            len(builder) - size,
            {"b1.x": ["b2.x", "b3.x"], "b1.y": ["b2.y", "b3.y"]},
            {("b1.y", "wait"): [(2,), (3,)]},
            2,
        )
    return builder


@pytest.mark.parametrize("outlined", [False, True])
def test_stamped_equals_laid_out_one_by_one(outlined: bool) -> None:
    single = laid_out(False).build()
    stamped = laid_out(True)
    stamped = stamped.outline().expand() if outlined else stamped.build()
    assert stamped.ops == single.ops
    assert stamped.loops == single.loops
    for column in (
        "work",
        "use_first",
        "use",
        "need_first",
        "need",
        "room",
        "op",
        "label",
        "item",
    ):
        assert (getattr(stamped, column) == getattr(single, column)).all(), column


def test_copies_may_use_more_or_fewer_parts() -> None:
    builder = PlanBuilder(PARTS)
    builder.add("a", delay("work", 1), (0,))
    builder.stamp(0, {"a": ["b", "c"]}, {("a", "wait"): [(1, 2), ()]}, 2)
    plan = builder.build()
    assert [plan.uses_of(task).tolist() for task in range(3)] == [[0], [1, 2], []]


def test_linked_tasks_wait() -> None:
    builder = PlanBuilder(PARTS)
    loop = builder.repeat("a", [Step(delay("work", 1), (0,))], 3)
    last = builder.add("b", delay("work", 1), (1,))
    builder.link(np.array([last, loop.first + 2]), np.array([loop.first, loop.first]))
    plan = builder.build()
    assert [plan.needs_of(task).tolist() for task in range(4)] == [[], [], [0], [0]]
    assert not plan.room.any()


def test_a_link_backwards_is_refused() -> None:
    builder = PlanBuilder(PARTS)
    builder.repeat("a", [Step(delay("work", 1), (0,))], 2)
    builder.link(np.array([0]), np.array([1]))
    with pytest.raises(PlanError, match="not before it in the plan"):
        builder.build()


def test_copies_of_templates_are_what_laying_them_out_again_would_be() -> None:
    """Also with the same steps in two places, whose needs within their loops differ."""
    copied, single = PlanBuilder(PARTS), PlanBuilder(PARTS)
    for builder in (copied, single):
        before = builder.add("start", delay("go", 5), ())
        for block in range(3):
            if block and builder is copied:
                first = builder.again(1, 2, f"b{block}", {0: block})
            else:
                steps = [Step(mostly_delay("x", 4, (2, 1), (9,)), (block, 3), (Need(before, 0),))]
                first = builder.repeat(f"b{block}", steps, 6).first
                own = (Step(delay("y", 7), (3,), (Need(first, 1), Within(0, 1))),)
                builder.repeat(f"b{block}", own, 6)
            before = first + 11
    assert len(copied) == len(single) == 37
    a, b = copied.build(), single.build()
    assert (a.ops, a.loops) == (b.ops, b.loops)
    for column in ("work", "use_first", "use", "need_first", "need", "room", "op", "item"):
        assert getattr(a, column).tolist() == getattr(b, column).tolist(), column


def test_steps_that_are_used_twice_need_what_is_in_their_own_loop() -> None:
    builder = PlanBuilder(PARTS)
    steps = (Step(delay("work", 1), (0,), (Within(0, 1),)),)
    builder.repeat("a", steps, 2)
    builder.repeat("b", steps, 2)
    plan = builder.build()
    assert [plan.needs_of(task).tolist() for task in range(4)] == [[], [0], [], [2]]


def test_links_within_what_is_stamped_are_there_in_each_copy() -> None:
    """A link from outside stays where it is: its user waits for the same distance before it."""
    builder = PlanBuilder(PARTS)
    builder.add("start", delay("go", 1), ())
    builder.add("next", delay("go", 1), ())
    loop = builder.repeat("a", [Step(delay("work", 1), (0,))], 3)
    builder.link(np.array([1, 3, 4]), np.array([0, 1, 2]))
    builder.link(np.array([2]), np.array([1]))
    builder.stamp(loop.first, {"a": ["b", "c"]}, {}, 2)
    builder.stamp(len(builder), {}, {}, 1)  # nothing, so no link
    plan = builder.build()
    once = [[1], [1], [2]]
    copies = [[need + 3 * copy for need in each] for copy in range(3) for each in once]
    assert [plan.needs_of(task).tolist() for task in range(11)] == [[], [0], *copies]


def test_an_outline_is_as_long_as_its_plan() -> None:
    builder = laid_out(stamped=False)
    assert len(builder.outline()) == len(builder.outline().expand()) == len(builder) == 25


@pytest.mark.parametrize("sorts", [("", ""), ("", "wide"), ("wide", "wide"), ("small", "wide")])
def test_a_work_is_done_by_the_kind_of_part_that_it_holds(sorts: tuple[str, str]) -> None:
    resources = tuple(Resource(f"t{i}", "tile", sort=sort) for i, sort in enumerate(sorts))
    builder = PlanBuilder((*resources, Resource("link", "link")))
    work = Work("tile", "mvm", "mvm", (((8, 8),), 4), 4)
    for use in (0, 1):
        builder.repeat(f"op{use}", [Step(work, (2, use)), Step((work, work), (use,))], 2)
    plan = builder.build()
    done = [plan.works[number] for number in plan.work]
    assert [each.sort for each in done] == [sort for sort in sorts for _ in range(4)]
    assert {replace(each, sort="") for each in done} == {work}


def test_only_whole_loops_are_stamped() -> None:
    builder = PlanBuilder(PARTS)
    builder.repeat("a", [Step(delay("work", 1), (0,))], 3)
    with pytest.raises(PlanError, match="task 1 is not the first one of a loop"):
        builder.stamp(1, {"a": ["b"]}, {}, 1)


@pytest.mark.parametrize("key", [("a", "wiat"), ("b", "wait"), ("before", "wait")])
def test_parts_are_given_to_steps_that_are_copied_alone(key: tuple[str, str]) -> None:
    """A slip of the pen would leave a copy with the parts of its template."""
    builder = PlanBuilder(PARTS)
    builder.add("before", delay("work", 1), (0,))
    first = builder.add("a", delay("work", 1), (0,))
    with pytest.raises(PlanError, match=f"{key[0]}: no step of it .* {key[1]!r}"):
        builder.stamp(first, {"a": ["b"]}, {key: [(1,)]}, 1)
    assert len(builder) == 2


def time_ps(work: Work) -> int:
    """Return the time of a delay, for its number."""
    return work.shape[0]


def numbers(mostly: Mostly, count: int) -> list[int]:
    """Return the numbers of the works of so many iterations."""
    column = np.full(count, -1)
    mostly.fill(column, time_ps)
    return column.tolist()


@given(st.data())
def test_works_of_a_part_are_those_of_the_whole(data: st.DataObject) -> None:
    first, last = (data.draw(st.lists(st.integers(1, 9), max_size=4)) for _ in range(2))
    count = len(first) + len(last) + data.draw(st.integers(0, 5))
    usual = data.draw(st.integers(1, 9))
    mostly = mostly_delay("work", usual, last, first)
    each = [*first, *[usual] * (count - len(first) - len(last)), *last]
    assert numbers(mostly, count) == each
    start, step = data.draw(st.integers(0, count)), data.draw(st.integers(1, 4))
    stop = data.draw(st.integers(start, count))
    part = mostly.part(start, stop, step, count)
    assert numbers(part, len(range(start, stop, step))) == each[start:stop:step]


def test_more_odd_works_than_iterations_are_refused() -> None:
    builder = PlanBuilder(PARTS)
    builder.repeat("a", [Step(mostly_delay("work", 1, (2, 3), (4,)), (0,))], 2)
    with pytest.raises(PlanError, match="1 first and 2 last works are more than the 2"):
        builder.build()


def test_copies_of_steps_with_several_parts_hold_those_that_they_are_given() -> None:
    """In each iteration; another step holds what it held."""
    builder = PlanBuilder(PARTS)
    mvm = Work("part", "mvm", "mvm", (((8, 8),), 4), 4)
    builder.repeat("a", [Step(delay("both", 1), (0, 1)), Step(mvm, (2,))], 2)
    builder.stamp(0, {"a": ["b", "c"]}, {("a", "wait"): [(2, 3), (1, 3)]}, 2)
    plan = builder.build()
    held = [plan.uses_of(task).tolist() for task in range(len(plan))]
    assert held == 2 * [[0, 1], [2]] + 2 * [[2, 3], [2]] + 2 * [[1, 3], [2]]


def test_a_copy_may_have_the_name_of_an_op_that_is_there() -> None:
    builder = PlanBuilder(PARTS)
    builder.add("x", delay("go", 1), ())
    first = builder.add("a", delay("work", 1), (0,))
    builder.stamp(first, {"a": ["y", "x", "y"]}, {}, 3)
    plan = builder.build()
    assert [plan.ops[number] for number in plan.op] == ["x", "a", "y", "x", "y"]
    assert sorted(plan.ops) == ["a", "x", "y"]
