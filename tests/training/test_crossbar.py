"""The torch product against the NumPy one, and its gradients."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra adapt")

from hybridsim.analog import AnalogLayer, AnalogSettings, Converters  # noqa: E402
from hybridsim.training.crossbar import (  # noqa: E402
    RANGE_DECAY,
    Disturbance,
    Pool,
    RowBlock,
    crossbar_product,
    limited,
)
from hybridsim.training.linear import StaticLinear, row_blocks  # noqa: E402

QUIET = Converters(output_noise=0.0)
EXACT = Converters(output_noise=0.0, dac_bits=None, adc_bits=None, output_bound=1e9)
NORMALS = Pool(1, "cpu")
PLAIN = Disturbance(NORMALS)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("outputs", "inputs"), [(24, 60), (600, 1100), (30, 512)])
@pytest.mark.parametrize("seconds", [0.0, 315360000.0])
def test_it_equals_the_numpy_layer(outputs, inputs, seconds):
    """But for values that sit on a rounding tie, where the order of a sum decides."""
    w, x = normal(outputs, inputs), normal(9, inputs, seed=1)
    state = AnalogLayer(w, AnalogSettings(converters=QUIET)).program(1).at(seconds)
    found = crossbar_product(
        torch.from_numpy(x), torch.from_numpy(w), row_blocks(state, PLAIN), QUIET, PLAIN
    ).numpy()
    expected = state.mvm(x)
    equal = np.isclose(found, expected, rtol=1e-4, atol=1e-3)
    assert equal.mean() > 0.998
    step = 24 / 254 * np.abs(x).max() * np.abs(w).max() * state.alpha * 1.1
    assert np.abs(found - expected).max() < 2 * step


@pytest.mark.parametrize(
    "changes",
    [
        {"bound_management": "iterative", "output_bound": 3.0, "dac_bits": None},
        {"bound_management": "iterative", "output_bound": 3.0, "dac_bits": None, "adc_bits": None},
        {"input_scaling": "fixed", "input_range": 2.0},
        {
            "input_scaling": "fixed",
            "input_range": 1.5,
            "dac_bits": None,
            "bound_management": "iterative",
        },
    ],
)
def test_ranges_and_bounds_are_managed_as_in_numpy(changes):
    """Halving puts the largest input on a tie of the DAC, so bounds are compared without one."""
    how = QUIET.model_copy(update=changes)
    w, x = normal(60, 300), normal(40, 300, seed=1)
    state = AnalogLayer(w, AnalogSettings(rows=200, converters=how)).program(1).at(0)
    found = crossbar_product(
        torch.from_numpy(x), torch.from_numpy(w), row_blocks(state, PLAIN), how, PLAIN
    ).numpy()
    expected = state.mvm(x)
    assert np.isclose(found, expected, rtol=1e-4, atol=1e-3).mean() > 0.99
    as_by_default = AnalogLayer(w, AnalogSettings(rows=200, converters=QUIET)).program(1).at(0)
    assert np.abs(expected - as_by_default.mvm(x)).mean() > 0.01  # the option does something


def test_bfloat16_products_add_little_to_the_noise():
    """A chip's own error is 11 %; eight bits of weights and sums add far less than one."""
    w, x = normal(384, 1000), torch.from_numpy(normal(64, 1000, seed=1)).requires_grad_()
    state = AnalogLayer(w, AnalogSettings(converters=QUIET)).program(1).at(0)
    found, slopes = [], []
    for short in (False, True):
        how = Disturbance(NORMALS, bfloat16=short)
        y = crossbar_product(x, torch.from_numpy(w), row_blocks(state, how), QUIET, how)
        (slope,) = torch.autograd.grad(y.square().sum(), x)
        found.append(y.detach())
        slopes.append(slope)
    for exact, short in (found, slopes):
        assert 0 < (short - exact).norm() / exact.norm() < 0.03


