"""The search against all points: the same front, bounds that hold, and the same again."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.designs.bounds import Bounds
from hybridsim.designs.limits import parse_limits
from hybridsim.designs.search import Budget, Search, is_ordered, neighbours
from hybridsim.designs.seen import Seen
from hybridsim.sweeps.inputs import Inputs, read_inputs
from hybridsim.sweeps.known import Known
from hybridsim.sweeps.pareto import pareto
from hybridsim.sweeps.study import Study
from tests.needing import needing
from tests.sampling import every

needing("sklearn", "designs guess with scikit-learn (extra 'search')")

AXES: dict[str, Any] = {
    "strategy": ["token_parallel", "early_xa", "separate_add"],
    "strategy.batch": [8, 16, 32],
    "tile.integration_time": ["128 ns", "256 ns"],
    "cluster.count": [1, 2],
    "cluster.clock.frequency": ["500 MHz", "1 GHz"],
    "tile.size": {
        "256": {"tile.rows": 256, "tile.columns": 256},
        "512": {"tile.rows": 512, "tile.columns": 512},
    },
}
OBJECTIVES: Any = {"latency_ps": "minimise", "energy_pj": "minimise"}
COLUMNS = ("latency_ps", "energy_pj", "area_mm2")


def inputs_of(axes: dict[str, Any] = AXES, **more: Any) -> Inputs:
    study = {
        "name": "small", "machine": "ahwa_lora_2026", "network": "layer_512x128", "tokens": 64,
        "axes": axes, "objectives": OBJECTIVES, "constraints": ["area_mm2 <= 100 mm2"],
    }  # fmt: skip
    return read_inputs(Study(**(study | more)))


@pytest.fixture(scope="module")
def known() -> Known:
    """All points of a small grid; searches below share what they run."""
    known = Known(inputs_of())
    known.know(range(len(known.inputs)))
    return known


def seen_of(known: Known) -> Seen:
    return Seen(known, dict(OBJECTIVES), COLUMNS)


def fronts(known: Known, limits: list[str], found: Seen) -> tuple[set[Any], set[Any]]:
    constraints = [own.constraint for own in parse_limits(limits) if own.constraint]
    everything = seen_of(known)
    everything.know(range(len(known.inputs)))
    sides = []
    for seen in (everything, found):
        values = seen.values()
        fine = (seen.excess(constraints) == 0).all(axis=1)
        sides.append({tuple(v) for v in values[pareto(values, fine)]})
    return sides[0], sides[1]


@pytest.mark.parametrize(("area", "seed"), every(3, [(4.2, 1), (2.6, 7), (7.1, 40)]))
def test_the_front_is_that_of_all_points_whatever_the_limit(
    known: Known, area: float, seed: int
) -> None:
    limits = [f"area <= {area:.3f} mm2"]
    seen = seen_of(known)
    constraints = [own.constraint for own in parse_limits(limits) if own.constraint]
    Search(seen, constraints, Budget(), seed).run([0])
    whole, found = fronts(known, limits, seen)
    assert found == whole


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_point_is_below_its_bound(known: Known, data: st.DataObject) -> None:
    """Whatever was run before, and area is exact."""
    points = len(known.inputs)
    run = data.draw(st.lists(st.integers(0, points - 1), min_size=1, max_size=30, unique=True))
    other = data.draw(st.integers(0, points - 1))
    seen = seen_of(known)
    seen.know(run)
    low, high = Bounds(seen).at_least([other])
    seen.know([other])
    own = seen.numbers[seen.place(other)]
    assert (low[0] <= own).all()
    assert low[0][2] == high[0][2] == own[2]


def test_bounds_leave_out_what_they_can() -> None:
    """Latency alone, and longer integrations: one run of each branch is enough."""
    axes = {
        "strategy.batch": [8, 16],
        "tile.integration_time": ["128 ns", "256 ns", "384 ns", "512 ns"],
    }
    inputs = inputs_of(axes, objectives={"latency_ps": "minimise"}, constraints=[])
    seen = Seen(Known(inputs), {"latency_ps": "minimise"}, ("latency_ps",))
    seen.know([0, 4])
    search = Search(seen, [], Budget())
    search.bounds = Bounds(seen)
    assert search.worth([1, 2, 3, 5, 6, 7]) == []
    assert search.left_out == {1, 2, 3, 5, 6, 7}


def test_neighbours_are_a_step_along_ordered_axes_and_any_value_of_others(known: Known) -> None:
    inputs = known.inputs
    index = int(np.ravel_multi_index((1, 1, 1, 0, 0, 0), inputs.shape))
    near = [tuple(int(v) for v in np.unravel_index(n, inputs.shape)) for n in
            neighbours(inputs, index)]  # fmt: skip
    assert sorted(near) == sorted(
        [(0, 1, 1, 0, 0, 0), (2, 1, 1, 0, 0, 0), (1, 0, 1, 0, 0, 0), (1, 2, 1, 0, 0, 0),
         (1, 1, 0, 0, 0, 0), (1, 1, 1, 1, 0, 0), (1, 1, 1, 0, 1, 0), (1, 1, 1, 0, 0, 1)]
    )  # fmt: skip
    assert not is_ordered(np.array([2, 1, 3]))
    assert not is_ordered(None)


def test_runs_are_never_more_than_the_budget(known: Known) -> None:
    for runs in (1, 7, 40):
        seen = seen_of(known)
        Search(seen, [], Budget(runs=runs)).run([0])
        assert len(seen) == runs


def test_a_part_of_a_budget_is_no_more_than_is_left_of_it() -> None:
    assert Budget(runs=60).some(50, 150).runs == 60
    assert Budget(runs=60).some(50, 4).runs == 54
    assert Budget(runs=60).some(70, 4).runs == 70
    assert Budget(deadline=1.0).some(7, 4) == Budget(1.0, 11)


@pytest.mark.slow
def test_the_same_seed_runs_the_same_points(known: Known) -> None:
    def ran(seed: int) -> list[int]:
        seen = seen_of(known)
        Search(seen, [], Budget(runs=16), seed).run([0])
        return seen.index

    assert ran(3) == ran(3)
    assert ran(3) != ran(4)


# --- guesses ------------------------------------------------------------------------------------


@pytest.fixture
def guess() -> ModuleType:
    from hybridsim.designs import guess  # here: every process that collects would wait for it

    return guess


def test_a_guess_passes_through_what_was_run_and_is_sure_of_it(guess: ModuleType) -> None:
    random = np.random.default_rng(0)
    places = np.unique(random.integers(0, 3, (20, 4)), axis=0)
    values = places @ np.array([1.0, 0.5, 0.0, 2.0])
    code = guess.coded(places, [3] * 4, [True, True, False, False])
    found, away = guess.Process().at(code, code, values)
    np.testing.assert_allclose(found, values, atol=0.02)
    assert (away < 0.1).all()


def test_axes_that_change_nothing_do_not_matter(guess: ModuleType) -> None:
    """A point that differs in such an axis alone is guessed the same, and as surely."""
    random = np.random.default_rng(1)
    places = np.unique(random.integers(0, 3, (60, 3)), axis=0)
    values = places[:, 0] ** 2 - 3.0 * places[:, 2]
    other = places.copy()
    other[:, 1] = (other[:, 1] + 1) % 3
    known, others = (guess.coded(own, [3] * 3, [False] * 3) for own in (places, other))
    found, away = guess.Process().at(others, known, values)
    np.testing.assert_allclose(found, values, atol=0.05)
    assert (away < 0.2).all()


def test_values_without_an_order_are_equally_far_from_each_other(guess: ModuleType) -> None:
    code = guess.coded(np.array([[0, 0], [0, 2], [1, 0]]), [3, 3], [False, True])
    assert code.tolist() == [[1, 0, 0, 0], [1, 0, 0, 2], [0, 1, 0, 0]]


def test_guesses_find_the_front_of_a_sum_with_few_runs(known: Known) -> None:
    """A quarter of the points of the grid is enough for its whole front."""
    seen = seen_of(known)
    Search(seen, [], Budget(runs=len(known.inputs) // 4), 1).run([0])
    whole, found = fronts(known, [], seen)
    assert found == whole
