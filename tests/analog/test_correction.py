"""Corrections of a rank: exact where they can be, never worse with more rank, as good as any."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.analog import (
    AnalogLayer,
    AnalogSettings,
    Converters,
    Correction,
    Residuals,
    fit,
    helps,
)
from hybridsim.analog.correction import combined, gram_of, whitening_of
from hybridsim.errors import UnsupportedError

EXACT = Converters(output_noise=0.0, dac_bits=None, adc_bits=None, output_bound=1e9)
sizes = st.integers(1, 9)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def seen(x, residual):
    found = Residuals(x.shape[1], residual.shape[1])
    found.add(x, residual)
    return found


def error(x, residual, correction):
    return float(np.square(residual - x @ correction.matrix.T, dtype=np.float64).sum())


def naive(x, residual, rank, ridge=0.0):
    """Least squares, then the singular vectors of what it fits: in full, by NumPy's own."""
    mean = np.square(x, dtype=np.float64).sum() / x.shape[1]
    rows = np.concatenate([x, np.sqrt(ridge * mean) * np.eye(x.shape[1])])
    wanted = np.concatenate([residual, np.zeros((x.shape[1], residual.shape[1]))])
    whole = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    _, _, vt = np.linalg.svd(rows @ whole, full_matrices=False)
    return whole @ vt[:rank].T @ vt[:rank]


def test_at_full_rank_a_chip_without_noise_is_corrected_exactly():
    """Programming errors, drift and compensation of a chip are a matrix, so its lack is one."""
    w, x = normal(20, 30), normal(200, 30, seed=1)
    state = AnalogLayer(w, AnalogSettings(rows=16, converters=EXACT)).program(1).at(315360000.0)
    exact, found = x @ w.T, state.mvm(x)
    best = fit(seen(x, exact - found)).of_rank(20)
    fresh = normal(50, 30, seed=2)  # vectors that were not seen
    lack = fresh @ w.T - state.mvm(fresh)
    assert np.linalg.norm(lack) > 0.05 * np.linalg.norm(fresh @ w.T)
    np.testing.assert_allclose(fresh @ best.matrix.T, lack, atol=2e-4)


@given(sizes, sizes, st.integers(1, 40), st.integers(1, 9), st.sampled_from([0.0, 1e-3, 0.3]))
@settings(deadline=None)
def test_it_is_what_the_naive_way_finds(inputs, outputs, vectors, rank, ridge):
    vectors += inputs  # enough to tell all directions apart
    x, residual = normal(vectors, inputs), normal(vectors, outputs, seed=1)
    found = fit(seen(x, residual), ridge).of_rank(rank).matrix.T
    np.testing.assert_allclose(found, naive(x, residual, rank, ridge), atol=5e-3, rtol=1e-2)


@given(sizes, sizes, st.integers(1, 30), st.sampled_from([0.0, 1e-2]))
@settings(deadline=None)
def test_more_rank_never_leaves_more_and_the_rest_is_as_told(inputs, outputs, vectors, ridge):
    x, residual = normal(vectors, inputs), normal(vectors, outputs, seed=1)
    found = fit(seen(x, residual), ridge)
    left = [found.left_over(rank) for rank in range(10)]
    assert left[0] == 1
    assert all(later <= before + 1e-9 for before, later in pairwise(left))
    if not ridge:
        total = float(np.square(residual, dtype=np.float64).sum())
        for rank in (1, 3, 9):
            measured = error(x, residual, found.of_rank(rank)) / total
            assert measured == pytest.approx(found.left_over(rank), abs=1e-3)


@given(st.integers(2, 6), st.integers(2, 6), st.integers(0, 2**16))
@settings(deadline=None)
def test_no_other_matrix_of_that_rank_does_better(inputs, outputs, seed):
    x, residual = normal(40, inputs), normal(40, outputs, seed=1)
    best = fit(seen(x, residual)).of_rank(2)
    rng = np.random.default_rng(seed)
    near = Correction(
        best.down + rng.normal(0, 0.05, best.down.shape).astype(np.float32),
        best.up + rng.normal(0, 0.05, best.up.shape).astype(np.float32),
    )
    assert error(x, residual, best) <= error(x, residual, near) * (1 + 1e-6)


