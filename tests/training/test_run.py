"""Studies from their file to their tables, with a tiny random encoder."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.training.conftest import changed, training_of

torch = pytest.importorskip("torch", reason="needs the extra adapt")

from safetensors.torch import load_file  # noqa: E402
from torch.nn import functional  # noqa: E402

from hybridsim.cli import app  # noqa: E402
from hybridsim.errors import InputError, SpecError  # noqa: E402
from hybridsim.kernels.lora import lora  # noqa: E402
from hybridsim.kernels.split import EngineSplit  # noqa: E402
from hybridsim.training.built_upon import adapters_of  # noqa: E402
from hybridsim.training.crossbar import Disturbance, Pool  # noqa: E402
from hybridsim.training.linear import program_chip, put_on_chip  # noqa: E402
from hybridsim.training.observing import heard  # noqa: E402
from hybridsim.training.run import StudyRun  # noqa: E402
from hybridsim.training.training import rate_at  # noqa: E402
from tests.schemas import broken  # noqa: E402


def adapter_of(out, arm):
    folder = out / "runs" / arm / "seed1" / "adapter"
    return load_file(folder / "adapter_model.safetensors") | load_file(folder / "head.safetensors")


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def invoke(*arguments):
    return CliRunner().invoke(app, ["adapt", *map(str, arguments)], catch_exceptions=False)


def test_a_study_ends_in_tables_and_is_not_done_twice(study, tmp_path):
    out = tmp_path / "out"
    done = invoke(study, "--out", out)
    assert done.exit_code == 0
    assert "digital_lora" in done.stdout
    rows = (out / "accuracy.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * 3  # two arms, digital and two times
    assert len((out / "journal.jsonl").read_text().splitlines()) == 2 * (1 + 2 * 2)
    assert not list(out.rglob("checkpoint*"))
    before = adapter_of(out, "ahwa_lora"), (out / "journal.jsonl").read_bytes()
    again = invoke(study, "--out", out, "--json", "--figures", "svg")
    assert (out / "figure_adaptation.svg").read_bytes().startswith(b"<?xml")
    assert json.loads(again.stdout)["accuracy"][0]["arm"] == "digital_lora"
    assert broken("adapt-answer", json.loads(again.stdout)) == []
    assert same(before[0], adapter_of(out, "ahwa_lora"))
    assert before[1] == (out / "journal.jsonl").read_bytes()


def test_the_same_seed_gives_the_same_adapter_and_another_does_not(study, tmp_path):
    for name in ("a", "b"):
        StudyRun(study, tmp_path / name).run()
    assert same(adapter_of(tmp_path / "a", "ahwa_lora"), adapter_of(tmp_path / "b", "ahwa_lora"))
    assert (tmp_path / "a" / "accuracy.csv").read_bytes() == (
        tmp_path / "b" / "accuracy.csv"
    ).read_bytes()
    run = StudyRun(changed(study, seeds=[1, 2]), tmp_path / "c")
    first, second = (training_of(run, "ahwa_lora", s).model.state_dict() for s in (1, 2))
    assert not same(first, second)


@pytest.mark.parametrize(
    ("noise", "average"),
    [
        ({"kind": "gaussian", "ramp": 0.5}, 0.0),
        ({"kind": "chips", "refresh": 3}, 0.0),
        ({"kind": "gaussian"}, 1.0),
    ],
)
def test_an_interrupted_training_gives_the_same_adapter_bit_for_bit(
    study, tmp_path, noise, average
):
    changed(study, arms__ahwa_lora__noise=noise, lora={"rank": 2, "dropout": 0.2})
    changed(study, arms__ahwa_lora__average=average)
    whole, cut = StudyRun(study, tmp_path / "whole"), StudyRun(study, tmp_path / "cut")
    whole.trained_model("ahwa_lora", 1)
    training_of(cut, "ahwa_lora").run(until=5)  # the checkpoint lies at step 4
    assert (cut.place("ahwa_lora", 1) / "checkpoint.safetensors").exists()
    cut.trained_model("ahwa_lora", 1)
    assert same(
        adapter_of(tmp_path / "whole", "ahwa_lora"), adapter_of(tmp_path / "cut", "ahwa_lora")
    )


def test_what_is_kept_is_the_mean_over_the_last_steps(study, tmp_path):
    """Of every value, counted after each of these steps."""
    changed(study, arms__ahwa_lora__average=0.5, arms__ahwa_lora__schedule="flat", steps=6)
    run = StudyRun(study, tmp_path / "out")
    training, seen = training_of(run, "ahwa_lora"), []
    training.run(lambda *_: seen.append({n: p.clone() for n, p in training.trained.items()}))
    for name, kept in training.trained.items():
        mean = torch.stack([values[name] for values in seen[3:]]).mean(dim=0)
        torch.testing.assert_close(kept.detach(), mean.detach(), rtol=1e-5, atol=1e-7)
    assert not torch.equal(seen[-1]["head.weight"], training.trained["head.weight"])


def test_frozen_meta_weights_change_by_exactly_nothing(study, tmp_path):
    run = StudyRun(study, tmp_path / "out")
    training = training_of(run, "ahwa_lora")
    before = {n: v.clone() for n, v in training.model.state_dict().items()}
    training.run()
    after = training.model.state_dict()
    trained = {n for n in before if not torch.equal(before[n], after[n])}
    assert trained == set(training.trained)
    assert all(".adapter." in name or name.startswith("head.") for name in trained)


def test_full_fine_tuning_changes_all_but_embeddings(study, tmp_path):
    arm = {"train": "full", "learning_rate": 0.001, "noise": {"kind": "gaussian"}}
    run = StudyRun(changed(study, arms={"full_hwa": arm}), tmp_path / "out")
    training = training_of(run, "full_hwa")
    before = {n: v.clone() for n, v in training.model.state_dict().items()}
    training.run()
    after = training.model.state_dict()
    same_as_before = {n for n in before if torch.equal(before[n], after[n])}
    # a key's bias adds the same to all scores of a query, so that softmax gives it no gradient
    assert all("embeddings" in name or "key.bias" in name for name in same_as_before)
    run.run()
    again = run.trained_model("full_hwa", 1)
    assert len(again.trained()) == len(training.trained)


def test_training_learns(study, tmp_path):
    changed(study, steps=60, batch=16, data__train=80)
    result = StudyRun(study, tmp_path / "out").run()
    rows = result.accuracy.set_index(["arm", "time"])["accuracy_percent"]
    assert rows["digital_lora", "digital"] > 85
    assert rows["ahwa_lora", "0s"] > 80
    assert (result.training["parameters"] > 0).all()
    assert not [note for note in result.notes if "did not learn" in note]


def test_a_training_that_ends_where_guessing_would_is_told(study, tmp_path):
    changed(study, arms__digital_lora__learning_rate=1e-9)
    notes = StudyRun(study, tmp_path / "out").run(("digital_lora",)).notes
    (said,) = [note for note in notes if "did not learn" in note]
    assert said.startswith("digital_lora, seed 1, did not learn: ")
    assert "a lower learning_rate or another seed would do" in said


def test_later_arms_start_from_and_learn_from_earlier_ones(study, tmp_path):
    arm = {"train": "lora", "learning_rate": 1e-9, "noise": {"kind": "chips"}}
    arm |= {"start_from": "digital_lora", "distill_from": "digital_lora"}
    result = StudyRun(changed(study, arms__ahwa_lora=arm), tmp_path / "out").run(("ahwa_lora",))
    start, end = (adapter_of(tmp_path / "out", a) for a in ("digital_lora", "ahwa_lora"))
    assert all(torch.allclose(start[k], end[k], atol=1e-6) for k in start)
    assert set(result.accuracy["arm"]) == {"ahwa_lora"}


def test_accuracy_on_a_chip_without_noise_is_the_digital_one(study, tmp_path):
    device = {"programming_scale": 0.0, "drift_scale": 0.0, "read_scale": 0.0}
    converters = {"dac_bits": 16, "adc_bits": 20, "output_noise": 0.0}
    analog = {"device": device, "converters": converters, "clip_sigmas": None}
    result = StudyRun(changed(study, analog=analog), tmp_path / "out").run(("digital_lora",))
    assert result.accuracy["accuracy_percent"].nunique() == 1


def test_a_chip_is_the_same_for_every_arm(study, tmp_path):
    run = StudyRun(study, tmp_path / "out")
    chips = [program_chip(run.new_model(arm, 1), run.study.analog, (1,)) for arm in run.study.arms]
    name = next(iter(chips[0]))
    first, second = (chip[name].at(3600.0).effective_weights for chip in chips)
    assert np.array_equal(first, second)
    model, noise = run.new_model("ahwa_lora", 1), Disturbance(Pool(1, "cpu"))
    alpha = put_on_chip(model, chips[1], 315360000.0, run.study.analog, noise)
    assert 1.8 < alpha < 2.6


def test_adapters_of_an_earlier_study_are_tested_on_other_tiles(study, tmp_path):
    StudyRun(study, tmp_path / "first").run()
    changed(study, analog={"converters": {"dac_bits": 3, "adc_bits": 3}}, adapters_from="first")
    result = StudyRun(study, tmp_path / "second").run()
    assert not (tmp_path / "second" / "runs").exists()
    before = pd.read_csv(tmp_path / "first" / "accuracy.csv").set_index(["arm", "time"])
    after = result.accuracy.set_index(["arm", "time"])
    digital = [(arm, "digital") for arm in ("digital_lora", "ahwa_lora")]
    column = "accuracy_percent"
    assert after.loc[digital, column].tolist() == before.loc[digital, column].tolist()
    changed(study, adapters_from="nowhere")
    with pytest.raises(SpecError, match=r"adapters_from: nowhere holds no runs/digital_lora"):
        StudyRun(study, tmp_path / "third").run()


def test_adapters_compute_as_the_matrix_engine_does(study, tmp_path):
    """Layer by layer, to the last bit; a study keeps that apart from one in fp32."""
    run = StudyRun(study, tmp_path / "first")
    model = run.trained_model("ahwa_lora", 1).eval()
    model.compute_digitally()
    model.compute_adapters(as_on_cluster=True)
    batch = run.test.text.batch([0, 1, 2], "cpu")
    with torch.no_grad(), heard(model) as inputs:
        model(batch)
        for name, layer in model.static_layers().items():
            x, adapter = inputs[name][0], layer.adapter
            bare = functional.linear(x, layer.weight, layer.bias)
            factors = adapter.lora_A.T, adapter.lora_B.T
            whole = lora(x, *factors, bare, adapter.scale, unit=EngineSplit(4, 12, 3))
            assert np.array_equal(layer(x).numpy(), whole)
            assert not np.array_equal(whole, bare.numpy())
    run.run()
    changed(study, adapters_from="first", adapter_precision="fp16")
    with pytest.raises(InputError, match="holds results of another study"):
        StudyRun(study, tmp_path / "first").run()
    half, single = StudyRun(study, tmp_path / "second").run().accuracy, run.tables().accuracy
    assert np.abs(half["accuracy_percent"] - single["accuracy_percent"]).max() <= 5.0
    with pytest.raises(SpecError, match="adapter_precision: found 'fp16'; only adapt"):
        adapters_of(study, study.name, None, tmp_path, None, "test")


def test_an_arm_can_be_the_mean_of_earlier_ones(study, tmp_path):
    """Value by value; nothing is trained, and arms that train other values are refused."""
    arm = {"train": "lora", "learning_rate": 0.01, "mean_of": ["digital_lora", "ahwa_lora"]}
    changed(study, arms__between=arm)
    run = StudyRun(study, tmp_path / "out")
    result = run.run(("between",))
    both, mean = (
        [adapter_of(tmp_path / "out", name) for name in names]
        for names in (("digital_lora", "ahwa_lora"), ("between",))
    )
    for name, value in mean[0].items():
        torch.testing.assert_close(value, (both[0][name] + both[1][name]) / 2)
    assert sorted(result.training["arm"]) == ["ahwa_lora", "digital_lora"]
    assert set(result.accuracy["arm"]) == {"between"}
    assert "train between" not in run.forecast(steps=1, sentences=4)
    for wrong, place in (
        ({"mean_of": ["ahwa_lora", "nobody"]}, r"mean_of\.1: found 'nobody'; an arm before"),
        ({"lora": {"rank": 3}}, r"mean_of\.0: found 'digital_lora', which trains other values"),
    ):
        changed(study, arms__between=arm | wrong)
        with pytest.raises(SpecError, match=place):
            StudyRun(study, tmp_path / "out")


def test_an_arm_can_be_merged_from_earlier_ones(study, tmp_path):
    """Nothing is trained; shares, and arms that have no adapter on its layers, are refused."""
    arm = {
        "train": "lora", "learning_rate": 0.01, "lora": {"rank": 3},
        "merge": {"digital_lora": 0.75, "ahwa_lora": 0.25},
    }  # fmt: skip
    changed(study, arms__all={"train": "full", "learning_rate": 0.01}, arms__between=arm)
    run = StudyRun(study, tmp_path / "out")
    result = run.run(("between",))
    assert sorted(result.training["arm"]) == ["ahwa_lora", "digital_lora"]
    assert set(result.accuracy["arm"]) == {"between"}
    assert "train between" not in run.forecast(steps=1, sentences=4)
    assert {len(a.lora_A) for _, a in run.trained_model("between", 1).adapters()} == {3}
    for wrong, place in (
        ({"merge": {"digital_lora": 0.5}}, r"between\.merge: found shares that come to 0\.5; 1"),
        ({"mean_of": ["digital_lora"]}, r"between\.merge: found with mean_of"),
        ({"start_from": "digital_lora"}, r"between\.merge: found with mean_of, start_from"),
        ({"noise": {"kind": "gaussian"}}, r"between\.merge: found with .* noise"),
        ({"train": "full", "lora": None}, r"between\.merge: found with .* train: full; none"),
        ({"merge": {"nobody": 1.0}}, r"between\.merge\.nobody: found 'nobody'; an arm before"),
        ({"merge": {"all": 1.0}}, r"between\.merge\.all: found an arm of mean_of, train: full"),
    ):
        changed(study, arms__between=arm | wrong)
        with pytest.raises(SpecError, match=place):
            StudyRun(study, tmp_path / "out")


def interrupt():
    raise KeyboardInterrupt


def test_a_study_may_grow(study, tmp_path):
    """More arms, seeds, chips and times go on from what is there; anything else is refused."""
    out = tmp_path / "out"
    StudyRun(study, out).run()
    before = (out / "journal.jsonl").read_text()
    lora = {"train": "lora", "learning_rate": 0.01}
    grown = changed(study, arms__later=lora, seeds=[1, 2], chips=[1, 2, 3], question="more?")
    accuracy = StudyRun(grown, out).run().accuracy
    assert (out / "journal.jsonl").read_text().startswith(before)
    assert set(accuracy["arm"]) == {"digital_lora", "ahwa_lora", "later"}
    assert set(accuracy["seeds"]) == {2}
    whole = StudyRun(grown, tmp_path / "whole").run().accuracy
    pd.testing.assert_frame_equal(accuracy, whole)
    with pytest.raises(InputError, match="holds results of another study"):
        StudyRun(changed(grown, seeds=[2]), out).run()
    with pytest.raises(InputError, match="holds results of another study"):
        StudyRun(changed(grown, seeds=[1, 2], arms__later={**lora, "steps": 3}), out).run()


def test_the_table_of_trainings_outlives_their_folders(study, tmp_path):
    """Whoever keeps results without adapters, and then tests another arm, loses no row."""
    out = tmp_path / "out"
    before = StudyRun(study, out).run().training
    first, *_ = before["arm"]
    for place in out.glob("runs/*"):
        if place.name != first:
            shutil.rmtree(place)
    after = StudyRun(study, out).run((first,)).training
    pd.testing.assert_frame_equal(after, before)
    text = (out / "training.csv").read_text()
    (out / "training.csv").write_text(text.replace(",1,", ",one,", 1))
    (out / "SHA256SUMS").unlink()
    with pytest.raises(InputError, match="line 2 is of no training"):
        StudyRun(study, out).run((first,))


def test_the_first_and_the_last_time_are_known_first(study, tmp_path):
    """Someone who stops early has both ends of every arm, and tables of them."""
    run = StudyRun(changed(study, times=["0s", "1h", "1y"], seeds=[1, 2]), tmp_path / "out")
    run.run()
    lines = (tmp_path / "out" / "journal.jsonl").read_text().splitlines()
    seconds = [json.loads(line)["seconds"] for line in lines]
    first = seconds.index(3600.0)
    assert set(seconds[:first]) == {0.0, 31536000.0}
    assert set(seconds[first:]) == {3600.0}
    (tmp_path / "cut").mkdir()
    for name, text in (("study.json", None), ("journal.jsonl", "\n".join(lines[:first]) + "\n")):
        whole = text or (tmp_path / "out" / name).read_text()
        (tmp_path / "cut" / name).write_text(whole)
    stopped = StudyRun(study, tmp_path / "cut", lambda *_: interrupt())
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    early = pd.read_csv(tmp_path / "cut" / "accuracy.csv")
    assert list(dict.fromkeys(early["time"])) == ["digital", "0s", "1y"]
    late = pd.read_csv(tmp_path / "out" / "accuracy.csv")
    pd.testing.assert_frame_equal(early, late[late["time"] != "1h"].reset_index(drop=True))


def test_an_arm_takes_the_adapters_of_an_earlier_study(study, tmp_path):
    """What starts from it is what it would be if the earlier arm were in the same study."""
    arms = {
        "old": {"train": "lora", "learning_rate": 0.01, "noise": {"kind": "gaussian"}},
        "more": {"train": "lora", "learning_rate": 0.01, "start_from": "old", "steps": 4},
    }
    StudyRun(changed(study, arms=arms), tmp_path / "whole").run()
    arms["old"]["adapter_of"] = "whole/old"
    result = StudyRun(changed(study, arms=arms), tmp_path / "part").run()
    assert not (tmp_path / "part" / "runs" / "old").exists()
    assert same(adapter_of(tmp_path / "whole", "more"), adapter_of(tmp_path / "part", "more"))
    assert set(result.accuracy["arm"]) == {"old", "more"}
    arms["old"]["adapter_of"] = "whole/none"
    with pytest.raises(SpecError, match=r"arms.old.adapter_of: whole holds no runs/none/seed1"):
        StudyRun(changed(study, arms=arms), tmp_path / "third").run()


def test_folders_from_before_a_field_was_added_go_on(study, tmp_path):
    """A study that does not use a field is written down as before there was that field."""
    run = StudyRun(study, tmp_path / "out")
    assert run.journal.lines.file.parent.is_dir()
    about = json.loads((tmp_path / "out" / "study.json").read_text())
    assert "adapters_from" not in about["study"]
    assert not any("adapter_of" in arm for arm in about["study"]["arms"].values())


def test_a_journal_that_was_cut_off_goes_on(study, tmp_path):
    out = tmp_path / "out"
    whole = StudyRun(study, out).run()
    journal = out / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:4]) + lines[4][:20])
    again = StudyRun(study, out).run()
    assert again.accuracy.equals(whole.accuracy)
    assert sorted(journal.read_bytes().splitlines()) == sorted(b"".join(lines).splitlines())


def test_a_folder_of_another_study_is_refused(study, tmp_path):
    StudyRun(study, tmp_path / "out").run(("digital_lora",))
    with pytest.raises(InputError, match="another --out"):
        StudyRun(changed(study, steps=7), tmp_path / "out").run()


def test_a_loss_that_is_no_number_ends_training_with_a_way_out(study, tmp_path):
    run = StudyRun(study, tmp_path / "out")
    training = training_of(run, "digital_lora")
    with torch.no_grad():
        training.model.head.bias.fill_(float("nan"))
    with pytest.raises(
        InputError, match=r"'digital_lora', seed 1, step 0: the loss is nan; .*below"
    ):
        training.run()
    assert not run.place("digital_lora", 1).exists()


def test_a_broken_checkpoint_says_what_to_do(study, tmp_path):
    run = StudyRun(study, tmp_path / "out")
    place = run.place("digital_lora", 1)
    place.mkdir(parents=True)
    (place / "checkpoint.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match="deleting it would do"):
        training_of(run, "digital_lora").run()


def test_a_dry_run_says_how_long_it_takes(study, tmp_path):
    done = invoke(study, "--out", tmp_path / "out", "--dry-run", "--json")
    expected = json.loads(done.stdout)
    assert broken("adapt-answer", expected) == []
    assert set(expected["seconds"]) == {
        f"{what} {arm}" for what in ("train", "test") for arm in ("digital_lora", "ahwa_lora")
    }
    assert expected["total_seconds"] > 0
    assert not (tmp_path / "out").exists()


def test_wrong_requests_end_with_code_two_and_one_line(study, tmp_path):
    for arguments in (
        (study, "--out", tmp_path / "a", "--arm", "no_such"),
        (tmp_path / "nowhere.yaml", "--out", tmp_path / "b"),
        (changed(study, data__train=10_000), "--out", tmp_path / "c"),
    ):
        done = invoke(*arguments)
        assert done.exit_code == 2
        assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "c").exists()


def test_a_folder_tells_of_later_fields_only_where_they_are_used(study, tmp_path):
    """The first fields of an arm, as in folders that are kept; another recipe is another study."""
    first = {
        "train", "noise", "learning_rate", "steps", "lora", "analog", "start_from", "distill_from",
        "distill_weight",
    }  # fmt: skip
    assert StudyRun(study, tmp_path / "out").journal.correct == {}
    stored = json.loads((tmp_path / "out" / "study.json").read_text())["study"]["arms"]
    assert all(set(arm) == first for arm in stored.values())
    changed(study, arms__ahwa_lora__average=0.5)
    with pytest.raises(InputError, match="holds results of another study"):
        _ = StudyRun(study, tmp_path / "out").journal


def test_the_learning_rate_rises_and_then_falls_to_zero():
    rates = [rate_at(step, 100) for step in range(100)]
    assert rates[9] == 1.0
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.02
    assert {rate_at(step, 100, falling=False) for step in range(9, 100)} == {1.0}


def test_ranges_change_what_is_tested_and_folders_of_before_go_on(study, tmp_path):
    StudyRun(study, tmp_path / "out").run(("digital_lora",))
    stored = json.loads((tmp_path / "out" / "study.json").read_text())
    assert "ranges" not in stored["study"]["analog"]  # as it was before there were any
    coarse = {"adc_bits": 4, "output_bound": 1000.0}  # all outputs round to nothing
    found = {}
    for kind in ("given", "least_error"):
        changed(study, analog={"converters": coarse, "ranges": {"kind": kind}}, steps=40)
        run = StudyRun(study, tmp_path / kind)
        run.run(("digital_lora",))
        found[kind] = dict(run.journal.correct)
    digital = ("digital_lora", 1, -1, 0.0)
    assert (found["given"][digital] == found["least_error"][digital]).all()
    assert any((found["given"][key] != right).any() for key, right in found["least_error"].items())
    with pytest.raises(InputError, match="another study"):
        StudyRun(study, tmp_path / "given").run()
