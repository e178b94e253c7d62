"""Pareto fronts against their definition, variance shares of a known function, constraints."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.sweeps.answers import best_rows, build_table
from hybridsim.sweeps.columns import RESULTS, parse_constraint
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.misses import met_by, nearest, nearest_points
from hybridsim.sweeps.pareto import pareto
from hybridsim.sweeps.sensitivity import sought_results, total_shares, variance_shares
from tests.sweeps.random_studies import NETWORKS, inputs_of

AXES = {"strategy.batch": [1, 2, 3, 4], "adapters.rank": [1, 2, 4], "tokens": [5, 6]}


def naive_pareto(rows: list[tuple[int, ...]], feasible: list[bool]) -> list[bool]:
    """The definition: no feasible row is nowhere larger and somewhere smaller."""

    def dominates(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
        return all(x <= y for x, y in zip(a, b, strict=True)) and a != b

    ran = [row for row, ok in zip(rows, feasible, strict=True) if ok]
    return [
        ok and not any(dominates(other, row) for other in ran)
        for row, ok in zip(rows, feasible, strict=True)
    ]


@given(data=st.data(), objectives=st.integers(1, 4))
def test_the_front_is_the_definition(data: Any, objectives: int) -> None:
    row = st.tuples(*[st.integers(0, 4)] * objectives)
    rows = data.draw(st.lists(row, min_size=1, max_size=30))
    rows *= data.draw(st.sampled_from([1, 4]))  # from 64 rows on the loop is compiled
    feasible = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    found = pareto(np.array(rows, float), np.array(feasible))
    assert found.tolist() == naive_pareto(rows, feasible)


def table_of(inputs: Inputs, latency: Any, problem: Any = None) -> pd.DataFrame:
    """A table in which the latency is a known function of the axes."""
    indices = np.arange(len(inputs))
    columns: dict[str, Any] = {name: np.ones(len(inputs), np.int64) for name in inputs.columns}
    columns["latency_ps"] = latency(*inputs.coordinates(indices))
    columns["problem"] = [""] * len(inputs) if problem is None else problem
    return build_table(inputs, [(indices, columns)])


def test_shares_of_a_sum_are_those_of_its_terms(studies) -> None:
    """y = 3 a + b over a grid: variances 9 * 5/4 and 2/3, and nothing is left over."""
    inputs = studies.inputs(tokens=None, axes=AXES)
    shares = variance_shares(inputs, table_of(inputs, lambda a, b, c: 3 * a + b))["latency_ps"]
    terms = np.array([9 * 5 / 4, 2 / 3, 0])
    assert shares.tolist() == pytest.approx((terms / terms.sum()).tolist())


def test_a_pure_interaction_belongs_to_no_axis(studies) -> None:
    """y = (-1)^(a + c): the mean over either axis is the same everywhere."""
    inputs = studies.inputs(tokens=None, axes=AXES)
    table = table_of(inputs, lambda a, b, c: (a + c) % 2)
    assert variance_shares(inputs, table)["latency_ps"].tolist() == pytest.approx([0, 0, 0])
    assert total_shares(inputs, table)["latency_ps"].tolist() == pytest.approx([1, 0, 1])


def test_a_constant_has_no_shares(studies) -> None:
    inputs = studies.inputs(tokens=None, axes=AXES)
    table = table_of(inputs, lambda a, b, c: a * 0 + 7)
    assert variance_shares(inputs, table)["latency_ps"].tolist() == [0, 0, 0]
    assert total_shares(inputs, table)["latency_ps"].tolist() == [0, 0, 0]


@given(seed=st.integers(0, 2**32 - 1))
def test_a_total_effect_is_what_all_other_axes_together_do_not_explain(seed: int) -> None:
    """The definition: 1 - Var(E(Y | all other axes)) / Var(Y), by loops over the grid."""
    inputs = inputs_of(
        NETWORKS["small_bert"], "one", {"kind": "token_parallel"}, AXES, 5, ["latency_ps"]
    )
    grid = np.random.default_rng(seed).integers(0, 9, inputs.shape)
    table = table_of(inputs, lambda *places: grid[places])
    found = total_shares(inputs, table)["latency_ps"].tolist()
    expected = [1 - grid.mean(axis=axis).var() / grid.var() for axis in range(grid.ndim)]
    assert found == pytest.approx(expected)


def test_shares_are_of_results_and_not_of_axes(studies) -> None:
    objectives = {"adapters.rank": "minimise", "latency_ps": "minimise"}
    assert sought_results(studies.inputs(objectives=objectives)) == ["latency_ps"]
    assert sought_results(studies.inputs(objectives={"adapters.rank": "minimise"})) == [
        "adapters.rank"
    ]


def test_where_nothing_is_feasible_the_nearest_point_and_its_misses_are_told(studies) -> None:
    """Latencies are 0, 1, 2, 3 per batch: 3 ps are 40 % below 5 ps, and 6 tokens one above 5."""
    limits = ["latency_ps >= 5 ps", "tokens < 6", "adapters.rank > 0"]
    inputs = studies.inputs(tokens=None, axes=AXES, constraints=limits)
    table = table_of(inputs, lambda a, b, c: a)
    assert met_by(inputs, table) == {limits[0]: 0, limits[1]: 12, limits[2]: 24}
    near = nearest(inputs, table)
    assert near is not None
    assert table.loc[near.row, ["strategy.batch", "tokens", "latency_ps"]].tolist() == [4, 5, 3]
    (miss,) = near.misses
    assert (miss.constraint, miss.value, miss.by) == (limits[0], 3, 2)
    far = [[own.by for own in point.misses] for point in nearest_points(inputs, table, 4)]
    assert far == [[2], [2, 0], [3], [3, 0]], "6 tokens are no token less than 6"
    assert nearest(inputs, table_of(inputs, lambda a, b, c: a + 5)) is None
    assert nearest(inputs, table_of(inputs, lambda a, b, c: a, ["no"] * 24)) is None


def test_points_without_a_result_are_in_the_table_and_in_no_answer(studies) -> None:
    inputs = studies.inputs(tokens=None, axes=AXES)
    problem = ["does not fit"] * 6 + [""] * 18
    table = table_of(inputs, lambda a, b, c: 100 * a + 10 * b + c, problem)
    assert len(table) == 24
    assert table["feasible"].sum() == 18
    assert best_rows(inputs, table)["latency_ps"] == [6]
    assert table.index[table["pareto"]].tolist() == [6]


def test_each_case_has_its_own_front_and_best_point(studies) -> None:
    inputs = studies.inputs(tokens=None, axes=AXES, per=["adapters.rank"])
    table = table_of(inputs, lambda a, b, c: 100 * a + 10 * b + c)
    assert best_rows(inputs, table)["latency_ps"] == [0, 2, 4]
    assert table.index[table["pareto"]].tolist() == [0, 2, 4]


def test_constraints_and_maximised_objectives_count(studies) -> None:
    inputs = studies.inputs(
        tokens=None,
        axes=AXES,
        constraints=["latency_ps < 4 ps", "tokens == 6"],
        objectives={"latency_ps": "maximise"},
    )
    table = table_of(inputs, lambda a, b, c: a + b)
    assert set(table.loc[table["feasible"], "tokens"]) == {6}
    assert table.loc[table["pareto"], "latency_ps"].tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    ("text", "column", "bound"),
    [
        ("tcdm_bytes <= 64 KiB", "tcdm_bytes", 65_536),
        ("latency_ps<=1.5 us", "latency_ps", 1_500_000),
        ("overhead_percent <= 1 %", "overhead_percent", 1),
        ("overhead_percent <= 0.5", "overhead_percent", 0.5),
        ("tiles != 400", "tiles", 400),
        ("energy_pj <= 1.5 uJ", "energy_pj", 1_500_000),
        ("area_mm2 < 40 mm2", "area_mm2", 40),
    ],
)
def test_a_constraint_may_have_a_unit(text: str, column: str, bound: float) -> None:
    constraint = parse_constraint(text, RESULTS)
    assert (constraint.column, constraint.bound) == (column, bound)
