"""ADCs that differ, and are shared by columns."""

import math

import numpy as np
import pytest

from hybridsim.analog import AnalogLayer, AnalogSettings, Converters, PcmDevice

EXACT = Converters(dac_bits=None, adc_bits=None, output_noise=0.0, output_bound=1e6)
IDEAL = PcmDevice(programming_scale=0, drift_scale=0, read_scale=0)
W = np.random.default_rng(1).standard_normal((60, 30)).astype(np.float32)


def gains_of(shared: int, spread: float = 0.05, seed: int = 1, **more: object) -> np.ndarray:
    """Return by what the outputs of each column are off, and check that all rows agree."""
    how = AnalogSettings(
        device=IDEAL, converters=EXACT, clip_sigmas=None, adc_gain_spread=spread,
        columns_per_adc=shared, **more,
    )  # fmt: skip
    chip = AnalogLayer(W, how).program(seed)
    off = chip.at(3600.0).effective_weights / W
    assert np.ptp(off, axis=1).max() < 1e-4
    return off.mean(axis=1)


@pytest.mark.parametrize("shared", [1, 4, 7, 60])
def test_columns_that_share_an_adc_share_its_gain(shared):
    groups = np.arange(60) // shared
    found = gains_of(shared)
    assert all(np.ptp(found[groups == group]) < 1e-4 for group in set(groups))
    assert len(np.unique(found.round(4))) > 0.9 * len(set(groups))


@pytest.mark.parametrize("shared", [1, 4, 12])
def test_the_mean_over_n_adcs_has_a_deviation_of_spread_over_their_root(shared):
    """And each has the spread itself, however many columns it converts."""
    spread, chips = 0.05, 400
    found = np.array([gains_of(shared, spread, seed) for seed in range(chips)])
    for deviation, expected in (
        (found.std(), spread),
        (found.mean(axis=1).std(), spread / math.sqrt(60 / shared)),
    ):
        assert deviation == pytest.approx(expected, rel=5 / math.sqrt(2 * chips))


def test_the_drift_compensation_does_not_see_them_and_crossbars_have_their_own():
    """Its readouts before and after pass the same ADCs."""
    assert gains_of(60).mean() != pytest.approx(1, abs=1e-3)
    assert len(np.unique(gains_of(60, columns=20).round(4))) == 3


def test_they_are_equal_by_default_and_nothing_else_is_drawn_for_them():
    plain = AnalogLayer(W).program(3).at(86400.0).effective_weights
    other = AnalogSettings(adc_gain_spread=1e-9, columns_per_adc=8)
    found = AnalogLayer(W, other).program(3).at(86400.0).effective_weights
    np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-6)
    assert AnalogSettings().adc_gain_spread == 0
