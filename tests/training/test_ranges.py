"""Ranges of converters: calibrated on vectors, or learned with an adapter."""

import numpy as np
import pytest

from tests.training.conftest import changed, training_of

torch = pytest.importorskip("torch", reason="needs the extra adapt")

from hybridsim.errors import SpecError  # noqa: E402
from hybridsim.training.crossbar import Disturbance, Pool  # noqa: E402
from hybridsim.training.linear import program_chip, put_on_chip  # noqa: E402
from hybridsim.training.observing import set_ranges  # noqa: E402
from hybridsim.training.run import StudyRun  # noqa: E402

FIXED = {
    "converters": {"input_scaling": "fixed", "output_noise": 0.0},
    "ranges": {"kind": "quantile", "quantile": 0.9},
}


def test_input_ranges_are_learned_with_the_adapter(study, tmp_path):
    """They begin where they are calibrated, are kept with the adapter, and are what tiles use; an
    interrupted training learns the same."""
    changed(study, analog=FIXED, arms__ahwa_lora__learn_ranges=True)
    run, cut = StudyRun(study, tmp_path / "out"), StudyRun(study, tmp_path / "cut")
    begun = training_of(run, "ahwa_lora").model.static_layers()
    first = {n: layer.known_range for n, layer in begun.items()}
    assert first == {n: layer.calibrated.input_range for n, layer in begun.items()}
    trained = run.trained_model("ahwa_lora", 1).static_layers()
    learned = {n: layer.known_range for n, layer in trained.items()}
    assert all(learned[name] != value > 0 for name, value in first.items())
    training_of(cut, "ahwa_lora").run(until=5)
    model = cut.trained_model("ahwa_lora", 1)
    kept = run.trained_model("ahwa_lora", 1)  # from its files
    for other in (model.static_layers(), kept.static_layers()):
        assert {n: layer.known_range for n, layer in other.items()} == learned
    inputs = run.calibrated(kept, run.study.analog)
    kept.compute_on_tiles(run.study.analog, Disturbance(Pool(1, "cpu")))
    name, layer = next(iter(kept.static_layers().items()))
    assert layer.calibrated.input_range == learned[name]
    x = 100 * inputs[name]
    with torch.no_grad():
        far, cut_off = (layer.on_crossbars(v) for v in (x, x.clamp(-learned[name], learned[name])))
    assert torch.equal(far, cut_off)
    digital = run.trained_model("digital_lora", 1).static_layers()
    assert all(layer.learned_range is None for layer in digital.values())


@pytest.mark.parametrize("arm", ["digital_lora", "ahwa_lora"])
def test_ranges_are_learned_only_where_there_are_some(study, tmp_path, arm):
    analog = FIXED if arm == "digital_lora" else {"converters": {"input_scaling": "per_vector"}}
    changed(study, analog=analog, **{f"arms__{arm}__learn_ranges": True})
    with pytest.raises(SpecError, match=rf"arms\.{arm}\.learn_ranges: found true, but no fixed"):
        StudyRun(study, tmp_path / "out")


def test_calibrated_ranges_are_those_of_the_outputs(study, tmp_path):
    """At 3 bits a bound of 12 rounds small outputs to nothing; a measured one keeps them."""
    ranges = {"kind": "quantile", "quantile": 1.0}
    changed(study, analog={"converters": {"adc_bits": 3, "output_noise": 0.0}, "ranges": ranges})
    run = StudyRun(study, tmp_path / "out")
    model = run.new_model("digital_lora", 1)
    inputs = run.calibrated(model, run.study.analog)
    chip = program_chip(model, run.study.analog, (1,))
    bounds = {}
    for when in ("once", "then"):
        put_on_chip(model, chip, 315360000.0, run.study.analog, Disturbance(Pool(1, "cpu")))
        set_ranges(model, inputs, run.study.analog, on_chip=when == "then")
        bounds[when] = [layer.calibrated.output_bound for layer in model.static_layers().values()]
    name, layer = next(iter(model.static_layers().items()))
    x = inputs[name].numpy()
    (block,) = layer.blocks_of_weights(run.study.analog)
    outputs = x / np.abs(x).max(axis=1, keepdims=True) @ block.relative.numpy()
    assert bounds["once"][0] == pytest.approx(np.abs(outputs).max(), rel=1e-5)
    # what has drifted for ten years is about half as large
    assert 0.3 < np.mean(bounds["then"]) / np.mean(bounds["once"]) < 0.7
