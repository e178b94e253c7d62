import numpy as np
import pytest

from hybridsim.analog import AnalogSettings, Converters, network_fidelity, random_weights
from hybridsim.analog.fidelity import cosine_error, layer_fidelity, random_vectors, relative_error
from hybridsim.errors import UnsupportedError


def test_measures_of_error_by_hand():
    exact, found = np.float32([[3, 4], [0, 2]]), np.float32([[3, 4], [2, 0]])
    assert relative_error(exact, found) == pytest.approx(np.sqrt(8 / 29))
    assert cosine_error(exact, found) == pytest.approx(0.5)
    assert cosine_error(exact, 7 * exact) == pytest.approx(0, abs=1e-7)
    with pytest.raises(UnsupportedError, match="all zero"):
        relative_error(np.zeros((1, 2), np.float32), found[:1])


def test_noise_grows_with_time_and_falls_with_bits():
    layers = {"a": random_weights(96, 64)}
    rows = network_fidelity(layers, [0.0, 3600.0, 31536000.0], chips=2)
    errors = [row.relative_error for row in rows]
    assert errors == sorted(errors)
    assert [row.cosine_error for row in rows] == sorted(row.cosine_error for row in rows)
    assert rows[0].snr_db == pytest.approx(-20 * np.log10(errors[0]))
    coarse = AnalogSettings(converters=Converters(dac_bits=4, adc_bits=4))
    (worse,) = network_fidelity(layers, [0.0], coarse, chips=2)
    assert worse.relative_error > errors[0]


def test_a_layer_gets_the_same_chips_whatever_is_beside_it():
    a, b = random_weights(32, 16), random_weights(16, 32)
    alone = network_fidelity({"a": a}, [0.0])
    assert network_fidelity({"b": b, "a": a}, [0.0])[1:] == alone


def test_a_fixed_range_is_calibrated_on_the_vectors():
    fixed = AnalogSettings(converters=Converters(input_scaling="fixed"))
    w, x = random_weights(64, 32), 40 * random_vectors("x", 64, 64)
    (row,) = layer_fidelity("x", w, x, [0.0], fixed)
    assert 0 < row.relative_error < 0.3
    assert row.relative_error_sd > 0
    assert row.chips == 3
