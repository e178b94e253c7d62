"""Adapters merged in closed form, against what their products say."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra adapt")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from hybridsim.analog import AnalogSettings  # noqa: E402
from hybridsim.training.linear import OnTiles, StaticLinear  # noqa: E402
from hybridsim.training.merging import mean_into, merge_into  # noqa: E402
from hybridsim.training.study import Lora  # noqa: E402

IN, OUT = 12, 9
NOWHERE = AnalogSettings(clip_sigmas=None)


class Model(OnTiles):
    """One layer, the same for every seed, with an adapter that is drawn, and a head."""

    def __init__(self, rank: int, seed: int) -> None:
        super().__init__()
        layer = StaticLinear(IN, OUT)
        drawn = torch.randn((OUT, IN), generator=torch.Generator().manual_seed(0))
        layer.weight = torch.nn.Parameter(drawn, requires_grad=False)
        layer.remember_spread()
        self.layer, self.head = layer, torch.nn.Linear(OUT, 2)
        self.new_adapter("layer", layer, Lora(rank=rank, alpha=3.0), seed)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in (layer.adapter.lora_B, *self.head.parameters()):
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def trained(self):
        return {n: p for n, p in self.named_parameters() if p.requires_grad}

    @property
    def product(self):
        added = self.layer.adapter.added()
        return added.up.astype(np.float64) @ added.down


def vectors(seed, spread=1.0):
    """Vectors some of whose entries are larger than others."""
    x = torch.randn((300, IN), generator=torch.Generator().manual_seed(seed))
    return {"layer": x * spread ** torch.linspace(-1, 1, IN)}


def merged(rank, *parents, x=None, settings=NOWHERE):
    model = Model(rank, 99)
    merge_into(model, parents, vectors(5) if x is None else x, settings)
    return model


@given(st.floats(0, 1), st.integers(1, 3), st.integers(1, 3))
def test_with_rank_enough_it_is_the_mean_of_products_and_of_heads(share, first, second):
    a, b = Model(first, 1), Model(second, 2)
    model = merged(6, (share, a, NOWHERE), (1 - share, b, NOWHERE))
    wanted = share * a.product + (1 - share) * b.product
    # the ridge of the fit is a thousandth
    np.testing.assert_allclose(model.product, wanted, atol=5e-3 * np.abs(wanted).max())
    for name, value in model.head.named_parameters():
        both = share * a.head.get_parameter(name) + (1 - share) * b.head.get_parameter(name)
        torch.testing.assert_close(value, both)


def test_an_adapter_and_itself_with_other_signs_are_the_adapter():
    """Two ways to write one product: the mean of their factors is nothing, of products it is
    theirs."""
    a, b, mean = Model(2, 1), Model(2, 1), Model(2, 3)
    with torch.no_grad():
        b.layer.adapter.lora_A.neg_()
        b.layer.adapter.lora_B.neg_()
    mean_into(mean, [(0.5, a, NOWHERE), (0.5, b, NOWHERE)])
    assert np.abs(mean.product).max() < 1e-6
    model = merged(2, (0.5, a, NOWHERE), (0.5, b, NOWHERE))
    np.testing.assert_allclose(model.product, a.product, rtol=0, atol=5e-3)


@given(st.integers(1, 4), st.integers(0, 50))
def test_no_adapter_of_the_rank_is_nearer_for_the_vectors(rank, seed):
    """Against the truncation that does not look at vectors, and against draws near it."""
    a, b = Model(3, 1), Model(3, 2)
    x = vectors(seed, spread=6.0)
    wanted = (a.product + b.product) / 2
    model = merged(rank, (0.5, a, NOWHERE), (0.5, b, NOWHERE), x=x)
    u, s, v = np.linalg.svd(wanted)
    blind = (u[:, :rank] * s[:rank]) @ v[:rank]
    rng = np.random.default_rng(seed)
    added = model.layer.adapter.added()
    near = added.up @ (added.down + 0.03 * rng.standard_normal(added.down.shape))
    given_x = x["layer"].numpy()

    def error(product):
        return np.square(given_x @ (product - wanted).T).sum()

    assert error(model.product) < 0.9 * error(blind)
    assert error(model.product) < 1.01 * error(near)


def test_what_tiles_cut_is_added_where_an_arm_was_trained_without_them():
    """So layers give on cut weights what they gave on whole ones."""
    a, settings = Model(2, 1), AnalogSettings(clip_sigmas=1.0)
    layer = a.layer
    cut = (layer.weight - layer.held(settings)).numpy()
    assert np.abs(cut).max() > 0.5
    model = merged(9, (1.0, a, None), settings=settings)
    x = vectors(7)["layer"].numpy()
    before = x @ (layer.weight.numpy() + a.product).T
    after = x @ (layer.held(settings).numpy() + model.product).T
    np.testing.assert_allclose(after, before, atol=0.02 * np.abs(before).max())


@given(st.sampled_from([0.7, 1.0, 1.5, None]), st.sampled_from([0.7, 1.0, 1.5, None]))
def test_tiles_that_cut_elsewhere_give_what_those_of_the_training_gave(before, after):
    """With rank enough, and on the same tiles an adapter stays what it is."""
    a = Model(2, 1)
    trained, held = (AnalogSettings(clip_sigmas=sigmas) for sigmas in (before, after))
    model = merged(9, (1.0, a, trained), settings=held)
    wanted = a.layer.held(trained).numpy() + a.product
    found = a.layer.held(held).numpy() + model.product
    np.testing.assert_allclose(found, wanted, atol=0.01 * np.abs(wanted).max())
    if before == after:
        np.testing.assert_allclose(model.product, a.product, atol=5e-3 * np.abs(a.product).max())