def test_output_noise_has_the_same_spread_as_in_numpy():
    w, x = normal(64, 128), normal(300, 128, seed=1)
    how = Converters(adc_bits=None, dac_bits=None, output_noise=0.5)
    state = AnalogLayer(w, AnalogSettings(converters=how)).program(1).at(0)
    found = crossbar_product(
        torch.from_numpy(x), torch.from_numpy(w), row_blocks(state, PLAIN), how, PLAIN
    )
    exact = x @ state.effective_weights.T
    errors = [(y - exact).std() for y in (state.mvm(x), found.numpy())]
    assert errors[0] == pytest.approx(errors[1], rel=0.02)


def layer_of(w):
    layer = StaticLinear(w.shape[1], w.shape[0])
    layer.load_state_dict({"weight": torch.from_numpy(w), "bias": torch.zeros(len(w))})
    layer.remember_spread()
    return layer


def test_weights_without_noise_are_those_of_the_numpy_mapping():
    """The relative weights that training starts from are the targets that chips are given."""
    w = normal(600, 700)
    settings = AnalogSettings(rows=300, columns=200, scaling="tile")
    for how in (settings, settings.model_copy(update={"scaling": "column"})):
        blocks = layer_of(w).blocks_of_weights(how)
        clipped = AnalogLayer(w, how).clipped
        rebuilt = torch.cat([b.relative * b.scales for b in blocks]).numpy().T
        np.testing.assert_allclose(rebuilt, clipped, rtol=1e-5, atol=1e-6)
        chip = row_blocks(AnalogLayer(w, how).program(1).at(0), PLAIN)
        for block, there in zip(blocks, chip, strict=True):
            assert block.rows == there.rows
            tiles = there.scales.numpy() / block.scales.numpy()  # the compensation of each tile
            assert len(np.unique(tiles.round(4))) <= 3
            assert block.relative.abs().max() == pytest.approx(1, abs=1e-6)


def test_gradients_are_those_of_finite_differences():
    """Without converters the product is smooth, so the hand-written way back can be measured."""
    rng = torch.Generator().manual_seed(1)
    x = torch.randn((4, 7), generator=rng, dtype=torch.float64, requires_grad=True)
    w = torch.randn((3, 7), generator=rng, dtype=torch.float64)

    def product(x):
        scales = w.abs().amax(dim=1)
        whole = (w / scales[:, None]).T.contiguous()
        blocks = tuple(RowBlock(rows, whole[rows], scales) for rows in (slice(0, 4), slice(4, 7)))
        return crossbar_product(x, w, blocks, EXACT, PLAIN)

    assert torch.autograd.gradcheck(product, (x,))


def test_gradients_pass_straight_through_converters():
    w, x = normal(20, 50), torch.from_numpy(normal(6, 50, seed=1)).requires_grad_()
    layer = layer_of(w)
    settings = AnalogSettings(clip_sigmas=None)
    layer.compute_on(settings, PLAIN)
    up = torch.from_numpy(normal(6, 20, seed=2))
    layer(x).backward(up)
    np.testing.assert_allclose(x.grad.numpy(), (up.numpy() @ w), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        layer.weight.grad.numpy(), up.numpy().T @ x.detach().numpy(), rtol=1e-4, atol=1e-4
    )


def test_gradients_use_the_weights_as_they_were_noisy():
    w, x = normal(20, 50), torch.from_numpy(normal(6, 50, seed=1)).requires_grad_()
    layer = layer_of(w).requires_grad_(False)
    layer.compute_on(AnalogSettings(converters=EXACT), Disturbance(NORMALS, weights=0.3))
    y = layer(x)
    y.sum().backward()
    # y is linear in x, so that the gradient times x is y itself
    np.testing.assert_allclose(
        (x.grad * x).sum(dim=1).detach(), y.sum(dim=1).detach(), rtol=1e-3, atol=1e-2
    )
    exact = torch.from_numpy(np.ones((6, 20), np.float32) @ AnalogLayer(w).clipped)
    assert (x.grad - exact).norm() / exact.norm() > 0.1


