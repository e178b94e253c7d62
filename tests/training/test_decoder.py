"""A small decoder: instruction tuning and reinforcement learning of its adapters on tiles."""

import json
import shutil

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs the extra adapt")

from safetensors.torch import load_file  # noqa: E402

from hybridsim.cli import app  # noqa: E402
from hybridsim.errors import InputError, SpecError, UnknownNameError, UnsupportedError  # noqa: E402
from hybridsim.training.decoder import load_decoder, new_decoder, save_decoder  # noqa: E402
from hybridsim.training.decoder_run import DecoderRun  # noqa: E402
from hybridsim.training.decoder_study import DecoderLora, DigitTask, Grpo  # noqa: E402
from hybridsim.training.grpo import (  # noqa: E402  # noqa: E402
    COPY,
    INSTRUCTION,
    adapter_values,
    advantages,
    answers,
    log_probabilities,
    objective,
    other_adapters,
    questions,
    rewards,
    sample,
)
from hybridsim.training.peft_files import write_decoder_adapter  # noqa: E402
from tests.schemas import broken  # noqa: E402

CONFIG = {
    "model_type": "gpt2", "activation_function": "gelu_new", "n_embd": 16, "n_head": 2,
    "n_layer": 2, "n_positions": 12, "vocab_size": 9, "layer_norm_epsilon": 1e-5, "n_inner": None,
}  # fmt: skip
LORA = DecoderLora(rank=2, alpha=8.0)
HOW = Grpo(steps=1, learning_rate=0.1)
STUDY = {
    "name": "toy", "question": "does a reward help",
    "decoder": {"width": 32, "blocks": 1, "heads": 2, "pretrain_steps": 60},
    "task": {"instruction": "increment", "digits": 3, "symbols": 5},
    "lora": {"rank": 4, "alpha": 16.0},
    "tune": {"steps": 4, "batch": 16, "learning_rate": 0.003},
    "grpo": {"steps": 40, "questions": 8, "group": 8, "learning_rate": 0.01},
    "test": 64, "chips": [1],
}  # fmt: skip


def random_decoder(seed=1):
    """A decoder whose weights are large enough to see differences."""
    model = new_decoder(CONFIG, seed)
    for name, parameter in model.named_parameters():
        if "ln_" not in name:
            parameter.data *= 10
    return model


def with_adapter(seed=1):
    model = random_decoder()
    model.add_adapters(LORA, seed)
    for _, adapter in model.adapters():
        adapter.lora_B.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(seed))
    return model


