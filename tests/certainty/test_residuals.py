"""Laws of scores, their bounds and their draws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.certainty.doubts import Doubt, Doubts
from hybridsim.certainty.draws import Draws
from hybridsim.certainty.intervals import MOST_SAMPLES, bounds_of
from hybridsim.certainty.residuals import (
    CONFIDENCE,
    FILE,
    LEVEL,
    Residuals,
    bundled_residuals,
    rank,
    read_residuals,
)
from hybridsim.errors import SpecError

REGIME = "cores.starts and ends"
scores = st.lists(st.floats(0, 1000, allow_nan=False), min_size=1, max_size=60)


def doubt(key: object = "kernel", regime: str = REGIME, cycles: float = 1.0) -> Doubts:
    return Doubts((Doubt(regime, str(key), cycles, "cores"),))


def naive_rank(rows: int) -> int:
    """The smallest that covers the level with the confidence, and at least in the mean."""
    least = math.ceil(round((rows + 1) * LEVEL, 9))
    for found in range(least, rows + 1):
        less = sum(
            math.comb(rows, beyond) * (1 - LEVEL) ** beyond * LEVEL ** (rows - beyond)
            for beyond in range(rows - found + 1)
        )
        if less <= 1 - CONFIDENCE:
            return found
    return max(least, rows + 1)


@given(st.integers(0, 500))
def test_a_rank_is_that_of_a_tolerance_limit(rows: int) -> None:
    assert rank(rows, LEVEL) == naive_rank(rows)


@given(scores)
def test_a_bound_is_the_score_at_its_rank(found: list[float]) -> None:
    """Or the largest where there are too few."""
    table = Residuals.of({REGIME: found})
    ordered = sorted(round(score, 4) for score in found)
    place = min(naive_rank(len(found)), len(found)) - 1
    assert table.bound(REGIME) == pytest.approx(ordered[place])


@pytest.mark.parametrize("rows", [14, 22, 27, 37, 94])
def test_most_tables_cover_what_they_promise(rows: int) -> None:
    """Of 4,000 tables with heavy tails as many as the confidence cover the level of all further
    rows; ranks that do so in the mean alone are not enough from 30 rows on."""
    random = np.random.default_rng(rows)
    shares = []
    for _ in range(4000):
        table = Residuals.of({REGIME: random.standard_cauchy(rows).tolist()})
        shares.append(2 / math.pi * math.atan(table.bound(REGIME)))
    # three deviations of a share of 4,000
    assert np.mean(np.array(shares) >= LEVEL) >= CONFIDENCE - 3 * math.sqrt(0.25 * 0.75 / 4000)
    assert np.mean(shares) >= LEVEL


@pytest.mark.parametrize("mixed", [False, True])
def test_roots_cover_sums_of_what_is_independent_alike(mixed: bool) -> None:
    """Each of n accesses may lose a cycle: in units of sqrt(n), short and long kernels are covered
    alike; in units of n the long ones are always and the short ones too seldom."""
    random, covered = np.random.default_rng(7), {"short": [], "long": []}
    power = 1.0 if mixed else 0.5
    for _ in range(600):
        counts = random.integers(20, 4000, 60)
        missed = np.abs(random.binomial(counts, 0.3) - 0.3 * counts)
        bound = Residuals.of({REGIME: (missed / counts**power).tolist()}).bound(REGIME)
        for name, count in (("short", 40), ("long", 3000)):
            new = abs(random.binomial(count, 0.3) - 0.3 * count)
            covered[name].append(new <= bound * count**power)
    short, long = (float(np.mean(covered[name])) for name in ("short", "long"))
    if mixed:
        assert long > 0.99
        assert short < 0.8
    else:
        assert short > 0.88
        assert long > 0.88
        assert abs(short - long) < 0.06


@given(st.integers(0, 2**32))
def test_a_new_row_is_covered_as_often_as_promised(seed: int) -> None:
    """Of many tables and further rows, at least the level, whatever the distribution."""
    random = np.random.default_rng(seed)
    inside = 0
    for _ in range(400):
        rows = random.standard_cauchy(20)
        bound = Residuals.of({REGIME: rows[:-1].tolist()}).bound(REGIME)
        inside += abs(rows[-1]) <= bound + 1e-4
    assert inside / 400 > LEVEL - 0.06


@given(scores)
def test_draws_stay_within_the_bound_as_often_as_promised(found: list[float]) -> None:
    table = Residuals.of({REGIME: found})
    drawn = Draws(table, 1000).of(doubt().found[0])
    within = np.abs(drawn) <= table.bound(REGIME) + 1e-9
    assert within.mean() >= LEVEL - 0.002
    assert abs((drawn > 0).mean() - (drawn < 0).mean()) <= 0.1


def test_exact_rows_give_no_width() -> None:
    table = Residuals.of({REGIME: [0.0] * 20})
    assert table.bound(REGIME) == 0
    assert not Draws(table, 50).of(doubt().found[0]).any()


@given(scores, st.floats(1, 10), st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_larger_residuals_never_give_a_narrower_sum(
    found: list[float], factor: float, keys: list[int]
) -> None:
    """With the same draws, a chain of kernels is as wide as its residuals are large."""
    table = Residuals.of({REGIME: found})
    total = Doubts()
    for key in keys:
        total = total + doubt(key)
    widths = [
        np.ptp(bounds_of(Draws(each, 100).cycles(total), 0.0))
        for each in (table, table.scaled(factor))
    ]
    assert widths[1] >= widths[0] - 1e-9 * max(1.0, widths[0])


@given(scores, st.floats(-100, 100))
def test_an_interval_holds_the_estimate(found: list[float], point: float) -> None:
    table = Residuals.of({REGIME: found})
    samples = point + Draws(table, 40).of(doubt().found[0])
    low, high = bounds_of(samples, point)
    assert low <= point <= high


@given(scores)
def test_a_single_kernel_has_the_interval_of_its_bound(found: list[float]) -> None:
    """Sampling adds nothing where there is one kernel, but for the strata at the ends."""
    table = Residuals.of({REGIME: found})
    low, high = bounds_of(Draws(table, MOST_SAMPLES).of(doubt().found[0]), 0.0)
    bound = table.bound(REGIME)
    rows = table.rows(REGIME)
    beyond = rows[min(rank(len(rows), LEVEL), len(rows) - 1)]  # the row behind the one that bounds
    assert bound - 1e-9 <= high <= beyond + 1e-9
    assert low >= -beyond - 1e-9


def test_a_kernel_is_wrong_in_the_same_way_wherever_it_runs() -> None:
    """Draws depend on the kernel and the seed: not on the order, nor on what else is drawn."""
    table = Residuals.of({REGIME: list(range(30))})
    one, other = Draws(table, 30, seed=4), Draws(table, 30, seed=4)
    other.of(doubt("b").found[0])
    assert (one.of(doubt("a").found[0]) == other.of(doubt("a").found[0])).all()
    assert (one.cycles(doubt("a").times(3)) == 3 * one.of(doubt("a").found[0])).all()
    assert (one.of(doubt("a").found[0]) != one.of(doubt("b").found[0])).any()
    assert (Draws(table, 30, seed=5).of(doubt("a").found[0]) != one.of(doubt("a").found[0])).any()


def test_few_rows_are_joined_only_where_units_are_alike() -> None:
    table = Residuals.of({"dma.load": [0.0] * 5, "dma.store": [1.0] * 5, "cores.a": [9.0]})
    assert len(table.rows("dma.load")) == 10
    assert len(table.rows("cores.a")) == 1
    assert len(table.rows("cores.b")) == 0


def test_a_table_reads_back() -> None:
    table = bundled_residuals()
    assert table.to_json() == FILE.read_text(encoding="utf-8")
    assert set(table.scores) == set(read_residuals(FILE).scores)


def test_what_is_no_table_is_refused(tmp_path) -> None:
    for text in ("[]", '{"regimes": {"a": 3}}'):
        (tmp_path / "residuals.json").write_text(text, encoding="utf-8")
        with pytest.raises(SpecError, match="no table of residuals"):
            read_residuals(tmp_path / "residuals.json")
