"""Recalibration of chips: what it leaves, that it is tested under other noise, what it costs."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from tests.training.conftest import changed

torch = pytest.importorskip("torch", reason="needs the extra adapt")

import hybridsim  # noqa: E402
from hybridsim.analog import AnalogSettings, Converters, PcmDevice  # noqa: E402
from hybridsim.cli import app  # noqa: E402
from hybridsim.errors import InputError, SpecError  # noqa: E402
from hybridsim.training.built_upon import divergence, logits_of  # noqa: E402
from hybridsim.training.checking import checked, checks_of, helping  # noqa: E402
from hybridsim.training.crossbar import Disturbance, Pool  # noqa: E402
from hybridsim.training.linear import program_chip, put_on_chip  # noqa: E402
from hybridsim.training.maintenance import (  # noqa: E402
    event_price,
    mean_over_time,
    step_price,
)
from hybridsim.training.peft_files import read_trained  # noqa: E402
from hybridsim.training.recalibrating import (  # noqa: E402
    adapter_of,
    carried,
    measure,
    put_adapters,
    reference_of,
)
from hybridsim.training.recalibration_run import RecalibrationRun, _Corrected  # noqa: E402
from hybridsim.training.recalibration_study import Retraining  # noqa: E402
from hybridsim.training.retraining import retrained  # noqa: E402
from hybridsim.training.run import StudyRun  # noqa: E402
from tests.schemas import broken  # noqa: E402

TEN_YEARS = 315360000.0
EXACT = Converters(output_noise=0.0, dac_bits=None, adc_bits=None, output_bound=1e9)
STILL = AnalogSettings(converters=EXACT, device=PcmDevice(read_scale=0.0))


@pytest.fixture
def study(study_file, model_folder):
    """A study of recalibration beside the study of its adapters."""
    (study_file.parent / "model").symlink_to(model_folder)
    changed(study_file, times=["0s", "1y", "10y"], arms={
        "digital_lora": {"train": "lora", "learning_rate": 0.01}
    })  # fmt: skip
    document = {
        "name": "tiny", "question": "does it work", "adapters": study_file.name, "rank": 3,
        "sentences": 40, "events": ["0s", "10y"], "network": None,
        "schedules": {"never": [], "once": ["0s"], "twice": ["0s", "10y"]},
    }  # fmt: skip
    file = study_file.parent / "recalibration.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return file


def invoke(*arguments):
    return CliRunner().invoke(app, ["recalibrate", *map(str, arguments)], catch_exceptions=False)


def corrected(run, model, settings, rank, folded=False, reading=0):
    """Return logits: digital, on a chip as it is, and corrected."""
    own = {name: adapter_of(model, name) for name in model.static_layers()}
    noise = Disturbance(Pool(1, "cpu"))
    model.compute_digitally()
    found = [logits_of(model, run.test.text)]
    chip = program_chip(model, settings, (1,))
    put_on_chip(model, chip, TEN_YEARS, settings, noise, reading)
    found.append(logits_of(model, run.test.text))
    reference = reference_of(model, run.train.text, 64, 0.0)
    fits = measure(model, chip, TEN_YEARS, settings, noise, reference)
    of_rank = {name: fit.of_rank(rank) for name, fit in fits.items()}
    put_adapters(model, carried(own, of_rank, reference, folded))
    put_on_chip(model, chip, TEN_YEARS, settings, noise, reading)
    found.append(logits_of(model, run.test.text))
    return found


def trained(study, tmp_path):
    run = StudyRun(study.parent / "study.yaml", tmp_path / "adapt")
    model = run.new_model("digital_lora", 1)
    with torch.no_grad():  # an adapter and a head that do something
        for _, adapter in model.adapters():
            adapter.lora_B.normal_(generator=torch.Generator().manual_seed(1), std=0.1)
        model.head.weight.normal_(generator=torch.Generator().manual_seed(2))
    return run, model


def test_full_rank_without_noise_gives_back_digital_arithmetic(study, tmp_path):
    """Beside the adapter; what clipping, programming and drift did is undone, layer by layer."""
    run, model = trained(study, tmp_path)
    digital, untouched, after = corrected(run, model, STILL, 24)
    assert (untouched - digital).abs().max() > 0.1
    np.testing.assert_allclose(after, digital, atol=5e-3)


def test_measuring_draws_read_noise_that_no_test_has(study, tmp_path):
    """A measurement under the noise of the test would correct that noise as well."""
    run, model = trained(study, tmp_path)
    settings = AnalogSettings(converters=EXACT, device=PcmDevice(read_scale=3.0))
    other = corrected(run, model, settings, 24)
    run, model = trained(study, tmp_path)
    same = corrected(run, model, settings, 24, reading=1)  # the draw that was measured
    errors = [float((after - digital).abs().mean()) for digital, _, after in (other, same)]
    assert errors[1] < 0.1 * errors[0]


def test_folding_keeps_the_rank_and_lies_between(study, tmp_path):
    run, model = trained(study, tmp_path)
    digital, untouched, after = corrected(run, model, STILL, 3, folded=True)
    assert {adapter.lora_A.shape[0] for _, adapter in model.adapters()} == {2}
    assert (after - digital).abs().mean() < (untouched - digital).abs().mean()


class Tried:
    """A chip with much read noise, corrections of it, and sentences to try them on."""

    def __init__(self, run, model, sentences):
        settings = AnalogSettings(device=PcmDevice(read_scale=3.0))
        text, self.pool, self.model = run.train.text, Pool(1, "cpu"), model
        self.own = {name: adapter_of(model, name) for name in model.static_layers()}
        batch = text.batch(range(40, 64), "cpu")
        self.reference = reference_of(model, text, sentences, 1e-3)
        self.checks = checks_of(model, lambda: model(batch))
        chip = program_chip(model, settings, (1,))
        noise = Disturbance(self.pool)
        fits = measure(model, chip, TEN_YEARS, settings, noise, self.reference)
        self.corrections = {name: fit.of_rank(8) for name, fit in fits.items()}
        put_on_chip(model, chip, TEN_YEARS, settings, noise, reading=2)

    def carried(self, corrections):
        return carried(self.own, corrections, self.reference, folded=False)

    def kept(self, corrections):
        return checked(self.model, self.checks, corrections, self.carried, self.restart)

    def restart(self):
        self.pool.at_step(1, 5)


@pytest.mark.parametrize("sentences", [1, 2, 40])
def test_no_layer_is_left_further_away_than_it_was(sentences, study, tmp_path):
    """For vectors that nothing was fitted to, under noise that was not measured."""
    chip = Tried(*trained(study, tmp_path), sentences)
    chip.restart()
    good = helping(chip.model, chip.checks, chip.corrections)
    chip.restart()
    for name in chip.corrections:  # all of them, so that each has the noise that it was tried in
        layer, x = chip.model.static_layers()[name], chip.checks.inputs[name]
        with torch.no_grad():
            lack = (x @ layer.weight.T - layer.on_crossbars(x)).numpy()
        if name in good:
            left = lack - x.numpy() @ good[name].matrix.T
            assert np.linalg.norm(left) < np.linalg.norm(lack)
    assert good or sentences < 40


def test_what_harms_the_whole_is_given_up(study, tmp_path):
    """Layer by layer each correction helps; carried a hundred times too large they do not."""
    chip = Tried(*trained(study, tmp_path), 40)
    mended = chip.kept(chip.corrections)
    assert any(mended[name] is not chip.own[name] for name in mended)
    right = chip.carried
    chip.carried = lambda found: right({n: replace(c, up=100 * c.up) for n, c in found.items()})
    adapters = chip.kept(chip.corrections)
    assert all(adapters[name] is chip.own[name] for name in adapters)


def test_corrections_that_harm_their_layer_are_left_out(study, tmp_path):
    """Those of every second layer are turned round; with all of them, adapters stay as they
    are."""
    chip = Tried(*trained(study, tmp_path), 40)
    wrong = {n: replace(c, up=-c.up) for n, c in chip.corrections.items()}
    second = dict(list(wrong.items())[::2])
    chip.restart()
    good = helping(chip.model, chip.checks, chip.corrections)
    chip.restart()
    assert set(helping(chip.model, chip.checks, chip.corrections | second)) == set(good) - set(
        second
    )
    adapters = chip.kept(wrong)
    assert {name: adapters[name] is chip.own[name] for name in wrong} == dict.fromkeys(wrong, True)


def test_a_study_ends_in_tables_and_goes_on(study, tmp_path):
    out = tmp_path / "out"
    done = invoke(study, "--out", out)
    assert done.exit_code == 0, done.output
    assert "twice" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    journal = (out / "journal.jsonl").read_text().splitlines()
    assert len(journal) == 2 * (3 + 4)  # two chips; never at three times, after events at four
    # a kill cuts a line off; it is done again, and nothing else
    (out / "journal.jsonl").write_text("\n".join(journal[:-1]) + "\n" + journal[-1][:20])
    again = invoke(study, "--out", out, "--json")
    assert (out / "journal.jsonl").read_text().splitlines() == journal
    document = json.loads(again.stdout)
    assert broken("recalibrate-answer", document) == []
    table = pd.DataFrame(document["recalibration"])
    assert len(table) == 7
    assert (table[table["corrected_at"] == "never"]["fewer_flips"] == 0).all()
    schedules = {row["schedule"]: row for row in document["maintenance"]}
    ends = table[(table["time"] == "10y") & (table["corrected_at"] == "10y")]
    assert schedules["twice"]["flips_end"] == ends["flips_percent"].iloc[0]


def test_a_study_may_have_a_single_time(study, tmp_path):
    changed(study.with_name("study.yaml"), times=["10y"])
    changed(study, events=["10y"], schedules={"never": [], "once": ["10y"]})
    result = RecalibrationRun(study, tmp_path / "out").run()
    ends = dict(zip(result.maintenance["schedule"], result.maintenance["flips_end"], strict=True))
    assert list(ends.values()) == list(result.table["flips_percent"])
    assert (result.maintenance["flips_mean"] == result.maintenance["flips_end"]).all()


def test_corrected_chips_are_compared_with_controls_in_digital_arithmetic(study, tmp_path):
    """With those of the study of adapters that were tested, at every time and last event."""
    out, adapters = tmp_path / "out", tmp_path / "adapters"
    run = StudyRun(study.with_name("study.yaml"), adapters)
    run.run()
    document = yaml.safe_load(study.read_text()) | {"results": str(adapters)}
    study.write_text(yaml.safe_dump(document))
    result = RecalibrationRun(study, out).run()
    accuracy = run.tables().accuracy.set_index("time")["accuracy_percent"]
    points = result.differences["difference_points"]
    assert len(points) == len(result.table) == 7
    assert set(result.differences["against"]) == {"digital_lora, digital"}
    assert points.to_numpy() == pytest.approx(
        result.table["accuracy_percent"] - accuracy["digital"], abs=2e-3
    )
    never = result.differences[result.differences["corrected_at"] == "never"]
    told = run.tables().differences.set_index("time")
    for row in never.to_dict("records"):
        for column in ("difference_points", "ci95_low", "ci95_high"):
            assert row[column] == told.loc[row["time"], column]


def test_corrected_adapters_are_written_for_peft(study, tmp_path):
    """What lies there computes as the corrected chip did, and is not written twice."""
    still = {"converters": {"output_noise": 0.0}, "device": {"read_scale": 0.0}}
    changed(study.parent / "study.yaml", analog=still)  # so that corrections help and are kept
    changed(study, written=["10y"])
    out = tmp_path / "out"
    RecalibrationRun(study, out).run()
    place = out / "corrected" / "digital_lora" / "seed1" / "chip2" / "10y"
    assert sorted(f.name for f in (out / "corrected" / "digital_lora" / "seed1").iterdir()) == [
        "chip1", "chip2",
    ]  # fmt: skip
    config = json.loads((place / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 2 + 3  # the adapter's rank and the correction's
    run = RecalibrationRun(study, out)
    state = _Corrected(run, "digital_lora", 1, 2)
    expected = state.tested(TEN_YEARS, TEN_YEARS)
    for _, adapter in state.model.adapters():
        torch.nn.init.zeros_(adapter.lora_B)
    read_trained(place, state.model)
    found = state.test(TEN_YEARS)
    assert (found.correct == expected.correct).all()
    assert found.kl == pytest.approx(expected.kl, rel=1e-6)
    stamp = (place / "adapter_config.json").stat().st_mtime_ns
    RecalibrationRun(study, out).run()
    assert (place / "adapter_config.json").stat().st_mtime_ns == stamp


def test_retraining_of_a_chip_stands_beside_its_correction(study, tmp_path):
    """Its steps are kept apart from corrections, whose rows stay as they were."""
    out = tmp_path / "out"
    before = RecalibrationRun(study, out).run()
    assert not len(before.retraining)
    journal = (out / "journal.jsonl").read_bytes()
    how = {"steps": 12, "batch": 16, "learning_rate": 0.01}
    changed(study, retrain=how)
    after = RecalibrationRun(study, out).run()
    assert (out / "journal.jsonl").read_bytes() == journal
    pd.testing.assert_frame_equal(before.table, after.table)
    rows = after.retraining.set_index("corrected_at")
    assert list(rows.index) == ["0s", "10y"]
    fresh = after.table[after.table["time"] == after.table["corrected_at"]]
    fresh = fresh.set_index("time")
    assert (rows["corrected_flips_percent"] == fresh["flips_percent"]).all()
    fewer = rows["corrected_flips_percent"] - rows["flips_percent"]
    np.testing.assert_allclose(rows["fewer_flips"], fewer, atol=2e-3)
    fewer = rows["nothing_flips_percent"] - rows["flips_percent"]
    np.testing.assert_allclose(rows["fewer_than_nothing"], fewer, atol=2e-3)
    changed(study, retrain=how | {"steps": 3})
    with pytest.raises(InputError, match="another study"):
        RecalibrationRun(study, out).run()


def test_retraining_moves_a_chip_towards_what_teaches_it(study, tmp_path):
    """Without noise between steps the divergence from digital outputs falls on its sentences."""
    run, model = trained(study, tmp_path)
    own = {name: adapter_of(model, name) for name in model.static_layers()}
    digital = logits_of(model, run.train.text)
    chip = program_chip(model, STILL, (1,))
    noise, found = Disturbance(Pool(1, "cpu")), []
    for steps in (0, 30):
        put_adapters(model, own)
        how = Retraining(steps=1, batch=16, learning_rate=0.01, teacher="digital")
        retrained(model, chip, TEN_YEARS, STILL, noise, run.train, how, steps)
        found.append(float(divergence(digital, logits_of(model, run.train.text)).mean()))
    assert found[1] < 0.7 * found[0]


def test_as_many_steps_as_a_correction_takes_time():
    """Equal time on the machine: a pass over the sentences of an event takes about as long."""
    event = event_price([(512, 128)] * 6, 1000, 8, 1, MACHINE)
    step = step_price([(512, 128)] * 6, 1000, 8, MACHINE)
    assert step == step_price([(512, 128)], 1000, 8, MACHINE).plus(
        step_price([(512, 128)] * 5, 1000, 8, MACHINE)
    )
    products = 1000 * (512 * 128 + 3 * 8 * (512 + 128))
    assert step.macs == 6 * products
    assert step.tiles_ps == event.tiles_ps


def test_tables_are_of_the_chips_that_the_study_asks_for(study, tmp_path):
    """A folder may know of more, and keeps them."""
    out = tmp_path / "out"
    assert set(RecalibrationRun(study, out).run().table["chips"]) == {2}
    changed(study.parent / "study.yaml", chips=[2])
    assert set(RecalibrationRun(study, out).run().table["chips"]) == {1}
    assert len((out / "journal.jsonl").read_text().splitlines()) == 2 * (3 + 4)


def test_a_folder_of_another_study_is_refused(study, tmp_path):
    out = tmp_path / "out"
    RecalibrationRun(study, out).run()
    changed(study, rank=2)
    with pytest.raises(InputError, match="another study"):
        RecalibrationRun(study, out).run()


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"adapters": "nowhere.yaml"}, "nowhere.yaml"),
        ({"events": ["1mo"], "schedules": {}}, "1mo"),
        ({"schedules": {"late": ["1y"]}}, "schedules.late"),
        ({"arms": ["nobody"]}, "nobody"),
        ({"results": "nowhere"}, "nowhere"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(study, tmp_path, parts, said):
    changed(study, **parts)
    with pytest.raises(SpecError, match=said):
        RecalibrationRun(study, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_network_is_refused_before_anything_is_trained(study, tmp_path):
    changed(study, network="minilm_l6")
    with pytest.raises(SpecError, match="other layers than the model"):
        RecalibrationRun(study, tmp_path / "out").run()
    assert not (tmp_path / "out").exists()


MACHINE = hybridsim.load("layer_512x128", "ahwa_lora_2026")[1]


def test_an_event_occupies_the_tiles_for_its_mvms():
    """512x128 lies on one tile: as many integration times as vectors and reads."""
    price = event_price([(512, 128)], 1000, 8, 3, MACHINE)
    assert price.tiles_ps == 3000 * MACHINE.tile.integration_time
    assert price.least_ps <= price.most_ps == price.tiles_ps + price.cluster_ps
    products = 512 * 128 * (1000 + 512 + 4 * 16) + 512 * 512 * 8 + 4 * 2 * 16 * 16 * 512
    assert price.macs == products


@pytest.mark.parametrize("more", [(2000, 8, 1), (1000, 32, 1), (1000, 8, 2)])
def test_more_vectors_rank_or_reads_never_cost_less(more):
    less = event_price([(512, 128)], 1000, 8, 1, MACHINE)
    found = event_price([(512, 128)], *more, MACHINE)
    for name in ("tiles_ps", "cluster_ps", "macs", "link_bytes", "energy_aj"):
        assert getattr(found, name) >= getattr(less, name)
    assert found.cluster_ps > less.cluster_ps
    # no engine computes faster than its array
    engine = MACHINE.cluster.matrix_engine
    least = found.macs / engine.macs_per_cycle
    assert found.cluster_ps > least * MACHINE.cluster.to_ps(1)


def test_layers_add_up():
    one, two = (event_price([(512, 128)] * n, 100, 8, 1, MACHINE) for n in (1, 2))
    assert two == one.plus(one)


def test_the_mean_over_time_of_what_grows_with_its_logarithm_is_the_integral():
    """Against a sum over many small steps; an event starts its own branch."""
    times = (0.0, 3600.0, 86400.0, 31536000.0)
    value = {
        (e, t): math.log(t + 20) + (0 if e is None else -1) for t in times for e in (None, 3600.0)
    }
    steps = np.linspace(0, times[-1], 2_000_001)
    middle = (steps[1:] + steps[:-1]) / 2
    exact = np.log(middle + 20) - (middle >= 3600)
    assert mean_over_time((3600.0,), times, value) == pytest.approx(exact.mean(), rel=1e-5)
    assert mean_over_time((), times, {(None, t): 3.0 for t in times}) == pytest.approx(3.0)
    assert mean_over_time((1e6,), (1e7,), {(1e6, 1e7): 2.0}) == 2.0
