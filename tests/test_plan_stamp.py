"""Stamping a part of a plan, and linking tasks that are laid out already."""

import numpy as np
import pytest

from hybridsim.errors import PlanError
from hybridsim.plan import Need, PlanBuilder, Resource, Step, Within

PARTS = tuple(Resource(f"r{i}", "part") for i in range(4))


def laid_out(stamped: bool) -> PlanBuilder:
    """Four blocks of two loops; each reads the block before, the second loop has its own part."""
    builder = PlanBuilder(PARTS)
    before = builder.add("start", "go", (), 5)
    for block in range(4):
        if stamped and block == 2:
            break
        first = builder.repeat(
            f"b{block}.x",
            [
                Step("read", (0,), np.array([3, 4]), (Need(before),)),
                Step("make", (), 2, (Within(0),)),
            ],
            2,
        )
        last = builder.repeat(
            f"b{block}.y",
            [Step("use", (block,), 7, (Need(first.first + 1, 2), Within(0, 1, True)))],
            2,
        )
        before = last.task(0, -1)
    if stamped:
        size = 6
        builder.stamp(
            len(builder) - size,
            {"b1.x": ["b2.x", "b3.x"], "b1.y": ["b2.y", "b3.y"]},
            {("b1.y", "use"): [(2,), (3,)]},
            2,
        )
    return builder


def test_stamped_equals_laid_out_one_by_one() -> None:
    stamped, single = laid_out(True).build(), laid_out(False).build()
    assert stamped.ops == single.ops
    assert stamped.loops == single.loops
    for column in (
        "duration",
        "use_first",
        "use",
        "need_first",
        "need",
        "room",
        "op",
        "action",
        "item",
    ):
        assert (getattr(stamped, column) == getattr(single, column)).all(), column


def test_copies_may_use_more_or_fewer_parts() -> None:
    builder = PlanBuilder(PARTS)
    builder.add("a", "work", (0,), 1)
    builder.stamp(0, {"a": ["b", "c"]}, {("a", "work"): [(1, 2), ()]}, 2)
    plan = builder.build()
    assert [plan.uses_of(task).tolist() for task in range(3)] == [[0], [1, 2], []]


def test_linked_tasks_wait() -> None:
    builder = PlanBuilder(PARTS)
    loop = builder.repeat("a", [Step("work", (0,), 1)], 3)
    last = builder.add("b", "work", (1,), 1)
    builder.link(np.array([last, loop.first + 2]), np.array([loop.first, loop.first]))
    plan = builder.build()
    assert [plan.needs_of(task).tolist() for task in range(4)] == [[], [], [0], [0]]
    assert not plan.room.any()


def test_a_link_backwards_is_refused() -> None:
    builder = PlanBuilder(PARTS)
    builder.repeat("a", [Step("work", (0,), 1)], 2)
    builder.link(np.array([0]), np.array([1]))
    with pytest.raises(PlanError, match="not before it in the plan"):
        builder.build()
