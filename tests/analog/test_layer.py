import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.analog import AnalogLayer, AnalogSettings, Converters, DriftCompensation, PcmDevice
from hybridsim.analog.layer import parts_of
from hybridsim.errors import UnsupportedError

YEARS_10 = 315360000.0
PERFECT = AnalogSettings(
    clip_sigmas=None,
    device=PcmDevice(programming_scale=0, drift_scale=0, read_scale=0),
    converters=Converters(dac_bits=None, adc_bits=None, output_noise=0, output_bound=1e6),
)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def changed(base, **parts):
    return base.model_copy(update=parts)


@settings(max_examples=15)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 40), st.integers(1, 40))
def test_a_perfect_layer_is_the_product_however_it_is_cut(inputs, outputs, rows, columns):
    w, x = normal(outputs, inputs), normal(3, inputs, seed=1)
    for pair in ("net", "devices"):
        how = changed(PERFECT, rows=rows, columns=columns, pair=pair)
        state = AnalogLayer(w, how).program(1).at(YEARS_10)
        np.testing.assert_allclose(state.mvm(x), x @ w.T, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(state.effective_weights, w, rtol=1e-3, atol=1e-5)
        assert state.alpha == pytest.approx(1, abs=1e-5)


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_parts_cover_a_layer_once(inputs, outputs):
    parts = list(parts_of(inputs, outputs, AnalogSettings()))
    area = sum((p.rows.stop - p.rows.start) * (p.columns.stop - p.columns.start) for p in parts)
    assert area == inputs * outputs
    assert len(parts) == -(-inputs // 512) * -(-outputs // 512)


def test_a_chip_is_decided_by_its_seed():
    layer, x = AnalogLayer(normal(40, 600)), normal(5, 600, seed=1)
    first, again, other = (layer.program(seed).at(3600).mvm(x) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_programming_is_done_once_and_readings_differ():
    chip, x = AnalogLayer(normal(40, 60)).program((3, 4)), normal(5, 60, seed=1)
    assert (chip.at(3600).mvm(x) == chip.at(3600).mvm(x)).all()
    assert (chip.at(3600, reading=1).mvm(x) != chip.at(3600).mvm(x)).any()
    errors = [chip.tiles[0].devices[0].net.copy(), chip.tiles[0].devices[0].net]
    chip.at(YEARS_10)
    assert (errors[0] == errors[1]).all()


def test_output_noise_comes_from_the_generator_that_is_given():
    state, x = AnalogLayer(normal(40, 60)).program(1).at(0), normal(5, 60, seed=1)
    rng = np.random.default_rng(1)
    assert (state.mvm(x, rng) != state.mvm(x, rng)).any()


def test_crossbars_of_a_layer_are_programmed_independently():
    chip = AnalogLayer(np.ones((4, 1024)), AnalogSettings(clip_sigmas=None)).program(1)
    first, second = (tile.devices[0].net for tile in chip.tiles)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 5 / np.sqrt(first.size)


def test_scaling_per_column_helps_small_columns():
    w = normal(2, 256)
    w[0] *= 0.01
    x = normal(50, 256, seed=1)
    errors = {}
    for scaling in ("column", "tile"):
        how = AnalogSettings(scaling=scaling, clip_sigmas=None)
        y = AnalogLayer(w, how).program(1).at(0).mvm(x)[:, 0]
        errors[scaling] = np.linalg.norm(y - x @ w[0]) / np.linalg.norm(x @ w[0])
    assert errors["column"] < 0.2 < 1 < errors["tile"]


def test_clipping_is_at_three_deviations_of_the_layer():
    w = normal(64, 64)
    w[0, 0] = 50.0
    layer = AnalogLayer(w)
    assert np.abs(layer.clipped).max() == pytest.approx(3 * w.std())
    lost = np.linalg.norm(w - layer.clipped) / np.linalg.norm(w)
    assert layer.clipping_error == pytest.approx(lost)
    assert AnalogLayer(w, AnalogSettings(clip_sigmas=None)).clipping_error == 0


def test_a_layer_of_zeros_stays_near_zero():
    state = AnalogLayer(np.zeros((4, 8))).program(1).at(0)
    assert np.abs(state.effective_weights).max() < 1e-6


@pytest.mark.parametrize(
    ("weights", "found"),
    [(np.ones(3), r"shape \(3,\)"), (np.ones((0, 2)), "shape"), ([[np.nan]], "NaN")],
)
def test_what_is_no_matrix_is_refused(weights, found):
    with pytest.raises(UnsupportedError, match=found):
        AnalogLayer(weights)


def test_wrong_vectors_times_and_ranges_are_refused():
    layer = AnalogLayer(normal(4, 8))
    with pytest.raises(UnsupportedError, match=r"\(tokens, 8\) would do"):
        layer.program(1).at(0).mvm(normal(3, 9))
    with pytest.raises(UnsupportedError, match="0 or more"):
        layer.program(1).at(-1.0)
    with pytest.raises(UnsupportedError, match="above 0"):
        AnalogLayer(normal(4, 8), input_range=0.0)


# --- drift compensation ---------------------------------------------------------------------


def alpha(seconds, bits=8, **compensation):
    how = AnalogSettings(
        converters=Converters(dac_bits=bits, adc_bits=bits),
        compensation=DriftCompensation(**compensation),
    )
    return AnalogLayer(normal(256, 256), how).program(1).at(seconds).alpha


def test_a_coarse_readout_over_corrects_and_options_mend_it():
    """The published factor after ten years is 2.2; a 6-bit readout gives 3."""
    assert alpha(YEARS_10) == pytest.approx(2.2, abs=0.05)
    assert alpha(YEARS_10, bits=6) == pytest.approx(3.0, abs=0.1)
    assert alpha(YEARS_10, bits=6, readout_bits=8) == pytest.approx(2.2, abs=0.05)
    assert alpha(YEARS_10, bits=6, readout_bound=1.0) == pytest.approx(2.2, abs=0.05)


def test_without_compensation_outputs_shrink():
    assert alpha(YEARS_10, kind="none") == 1.0


def test_averaged_reads_and_exact_targets_agree_with_the_plain_factor():
    plain = alpha(YEARS_10)
    assert alpha(YEARS_10, reads=8) == pytest.approx(plain, rel=0.03)
    assert alpha(YEARS_10, reference="target") == pytest.approx(plain, rel=0.03)


def test_compensation_restores_the_size_of_the_outputs():
    w, x = normal(128, 256), normal(64, 256, seed=1)
    exact = x @ w.T
    slopes = {}
    for kind in ("global", "none"):
        how = AnalogSettings(compensation=DriftCompensation(kind=kind))
        y = AnalogLayer(w, how).program(1).at(YEARS_10).mvm(x)
        slopes[kind] = float((y * exact).sum() / (exact * exact).sum())
    assert slopes["global"] == pytest.approx(1, abs=0.03)
    assert slopes["none"] == pytest.approx(1 / 2.2, abs=0.03)