def test_weight_noise_counts_in_largest_weights_of_a_column():
    w = normal(40, 200)
    w[3] *= 100
    layer = layer_of(w).requires_grad_(False)
    how = AnalogSettings(converters=EXACT, clip_sigmas=None)
    layer.compute_on(how, Disturbance(Pool(1, "cpu"), weights=0.067))
    one_hot = torch.eye(200)
    errors = torch.cat([layer(one_hot) - torch.from_numpy(w.T) for _ in range(20)])
    largest = torch.from_numpy(np.abs(w).max(axis=1))
    np.testing.assert_allclose((errors.std(dim=0) / largest).numpy(), 0.067, rtol=0.06)


def test_a_pool_gives_normals_of_any_size_and_the_same_after_a_resume():
    pool = Pool(3, "cpu")
    pool.SIZE = 2**23
    pool.at_step(3, 7)
    first = pool.like((100, 1000))
    pool.at_step(3, 7)
    assert torch.equal(first, pool.like((100, 1000)))
    assert not torch.equal(first, pool.like((100, 1000)))
    assert first.mean() == pytest.approx(0, abs=0.02)
    assert first.std() == pytest.approx(1, abs=0.02)
    assert pool.like((3, 2**21)).shape == (3, 2**21)


def test_a_side_path_adds_what_crossbars_do_not_hold():
    """As in NumPy; without noise it is the linear layer, and so are both gradients."""
    how = AnalogSettings(rows=64, clip_sigmas=1.0, side_path_sigmas=1.0, converters=EXACT)
    w, x = normal(30, 100), torch.from_numpy(normal(9, 100, seed=1)).requires_grad_()
    layer = StaticLinear(100, 30)
    layer.weight.data = torch.from_numpy(w)
    layer.remember_spread()
    slopes = []
    for on_tiles in (False, True):
        layer.weight.requires_grad_(True)
        if on_tiles:
            layer.compute_on(how, PLAIN)
        y = layer(x)
        slopes.append((y.detach(), *torch.autograd.grad(y.square().sum(), (x, layer.weight))))
    for digital, found in zip(*slopes, strict=True):
        torch.testing.assert_close(found, digital, rtol=1e-3, atol=1e-2)
    layer.weight.requires_grad_(False)
    noisy = how.model_copy(update={"converters": QUIET})
    state = AnalogLayer(w, noisy).program((1, 0)).at(3600.0)
    layer.compute_on(noisy, PLAIN, row_blocks(state, PLAIN))
    found = layer.on_crossbars(x.detach()).numpy()
    assert np.isclose(found, state.mvm(x.detach().numpy()), rtol=1e-3, atol=1e-2).mean() > 0.99


@pytest.mark.parametrize("limit", [0.4, 1.3, 9.0])
def test_a_learned_range_follows_the_slope_of_what_it_cuts(limit):
    """Its gradient is relative: the slope, by finite differences, times the range. Where nearly
    all inputs lie within, it shrinks as well; inputs that are cut have no gradient."""
    x, slope = (torch.from_numpy(normal(40, 25, seed=s)).double() for s in (1, 2))
    x.requires_grad_()
    own = torch.tensor(limit, dtype=torch.float64, requires_grad=True)
    y = limited(x, own)
    assert torch.equal(y, x.detach().clamp(-limit, limit))
    for_x, for_limit = torch.autograd.grad((y * slope).sum(), (x, own))
    within = x.detach().abs() < limit
    assert torch.equal(for_x, torch.where(within, slope, 0.0))
    step = 1e-7
    ends = [(x.detach().clamp(-r, r) * slope).sum() for r in (limit + step, limit - step)]
    decay = RANGE_DECAY if within.double().mean() > 0.95 else 0.0
    expected = limit * ((ends[0] - ends[1]) / (2 * step) + decay)
    assert float(for_limit) == pytest.approx(float(expected), rel=1e-5, abs=1e-9)