def study_file(folder, **parts):
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(STUDY | parts, sort_keys=False))
    return file


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished study: its results folder and its tables."""
    folder = tmp_path_factory.mktemp("decoder")
    out = folder / "out"
    return out, DecoderRun(study_file(folder), out).run()


def test_it_equals_the_library_of_hugging_face(tmp_path):
    transformers = pytest.importorskip("transformers")
    model = random_decoder()
    save_decoder(tmp_path / "base", model)
    theirs = transformers.GPT2LMHeadModel.from_pretrained(str(tmp_path / "base")).eval()
    ids = torch.randint(0, 9, (3, 7), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(model(ids), theirs(ids).logits, rtol=1e-4, atol=1e-4)
        again = load_decoder(tmp_path / "base")
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.parameters(), again.parameters(), strict=True)
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_written_adapter_loads_in_peft(tmp_path):
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    model = with_adapter()
    save_decoder(tmp_path / "base", model)
    write_decoder_adapter(tmp_path / "adapter", model, LORA, str(tmp_path / "base"))
    base = transformers.GPT2LMHeadModel.from_pretrained(str(tmp_path / "base"))
    theirs = peft.PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()
    ids = torch.randint(0, 9, (3, 7), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        found, bare = theirs(input_ids=ids).logits, load_decoder(tmp_path / "base")(ids)
        torch.testing.assert_close(model(ids), found, rtol=1e-4, atol=1e-4)
    assert (found - bare).abs().max() > 0.01


def test_no_token_sees_what_comes_after_it():
    model = random_decoder()
    ids = torch.randint(0, 9, (2, 6), generator=torch.Generator().manual_seed(2))
    other = ids.clone()
    other[:, 4:] = (other[:, 4:] + 1) % 9
    torch.testing.assert_close(model(ids)[:, :4], model(other)[:, :4])


@pytest.mark.parametrize(
    ("instruction", "right"),
    [("reverse", [6, 4, 3]), ("rotate", [4, 6, 3]), ("increment", [4, 5, 3])],
)
def test_a_program_knows_the_answers(instruction, right):
    task = DigitTask(instruction=instruction, digits=3, symbols=4)
    asked = np.array([[INSTRUCTION, 3, 4, 6, 2], [COPY, 3, 4, 6, 2]])
    assert answers(task, asked).tolist() == [right, [3, 4, 6]]
    given = torch.tensor([right, [3, 4, 5]])
    assert rewards(task, asked, given).tolist() == pytest.approx([1, 2 / 3])
    drawn = questions(task, 500, np.random.default_rng(0), COPY)
    assert set(np.unique(drawn[:, 1:-1])) == {3, 4, 5, 6}


def test_advantages_have_no_mean_and_one_deviation_in_each_group():
    found = advantages(torch.tensor([0.0, 1.0, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0]), 4).view(2, 4)
    torch.testing.assert_close(found.mean(dim=1), torch.zeros(2), atol=1e-6, rtol=0)
    assert float(found[0].std()) == pytest.approx(1, rel=1e-3)
    assert not found[1].any()  # a group of equal rewards teaches nothing


def test_the_objective_is_that_of_its_definition():
    rng = np.random.default_rng(0)
    new, old, reference = rng.normal(-1, 0.3, (3, 6, 4))
    advantage = rng.normal(size=6)
    total = 0.0
    for i in range(6):
        for t in range(4):
            q, p = np.exp(new[i, t] - old[i, t]), np.exp(reference[i, t] - new[i, t])
            clipped = min(max(q, 0.8), 1.2)
            total += min(q * advantage[i], clipped * advantage[i])
            total -= 0.04 * (p - np.log(p) - 1)
    found = objective(*map(torch.from_numpy, (new, old, reference, advantage)), HOW)
    assert float(found) == pytest.approx(total / 24)


def test_at_the_start_the_gradient_is_that_of_reinforce():
    """With new = old = reference it is the mean of A grad log p; no distance pulls yet."""
    new = torch.randn((5, 3), generator=torch.Generator().manual_seed(1), requires_grad=True)
    advantage = torch.tensor([1.0, -2.0, 0.5, 0.0, 0.3])
    old = new.detach()
    objective(new, old, old, advantage, HOW).backward()
    torch.testing.assert_close(new.grad, advantage[:, None].expand(5, 3) / 15)


def test_a_ratio_beyond_the_clip_gives_no_gradient():
    new = torch.tensor([[0.5], [-0.5]], requires_grad=True)
    old = torch.zeros(2, 1)
    free = HOW.model_copy(update={"kl_weight": 0.0})
    objective(new, old, old, torch.tensor([1.0, -1.0]), free).backward()
    assert not new.grad.any()


def test_log_probabilities_are_those_that_sampling_has():
    model = with_adapter()
    asked = torch.randint(0, 9, (4, 5), generator=torch.Generator().manual_seed(1))
    given = sample(model, asked, 3, 1.0, torch.Generator().manual_seed(2))
    found = log_probabilities(model, asked, given)
    for t in range(3):
        logits = model(torch.cat([asked, given[:, :t]], dim=1))[:, -1]
        expected = torch.log_softmax(logits, dim=1).gather(1, given[:, t : t + 1])[:, 0]
        torch.testing.assert_close(found[:, t], expected)
    same = sample(model, asked, 3, 1.0, torch.Generator().manual_seed(2))
    assert torch.equal(given, same)


def test_samples_follow_the_probabilities():
    model = with_adapter()
    asked = torch.zeros((4000, 2), dtype=torch.int64)
    given = sample(model, asked, 1, 1.0, torch.Generator().manual_seed(2))[:, 0]
    expected = torch.softmax(model(asked[:1])[0, -1], dim=0)
    found = torch.bincount(given, minlength=9) / 4000
    spread = torch.sqrt(expected * (1 - expected) / 4000)
    assert ((found - expected).abs() <= 5 * spread + 1e-6).all()


def test_other_adapters_leave_the_own_ones_as_they_were():
    model, other = with_adapter(1), with_adapter(2)
    ids, before = torch.zeros((1, 4), dtype=torch.int64), adapter_values(model)
    with torch.no_grad(), other_adapters(model, adapter_values(other)):
        torch.testing.assert_close(model(ids), other(ids))
    assert all(torch.equal(v, before[k]) for k, v in adapter_values(model).items())


def test_the_reward_rises_on_noisy_tiles_and_chips(done):
    _, result = done
    rows = result.rewards.groupby(["stage", "time"])["reward"].mean()
    for time in ("digital", "0s", "10y"):
        assert rows["grpo", time] > rows["tuned", time] + 0.2
    steps = result.training[result.training["stage"] == "grpo"]["reward"]
    assert steps.tail(5).mean() > steps.head(5).mean() + 0.2


def test_the_base_changes_by_exactly_nothing(done, tmp_path):
    out, _ = done
    file = study_file(tmp_path)
    run = DecoderRun(file, out)
    model = run.model(1)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    assert len(list(run.reinforce(1, model))) == 40
    after = dict(model.named_parameters())
    changed = {n for n, v in before.items() if not torch.equal(v, after[n])}
    assert changed
    assert all(".adapter." in name for name in changed)


def test_it_is_the_same_again_and_done_stages_are_not_done_again(done, tmp_path):
    out, result = done
    again = DecoderRun(study_file(tmp_path), tmp_path / "again").run()
    assert again.rewards.equals(result.rewards)
    place = "runs/grpo/seed1/adapter/adapter_model.safetensors"
    first, second = load_file(out / place), load_file(tmp_path / "again" / place)
    assert all(torch.equal(first[k], second[k]) for k in first)
    arguments = ["adapt", str(study_file(tmp_path)), "--out", str(out)]
    printed = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert json.loads(printed.stdout)["rewards"] == result.rewards.to_dict("records")
    assert broken("adapt-answer", json.loads(printed.stdout)) == []
    shown = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "reward of the likeliest answer" in shown.stdout


def test_a_stage_that_was_cut_off_ends_in_the_same_adapter_bit_for_bit(done, tmp_path):
    """A kill leaves the folder of a stage without its adapter; the stage is done again."""
    out, result = done
    shutil.copytree(out, tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut" / "runs" / "grpo" / "seed1" / "adapter")
    # the study names its results folder nowhere, so that the copy goes on
    again = DecoderRun(study_file(tmp_path), tmp_path / "cut").run()
    place = "runs/grpo/seed1/adapter/adapter_model.safetensors"
    first, second = load_file(out / place), load_file(tmp_path / "cut" / place)
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert again.rewards.equals(result.rewards)


def test_another_study_does_not_take_the_folder(done, tmp_path):
    out, _ = done
    with pytest.raises(InputError, match="another --out"):
        DecoderRun(study_file(tmp_path, test=65), out).run()
    done_ = CliRunner().invoke(
        app, ["adapt", str(study_file(tmp_path)), "--out", str(out), "--arm", "a"]
    )
    assert done_.exit_code == 2


def test_a_loss_that_is_no_number_ends_training_with_a_way_out(done, tmp_path):
    run = DecoderRun(study_file(tmp_path), done[0])
    model = run.model(1)
    model.wte.weight.data.fill_(float("nan"))
    with pytest.raises(InputError, match=r"tune seed 1, step 0: the loss is nan; .*below"):
        list(run.tune(1, model))


def test_what_is_no_decoder_is_refused_and_leaves_no_folder(tmp_path):
    save_decoder(tmp_path / "base", random_decoder())
    out = tmp_path / "out"

    def said(parts):
        decoder = {"folder": "base"}
        return DecoderRun(study_file(tmp_path, **({"decoder": decoder} | parts)), out).run

    long = {"task": {"instruction": "reverse", "digits": 9, "symbols": 5}}
    with pytest.raises(SpecError, match=r"n_positions: found 12; the task takes 20 or more"):
        said(long)()
    with pytest.raises(UnknownNameError, match=r"did you mean 'attn\.c_attn'"):
        random_decoder().add_adapters(DecoderLora(targets=("attn.c_att",)), 1)
    config = json.loads((tmp_path / "base" / "config.json").read_text())
    (tmp_path / "base" / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    with pytest.raises(UnsupportedError, match="'gpt2' would do"):
        said({})()
    (tmp_path / "base" / "config.json").write_text(json.dumps(config | {"n_embd": 32}))
    with pytest.raises(SpecError, match=r"found the shape .* would do"):
        said({})()
    (tmp_path / "base" / "model.safetensors").unlink()
    with pytest.raises(SpecError, match="cannot be read"):
        said({})()
    with pytest.raises(SpecError, match=r"decoder\.heads: found 3 heads"):
        said({"decoder": {"heads": 3}})()
    assert not out.exists()
