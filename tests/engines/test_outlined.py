"""Points of one outline are what a run of each is, whatever serves them, at a bounded cost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.engines import compiled, outlined
from hybridsim.engines.looped import Looped
from hybridsim.engines.outlined import Outlined
from hybridsim.errors import PlanError
from hybridsim.plan import Need, Outline, PlanBuilder, Resource, Step, Within
from hybridsim.units import Ints
from hybridsim.work import delay
from tests.engines.outlines import competing, outlines
from tests.engines.proofs import point_of, prices
from tests.random_inputs import times


def one_by_one(outline: Outline, time_ps: Ints, counts: Ints) -> list[int]:
    """Lay out and run each point by itself."""
    looped, found = Looped(outline), []
    for point in range(time_ps.shape[1]):
        plan = looped.laid_out(counts[:, point].tolist())
        found.append(
            compiled.run(plan, point_of(time_ps[looped.rows(plan.works)], point)).makespan
        )
    return found


def points_of(outline: Outline, points: int, seed: int) -> tuple[Ints, Ints]:
    """Random prices around those of the outline, and its own counts."""
    time_ps = prices(np.minimum(times(outline), 10**9), points, seed)
    return time_ps, Looped(outline).as_drawn(points)


@given(
    outlines(most=40),
    st.lists(st.integers(1, 12), min_size=1, max_size=4),
    st.sampled_from([0.0, 0.05, 0.5, 20.0]),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_calls_of_any_size_take_as_long_as_each_point_alone(
    outline: Outline, calls: list[int], share: float, seed: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outlined, "LEAST", 0)
        patch.setattr(outlined, "_SHARE", share)
        own = Outlined(outline)
        for number, points in enumerate(calls):
            time_ps, counts = points_of(outline, points, seed + number)
            assert own.makespans(time_ps, counts).tolist() == one_by_one(outline, time_ps, counts)


@pytest.mark.parametrize("spread", [0, 1])
def test_states_cost_no_more_than_a_share_of_laying_out(spread: int) -> None:
    own = Outlined(competing(60).outline())
    tasks = 0
    for seed in range(6):
        time_ps, counts = points_of(own.outline, 200, seed)
        if not spread:
            time_ps[:] = time_ps[:, :1]
        tasks += int(own.looped.tasks(counts).sum())
        assert own.makespans(time_ps, counts).tolist() == one_by_one(own.outline, time_ps, counts)
        assert own.looped.spent <= outlined._SHARE * tasks
    assert tasks > outlined.LEAST


def test_few_points_draw_no_table() -> None:
    own = Outlined(competing(60).outline())
    own.makespans(*points_of(own.outline, 3, 0))
    assert own.looped.spent == 0
    assert "_tables" not in vars(own.looped)


def test_many_points_alike_are_served_by_states_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Outlined(competing(600).outline())
    time_ps, counts = points_of(own.outline, 1, 0)
    expected = one_by_one(own.outline, time_ps, counts)
    monkeypatch.setattr(outlined.compiled, "run", None)
    many = np.repeat(time_ps, 100, axis=1)
    assert own.makespans(many).tolist() == 100 * expected


def test_counts_that_cannot_be_laid_out_are_refused_as_before() -> None:
    builder = PlanBuilder((Resource("a", "x"), Resource("b", "y")))
    loop = builder.repeat("op", [Step(delay("1", 3), (0,), (Within(0, 1),))], 20)
    more = [Step(delay("2", 3), (1,), (Within(0, 1), Need(loop.first, 1)))]
    builder.repeat("op", more, 10)
    own = Outlined(builder.outline())
    time_ps = times(own.outline)[:, None]
    lengths = own.looped.lengths
    good, bad = (np.array([[long[length]] for length in lengths]) for long in
                 ({10: 10, 20: 30}, {10: 30, 20: 20}))  # fmt: skip
    assert own.makespans(time_ps, good).tolist() == one_by_one(own.outline, time_ps, good)
    try:
        expected = Looped(own.outline).makespans(time_ps, bad).tolist()
    except PlanError:
        with pytest.raises(PlanError):
            own.makespans(time_ps, bad)
    else:
        assert own.makespans(time_ps, bad).tolist() == expected


@given(outlines(most=40), st.integers(0, 400), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_what_may_be_spent_on_states_leaves_points_open_but_none_wrong(
    outline: Outline, most: int, seed: int
) -> None:
    looped = Looped(outline)
    time_ps, counts = points_of(outline, 8, seed)
    expected = one_by_one(outline, time_ps, counts)
    for _ in range(4):
        found, before = looped.by_states(time_ps, counts, most), looped.spent
        assert all(own in (-1, right) for own, right in zip(found.tolist(), expected, strict=True))
        again = looped.by_states(time_ps, counts, 0)  # what is known costs nothing
        assert looped.spent == before
        assert all(own in (-1, right) for own, right in zip(again.tolist(), expected, strict=True))


def test_tables_that_grow_keep_their_states() -> None:
    looped = Looped(competing(600).outline())
    time_ps, counts = points_of(looped.outline, 300, 1)
    looped.by_states(time_ps, counts)
    assert sum(piece.states for piece in looped.pieces) > 64
    assert all(piece.worked_out == piece.states - 1 for piece in looped.pieces)
