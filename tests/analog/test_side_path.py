"""Weights beyond k sigma beside the crossbars."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.analog import AnalogLayer, AnalogSettings, Converters, PcmDevice
from hybridsim.analog.side_path import taken_out

EXACT = AnalogSettings(
    clip_sigmas=None,
    device=PcmDevice(programming_scale=0, drift_scale=0, read_scale=0),
    converters=Converters(dac_bits=None, adc_bits=None, output_noise=0, output_bound=1e6),
)
YEAR = 31536000.0


def heavy(*shape, seed=0):
    """Weights with tails, as those of pretrained decoders."""
    return np.random.default_rng(seed).standard_t(3, shape).astype(np.float32)


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.1, 5), st.integers(0, 9))
def test_both_parts_are_the_whole_and_none_holds_a_weight_twice(rows, columns, sigmas, seed):
    w = heavy(rows, columns, seed=seed)
    rest, side = taken_out(w, sigmas)
    dense = np.zeros_like(w)
    dense[side.outputs, side.inputs] = side.values
    assert (rest + dense == w).all()
    assert not ((rest != 0) & (dense != 0)).any()
    assert (np.abs(side.values) > sigmas * w.std()).all()
    assert (np.abs(rest) <= np.float32(sigmas * w.std())).all()
    x = heavy(7, columns, seed=99)
    np.testing.assert_allclose(side.product(x, rows), x @ dense.T, rtol=1e-4, atol=1e-4)


def test_a_layer_without_noise_is_the_product_although_it_is_clipped():
    w, x = heavy(60, 700), heavy(5, 700, seed=1)
    how = EXACT.model_copy(update={"clip_sigmas": 2.0, "side_path_sigmas": 2.0})
    layer = AnalogLayer(w, how)
    assert layer.clipping_error == 0
    assert AnalogLayer(w, EXACT.model_copy(update={"clip_sigmas": 2.0})).clipping_error > 0.1
    state = layer.program(1).at(YEAR)
    np.testing.assert_allclose(state.mvm(x), x @ w.T, rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(state.effective_weights, w, rtol=1e-3, atol=1e-3)


def test_only_few_normal_weights_lie_beyond_three_sigma():
    """2 (1 - Phi(3)) = 0.27 %."""
    w = np.random.default_rng(1).standard_normal((1000, 1000)).astype(np.float32)
    assert len(taken_out(w, 3.0)[1].values) / w.size == pytest.approx(0.0027, rel=0.05)


def test_weights_with_tails_come_nearer_than_with_either_choice_of_clipping():
    w, x = heavy(128, 512), heavy(64, 512, seed=1)
    error = {}
    for clip, side in ((3.0, None), (None, None), (3.0, 3.0)):
        how = AnalogSettings(clip_sigmas=clip, side_path_sigmas=side)
        y = AnalogLayer(w, how).program(1).at(YEAR).mvm(x)
        error[clip, side] = np.linalg.norm(y - x @ w.T) / np.linalg.norm(x @ w.T)
    assert error[3.0, 3.0] < 0.8 * min(error[3.0, None], error[None, None])
