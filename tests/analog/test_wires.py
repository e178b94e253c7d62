"""Resistance of bit lines against Kirchhoff's laws, solved exactly."""

import numpy as np
import pytest

from hybridsim.analog import AnalogLayer, AnalogSettings, Converters, PcmDevice
from hybridsim.analog.wires import with_wires

EXACT = Converters(output_noise=0.0, dac_bits=None, adc_bits=None, output_bound=1e9)
IDEAL = {"programming_scale": 0.0, "drift_scale": 0.0, "read_scale": 0.0}


def kirchhoff(g, x, drop):
    """Solve the ladder of one bit line: every node, its cell and its two segments."""
    rows = len(g)
    system, sources = np.zeros((rows, rows)), g * x
    wire = 1 / drop
    for i in range(rows):
        system[i, i] = g[i] + wire + (wire if i + 1 < rows else 0)  # row 0 ends at the ADC
        if i:
            system[i, i - 1] = system[i - 1, i] = -wire
    lifted = np.linalg.solve(system, sources)
    return wire * lifted[0]


@pytest.mark.parametrize("rows", [1, 2, 17, 200])
def test_the_first_order_is_that_of_kirchhoff(rows):
    """The error that is left falls with the square of the resistance."""
    rng = np.random.default_rng(rows)
    g, x = rng.uniform(0, 1, rows), rng.uniform(-1, 1, rows)
    left = []
    for drop in (0.02 / rows**2, 0.01 / rows**2):
        exact = kirchhoff(g, x, drop)
        found = x @ with_wires(g[:, None].astype(np.float64), drop)
        assert abs(exact - x @ g) > 0  # there is something to find
        left.append(abs(float(found[0]) - exact) / abs(exact - x @ g))
    assert left[0] < 0.02
    assert left[1] == pytest.approx(left[0] / 2, rel=0.1, abs=1e-4)


def test_pairs_lie_on_lines_of_their_own():
    w = np.random.default_rng(1).uniform(-1, 1, (60, 5)).astype(np.float32)
    both = with_wires(np.maximum(w, 0), 1e-4) - with_wires(np.maximum(-w, 0), 1e-4)
    np.testing.assert_allclose(with_wires(w, 1e-4), both, atol=1e-6)
    assert (np.sign(both) == np.sign(w)).all()


def test_rows_far_from_the_end_lose_most_and_none_turns_over():
    w = np.full((100, 1), 0.5, np.float32)
    found = with_wires(w, 1e-4)[:, 0]
    assert (np.diff(found) < 0).all()
    assert with_wires(w, 1.0).min() == 0


def test_wires_act_on_a_tile_and_are_off_by_default():
    w, x = (np.random.default_rng(s).standard_normal((20, 300)).astype(np.float32) for s in (1, 2))
    how = AnalogSettings(converters=EXACT, device=PcmDevice(**IDEAL), clip_sigmas=None)
    off = AnalogLayer(w, how).program(1).at(0).mvm(x)
    np.testing.assert_allclose(off, x @ w.T, atol=1e-2)
    thin = how.model_copy(update={"wire_resistance": 0.35})
    state = AnalogLayer(w, thin).program(1).at(0)
    largest = np.abs(w).max(axis=1)
    expected = with_wires((w / largest[:, None]).T, 0.35 * 25e-6).T * largest[:, None]
    np.testing.assert_allclose(state.effective_weights, expected, rtol=1e-3, atol=1e-4)
    assert np.linalg.norm(state.mvm(x) - x @ w.T) > 0.01 * np.linalg.norm(x @ w.T)
