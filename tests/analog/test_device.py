"""Every effect of the device against its published closed form."""

import math

import numpy as np
import pytest

from hybridsim.analog import AnalogLayer, AnalogSettings, Converters, PcmDevice
from hybridsim.analog.device import (
    accumulated,
    clip,
    decay,
    draw_exponents,
    exponent_mean,
    exponent_spread,
    program,
    programming_sigma,
    read,
    read_level,
    warmed,
)
from hybridsim.errors import UnsupportedError

DEVICE = PcmDevice()
DRAWS = 200_000
STANDARD_ERRORS = 5.0
"""How far a mean of DRAWS draws may be from its expectation."""


def conductances(r, draws=DRAWS):
    return np.full(draws, r * DEVICE.g_max, np.float32)


def assert_mean(draws, expected, sigma):
    error = abs(float(draws.mean(dtype=np.float64)) - expected)
    assert error < STANDARD_ERRORS * sigma / math.sqrt(draws.size)


def assert_spread(draws, expected):
    """The standard error of a normal's standard deviation is sigma / sqrt(2 n)."""
    error = abs(float(draws.std(dtype=np.float64)) - expected)
    assert error < STANDARD_ERRORS * expected / math.sqrt(2 * draws.size)


@pytest.mark.parametrize("r", [0.25, 0.5, 0.75, 1.0])
def test_programming_noise_has_the_published_mean_and_spread(r):
    """Above a quarter of g_max zero is five deviations away, so nothing is cut."""
    sigma = 0.26348 + 1.9650 * r - 1.1731 * r * r
    found = program(conductances(r), DEVICE, np.random.default_rng(1))
    assert_mean(found, r * 25, sigma)
    assert_spread(found, sigma)


def test_a_device_at_zero_is_half_a_normal():
    """max(s N, 0) has mean s / sqrt(2 pi) and second moment s^2 / 2."""
    sigma = 0.26348
    found = program(conductances(0.0), DEVICE, np.random.default_rng(2)).astype(np.float64)
    assert found.min() == 0
    assert abs((found == 0).mean() - 0.5) < STANDARD_ERRORS * 0.5 / math.sqrt(DRAWS)
    assert_mean(found, sigma / math.sqrt(2 * math.pi), 0.6 * sigma)
    assert np.mean(found**2) == pytest.approx(sigma**2 / 2, rel=0.02)


def test_programming_noise_follows_the_range_of_the_device():
    """The fit is in microsiemens at 25 uS; another g_max scales it."""
    other = PcmDevice.model_validate({"g_max": "5 uS"})
    r = np.linspace(0, 1, 9, dtype=np.float32)
    small, fitted = programming_sigma(r * 5, other), programming_sigma(r * 25, DEVICE)
    np.testing.assert_allclose(small * 5, fitted, rtol=1e-5)


@pytest.mark.parametrize("r", [1e-9, 1e-3, 0.02, 0.1, 0.3, 1.0])
def test_drift_exponents_have_the_published_mean_and_spread(r):
    log = math.log(max(r, 1e-7))
    mean = min(max(-0.0155 * log + 0.0244, 0.049), 0.1)
    spread = min(max(-0.0125 * log - 0.0059, 0.008), 0.045)
    g = conductances(r)
    assert float(exponent_mean(g[:1], DEVICE)[0]) == pytest.approx(mean, rel=1e-5)
    assert float(exponent_spread(g[:1], DEVICE)[0]) == pytest.approx(spread, rel=1e-4)
    found = draw_exponents(g, DEVICE, np.random.default_rng(3))
    z = mean / spread  # |mean + spread N| is a folded normal
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    folded = spread * 2 * density + mean * math.erf(z / math.sqrt(2))
    assert found.min() >= 0
    assert_mean(found, folded, spread)
    assert_spread(found, math.sqrt(mean**2 + spread**2 - folded**2))


def test_low_states_drift_faster():
    r = np.geomspace(1e-4, 1, 50, dtype=np.float32)
    assert (np.diff(exponent_mean(r * 25, DEVICE)) <= 0).all()


@pytest.mark.parametrize("nu", [0.0, 0.031, 0.05, 0.1])
def test_the_decay_is_a_power_of_time(nu):
    times = np.array([0.0, 3600.0, 86400.0, 2592000.0, 31536000.0, 315360000.0])
    left = [float(decay(np.float32([nu]), t, DEVICE)[0]) for t in times]
    assert left[0] == 1.0
    slope, offset = np.polyfit(np.log((times + 20) / 20), np.log(left), 1)
    assert (slope, offset) == (pytest.approx(-nu, abs=1e-6), pytest.approx(0, abs=1e-5))


def test_the_mean_decay_of_many_devices_is_that_of_a_lognormal():
    """At g_max: nu is normal (0.049, 0.008), so E[exp(-nu L)] = exp(-mu L + (sd L)^2 / 2)."""
    g = conductances(1.0)
    left = decay(draw_exponents(g, DEVICE, np.random.default_rng(4)), 315360000.0, DEVICE)
    log = math.log((315360000.0 + 20) / 20)
    expected = math.exp(-0.049 * log + (0.008 * log) ** 2 / 2)
    assert_mean(left, expected, float(left.std()))


