"""Limits and objectives: what they mean, and what is refused in one sentence."""

import pytest

from hybridsim.designs.limits import parse_limit, parse_limits, parse_objectives
from hybridsim.errors import SpecError


def test_short_names_and_units_mean_columns() -> None:
    own = [parse_limit(text).constraint for text in ("area <= 60 mm2", "power < 500 mW")]
    assert [(c.column, c.sign, c.bound) for c in own if c] == [
        ("area_mm2", "<=", 60.0),
        ("power_w", "<", 0.5),
    ]
    latency = parse_limit("latency <= 5 ms").constraint
    assert latency is not None
    assert latency.bound == 5e9


def test_accuracy_counts_after_ten_years_unless_a_time_is_given() -> None:
    year = 365 * 86_400
    points = parse_limit("accuracy >= -1 point @ 1y")
    percent = parse_limit("accuracy >= 78 %")
    assert (points.points, points.after, points.constraint) == (-1.0, year, None)
    assert percent.after == 10 * year
    assert percent.constraint is not None
    assert percent.constraint.bound == 78.0


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["area 60"], "comparison"),
        (["area == 60 mm2"], "<=, <, >= or >"),
        (["are <= 60 mm2"], "area"),
        (["area <= 60"], "found '60' without a unit in 'area <= 60'"),
        (["latency<2.5e1"], "found '2.5e1' without a unit"),
        (["accuracy <= 3 points"], "accuracy >= -1 point @ 10y"),
        (["accuracy >= 3 points @ 10y"], "0 or below"),
        (["accuracy >= -1 point @ ten"], "@"),
        (["accuracy >= -1 point @ 1y", "accuracy >= 70 % @ 10y"], "one time"),
        (["area <= 60 mm2", "area <= 50 mm2"], "already"),
    ],
)
def test_what_is_no_limit_is_refused(texts: list[str], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        parse_limits(texts)


def test_objectives_are_columns_with_a_direction() -> None:
    found = parse_objectives(["latency", "energy_pj"], ["accuracy"])
    assert found == {
        "latency_ps": "minimise", "energy_pj": "minimise", "accuracy_percent": "maximise",
    }  # fmt: skip
    for minimise in ([], ["latenzy"], ["latency", "latency_ps"]):
        with pytest.raises(SpecError):
            parse_objectives(minimise, [])