def test_vectors_may_come_in_parts_and_noise_is_averaged():
    x, residual = normal(60, 8), normal(60, 5, seed=1)
    parts = Residuals(8, 5)
    for rows in (slice(0, 7), slice(7, 60)):
        parts.add(x[rows], residual[rows])
    assert parts.vectors == 60
    at_once = fit(seen(x, residual)).of_rank(3).matrix
    np.testing.assert_allclose(fit(parts).of_rank(3).matrix, at_once, atol=1e-5)


def test_nothing_lacking_is_nothing_to_correct():
    x = normal(20, 6)
    found = fit(seen(x, np.zeros((20, 4), np.float32)))
    assert not found.of_rank(3).matrix.any()
    assert found.left_over(3) == 0


def test_an_adapter_takes_a_correction_in_without_growing():
    """Exact where the ranks have room for both; the best of that rank for the vectors else."""
    x = normal(80, 12) * np.geomspace(1, 30, 12).astype(np.float32)
    parts = [Correction(normal(2, 12, seed=s), normal(9, 2, seed=s + 9)) for s in (1, 2)]
    whole = sum(part.matrix for part in parts)
    whitening = whitening_of(gram_of(x))
    np.testing.assert_allclose(combined(parts, whitening, 4).matrix, whole, atol=1e-4)
    folded = combined(parts, whitening, 2).matrix
    u, s, vt = np.linalg.svd(x @ whole.T, full_matrices=False)
    np.testing.assert_allclose(x @ folded.T, (u[:, :2] * s[:2]) @ vt[:2], atol=0.02 * s[0] / 9)
    cut = np.linalg.svd(whole)  # the best matrix without looking at the vectors is worse for them
    blind = (cut[0][:, :2] * cut[1][:2]) @ cut[2][:2]
    assert np.linalg.norm(x @ (whole - folded).T) < np.linalg.norm(x @ (whole - blind).T)


def on_a_chip(seed, longest):
    """Vectors, four of them longer and much alike, and lacks with noise that grows with them."""
    rng, common = np.random.default_rng(seed), np.random.default_rng(7)
    x = rng.standard_normal((150, 40)).astype(np.float32)
    wrong = common.standard_normal((40, 20)) * 0.05
    if longest > 1:
        x[:4] = longest * (common.standard_normal(40) + 0.01 * x[:4])
    noise = rng.standard_normal((150, 20)) * 0.1 * np.abs(x).max(axis=1, keepdims=True)
    return x, (x @ wrong + noise).astype(np.float32)


@pytest.mark.parametrize(("longest", "found"), [(1, True), (500, False)])
def test_a_fit_of_the_noise_of_a_few_long_vectors_is_found_out(longest, found):
    """As of massive activations of decoders: its own vectors cannot tell it from a good one."""
    (x, residual), fresh = on_a_chip(0, longest), on_a_chip(1, longest)
    best = fit(seen(x, residual), 1e-3)
    assert best.left_over(8) < 0.6
    assert helps(best.of_rank(8), *fresh) is found


@given(st.integers(0, 2**16), st.sampled_from([-1.0, 0.3, 1.0, 1.9, 2.1]))
@settings(deadline=None)
def test_what_helps_leaves_less_of_all_vectors_and_of_their_directions(seed, share):
    """Twice too large a correction leaves as much as none, a larger one more."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((12, 5)).astype(np.float32)
    exact = Correction(normal(2, 5, seed=1), normal(4, 2, seed=2))
    residual = x @ exact.matrix.T
    tried = Correction(exact.down, exact.up * np.float32(share))
    assert helps(tried, x, residual) is (0 < share < 2)


@pytest.mark.parametrize("shape", [(3, 4), (2, 5)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(UnsupportedError, match="would do"):
        Residuals(6, 5).add(normal(3, 6), normal(*shape))


def test_no_vectors_are_refused():
    with pytest.raises(UnsupportedError, match="found 0"):
        fit(Residuals(3, 2))


def test_a_ridge_below_zero_is_refused():
    with pytest.raises(UnsupportedError, match=r"-0.1"):
        fit(seen(normal(5, 3), normal(5, 2)), -0.1)