@pytest.mark.parametrize("seconds", [0.0, 3600.0, 315360000.0])
@pytest.mark.parametrize("r", [0.05, 0.3, 1.0])
def test_read_noise_has_the_published_spread(seconds, r):
    level = min(0.0088 / r**0.65, 0.2)
    growth = math.sqrt(math.log((seconds + 20 + 250e-9) / (2 * 250e-9)))
    assert accumulated(seconds, DEVICE) == pytest.approx(growth, rel=1e-12)
    g = conductances(r)
    assert float(read_level(g[:1], DEVICE)[0]) == pytest.approx(level, rel=1e-5)
    drifted = g * np.float32(0.5)
    found = read(drifted, g, seconds, DEVICE, np.random.default_rng(5))
    assert_mean(found, r * 12.5, r * 12.5 * level * growth)
    if level * growth < 0.2:  # else some draws are cut at zero
        assert_spread(found, r * 12.5 * level * growth)


def test_a_device_at_zero_reads_zero():
    g = np.zeros(1000, np.float32)
    assert not read(g, g, 3600.0, DEVICE, np.random.default_rng(6)).any()


def test_the_level_of_read_noise_is_limited():
    assert float(read_level(np.float32([0.0]), DEVICE)[0]) == pytest.approx(0.2)
    assert float(read_level(np.float32([25 * 1e-3]), DEVICE)[0]) == pytest.approx(0.2)


def test_scales_of_zero_switch_every_effect_off():
    quiet = PcmDevice(programming_scale=0, drift_scale=0, read_scale=0)
    g = np.linspace(0, 25, 64, dtype=np.float32)
    rng = np.random.default_rng(7)
    assert (program(g, quiet, rng) == g).all()
    assert not draw_exponents(g, quiet, rng).any()
    assert (read(g, g, 1e8, quiet, rng) == g).all()


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.0), (0.0, 0.2), (0.05, 0.15)])
def test_stuck_devices_stay_where_they_are(low, high):
    """Of a mixture of three: mean and variance in closed form, and shares as given."""
    r, device = 0.5, PcmDevice(stuck_low=low, stuck_high=high)
    sigma = float(programming_sigma(conductances(r, 1), DEVICE)[0])
    found = program(conductances(r), device, np.random.default_rng(1))
    g, top, rest = r * 25, 25.0, 1 - low - high
    mean = rest * g + high * top
    variance = rest * (sigma**2 + g**2) + high * top**2 - mean**2
    assert_mean(found, mean, math.sqrt(variance))
    for share, value in ((low, 0.0), (high, top)):
        error = abs(float((found == value).mean()) - share)
        assert error <= STANDARD_ERRORS * math.sqrt(share * (1 - share) / DRAWS)


def test_without_stuck_devices_nothing_is_drawn_for_them():
    draws = [np.random.default_rng(1) for _ in range(2)]
    program(conductances(0.5, 10), DEVICE, draws[0])
    draws[1].standard_normal(10, dtype=np.float32)
    assert draws[0].random() == draws[1].random()


def test_more_stuck_devices_than_there_are_is_refused():
    too_many = AnalogSettings(device=PcmDevice(stuck_low=0.6, stuck_high=0.6))
    with pytest.raises(UnsupportedError, match="at most 1"):
        AnalogLayer(np.ones((2, 2)), too_many).program(1)


@pytest.mark.parametrize(("kelvin", "slope", "offset"), [(350, 0, 0.1), (330, -0.02, 0.05)])
def test_warm_devices_conduct_as_arrhenius_says(kelvin, slope, offset):
    """ln g over 1 / T is a line whose slope is -E / k; low states have more of it."""
    g = np.array([0.25, 2.5, 25.0], np.float32)
    device = PcmDevice(temperature=kelvin, activation=(slope, offset))
    energy = slope * np.log(g / 25) + offset
    exact = np.exp(-energy / 8.617333e-5 * (1 / kelvin - 1 / 300))
    np.testing.assert_allclose(warmed(g, device), exact, rtol=1e-5)
    assert warmed(g, PcmDevice(temperature=kelvin)) is None
    assert warmed(g, PcmDevice(activation=(slope, offset))) is None


def test_the_drift_compensation_takes_back_what_is_common_to_all_states():
    """A constant energy scales all outputs alike; one that depends on the state does not."""
    w = np.random.default_rng(1).standard_normal((64, 200)).astype(np.float32)
    left = []
    for kelvin, activation in ((300, (0, 0.1)), (360, (0, 0.1)), (360, (-0.05, 0.0))):
        device = PcmDevice(
            temperature=kelvin, activation=activation, programming_scale=0, read_scale=0
        )
        exact = Converters(dac_bits=None, adc_bits=None, output_noise=0, output_bound=1e6)
        state = AnalogLayer(w, AnalogSettings(device=device, converters=exact)).program(1).at(0)
        left.append((state.alpha, np.abs(state.effective_weights - clip(w, 3.0)).max()))
    factor = math.exp(-0.1 / 8.617333e-5 * (1 / 360 - 1 / 300))
    assert left[1][0] == pytest.approx(left[0][0] / factor, rel=1e-4)
    assert left[1][1] == pytest.approx(left[0][1], abs=1e-4)
    assert left[2][1] > 0.02
