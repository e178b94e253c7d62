"""Where to cut weights: errors of layers before anything is trained."""

import json
from itertools import pairwise

import numpy as np
import pytest
from typer.testing import CliRunner

from hybridsim.cli import app
from tests.schemas import broken

torch = pytest.importorskip("torch", reason="needs the extra adapt")

from hybridsim.analog import AnalogSettings  # noqa: E402
from hybridsim.training.clipping import errors_of_clipping  # noqa: E402
from hybridsim.training.crossbar import Disturbance, Pool  # noqa: E402
from hybridsim.training.linear import OnTiles, StaticLinear  # noqa: E402

EXACT = {
    "device": {"programming_scale": 0.0, "drift_scale": 0.0, "read_scale": 0.0},
    "converters": {"dac_bits": None, "adc_bits": None, "output_noise": 0.0},
}
YEARS = 315360000.0


class Layers(OnTiles):
    """Two layers of Gaussian weights, a hundredth of them five times as large."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        for name, (inputs, outputs) in {"one": (48, 40), "two": (40, 24)}.items():
            layer = StaticLinear(inputs, outputs)
            drawn = torch.randn((outputs, inputs), generator=generator)
            far = torch.rand((outputs, inputs), generator=generator) < 0.01
            layer.weight = torch.nn.Parameter(torch.where(far, 5 * drawn, drawn))
            layer.weight.requires_grad_(False)
            layer.remember_spread()
            setattr(self, name, layer)

    def inputs(self, seed, vectors=200):
        generator = torch.Generator().manual_seed(seed)
        return {
            name: torch.randn((vectors, layer.weight.shape[1]), generator=generator)
            for name, layer in self.static_layers().items()
        }


def found(rank, analog, sigmas=(1.0, 2.0, 3.0, None), alike=False):
    model = Layers(1)
    x = model.inputs(2)
    settings = AnalogSettings.model_validate(analog)
    noise = Disturbance(Pool(0, "cpu"))
    seen = x if alike else model.inputs(3)
    return errors_of_clipping(model, x, seen, settings, noise, YEARS, rank, sigmas)


def test_without_noise_and_without_clipping_nothing_is_lost():
    table = found(4, EXACT)
    assert np.allclose(table["tiles"], 0, atol=1e-6)
    assert table.iloc[-1][["clipped", "left"]].tolist() == [0, 0]
    assert np.isnan(table["clip_sigmas"].iloc[-1])


def test_clipping_alone_is_the_error_of_clipped_weights():
    table, model = found(4, {}, sigmas=(2.0,)), Layers(1)
    errors = []
    for name, x in model.inputs(3).items():
        weights = getattr(model, name).weight.numpy()
        limit = 2 * weights.std()
        y, lost = x.numpy() @ weights.T, x.numpy() @ (weights - weights.clip(-limit, limit)).T
        errors.append((lost**2).sum() / ((y - y.mean(0)) ** 2).sum())
    assert table["clipped"].item() == pytest.approx(np.mean(errors), rel=1e-4)


def test_a_higher_rank_gives_more_of_it_back():
    left = [found(rank, {}, alike=True)["left"].to_numpy() for rank in (1, 4, 12, 48)]
    assert all((more <= less + 1e-9).all() for less, more in pairwise(left))
    assert np.allclose(left[-1], 0, atol=1e-4)
    assert (left[0] <= found(1, {}, alike=True)["clipped"]).all()


def test_weights_that_are_cut_further_in_lose_less_to_the_tiles():
    """A column uses more of the conductances, and noise is the same share of the largest."""
    tiles = found(4, {})["tiles"].to_numpy()
    assert (np.diff(tiles) > 0).all()


def test_what_a_side_path_holds_is_not_lost():
    table = found(1, {"side_path_sigmas": 3.0}, sigmas=(3.0, None))
    assert np.allclose(table["clipped"], 0, atol=1e-9)


def test_the_command_trains_nothing_and_says_where_the_least_is(study, tmp_path):
    def said(*options):
        given = ["adapt", str(study), "--out", str(tmp_path / "out"), "--clipping", *options]
        done = CliRunner().invoke(app, given, catch_exceptions=False)
        assert done.exit_code == 0
        return done.stdout

    answer = json.loads(said("--json"))
    assert broken("adapt-answer", answer) == []
    rows = answer["clipping"]
    best = min(rows, key=lambda row: row["together"])
    for row in rows:
        assert row["together"] == pytest.approx(row["left"] + row["tiles"])
    cut = "null" if best["clip_sigmas"] is None else f"{best['clip_sigmas']:g}"
    assert f"analog.clip_sigmas: {cut}" in " ".join(said().split())
    assert not (tmp_path / "out").exists()
