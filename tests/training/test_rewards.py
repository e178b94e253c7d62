"""Rewards of a pretrained decoder: nothing read twice, noise that stays for a step, a study."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.schemas import broken

torch = pytest.importorskip("torch", reason="needs the extra adapt")

from safetensors.torch import load_file, save_file  # noqa: E402
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers  # noqa: E402

from hybridsim.analog import AnalogSettings, Converters  # noqa: E402
from hybridsim.cli import app  # noqa: E402
from hybridsim.errors import InputError, SpecError  # noqa: E402
from hybridsim.training.answering import answered, log_probabilities  # noqa: E402
from hybridsim.training.asked import all_questions, asked, endings  # noqa: E402
from hybridsim.training.crossbar import Disturbance, Pool  # noqa: E402
from hybridsim.training.decoder_study import Grpo  # noqa: E402
from hybridsim.training.grpo import objective  # noqa: E402
from hybridsim.training.language_study import LanguageLora  # noqa: E402
from hybridsim.training.linear import program_chip, put_on_chip  # noqa: E402
from hybridsim.training.llama import Llama, shape_of  # noqa: E402
from hybridsim.training.past import Past  # noqa: E402
from hybridsim.training.pretrained import loaded  # noqa: E402
from hybridsim.training.reinforcing import Exam, Reinforcement  # noqa: E402
from hybridsim.training.reward_run import RewardRun  # noqa: E402
from hybridsim.training.reward_study import (  # noqa: E402
    NumberTask,
    Reinforced,
    is_reward_study,
    read_reward_study,
)
from tests.training.test_language import CONFIG  # noqa: E402

torch.set_num_threads(1)  # more get in each other's way at these sizes

SIGNS = [*"0123456789", " ", ",", "->", "+", "=", "\n"]
TASK = {"kind": "next", "digits": [1], "shots": 1, "test": 2, "validation": 1}
LARGER = {"kind": "larger", "digits": [1, 1], "shots": 2, "test": 20, "validation": 10}
HOW = {
    "steps": 16, "questions": 5, "group": 16, "learning_rate": 0.03, "weight_noise": 0.02,
    "lora": {"rank": 4, "alpha": 16.0},
}  # fmt: skip
SMALL = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
EXACT = Converters(output_noise=0.0, dac_bits=None, adc_bits=None, output_bound=1e9)


def tokenizer_of_signs():
    made = Tokenizer(models.WordLevel({sign: i for i, sign in enumerate(SIGNS)}, " "))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"->|[\s\S]"), "isolated")
    made.decoder = decoders.Fuse()
    return made


def random_llama(**changes):
    """A model whose weights are large enough to see differences."""
    config = CONFIG | {"vocab_size": len(SIGNS)} | changes
    model = Llama(shape_of(config, "config.json")).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        if "norm" not in name and not name.endswith("bias"):
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    for layer in model.static_layers().values():
        layer.remember_spread()
    return model


def with_adapters(model):
    model.add_adapters(LanguageLora(rank=2, alpha=8.0), 1)
    generator = torch.Generator().manual_seed(5)
    for _, adapter in model.adapters():
        adapter.lora_B.data.normal_(0, 0.2, generator=generator)
    return model


def read_in_pieces(model, ids, ends):
    """Return logits of tokens that are read piece by piece."""
    past = Past()
    pieces = [
        model.logits(model.read(piece, past))
        for piece in ids.tensor_split(ends, dim=1)
        if piece.shape[1]
    ]
    assert past.tokens == ids.shape[1]
    return torch.cat(pieces, dim=1)


def some_tokens(*shape):
    return torch.randint(len(SIGNS), shape, generator=torch.Generator().manual_seed(1))


# --- nothing is read twice ----------------------------------------------------------------------


@settings(max_examples=8, deadline=None)
@given(
    ends=st.lists(st.integers(0, 12), max_size=5).map(sorted),
    changes=st.sampled_from(
        [{}, {"tie_word_embeddings": False, "head_dim": 6}, {"num_key_value_heads": 4}]
    ),
)
def test_logits_from_a_past_are_those_of_the_whole_pass(ends, changes):
    model, ids = random_llama(**changes), some_tokens(2, 12)
    torch.testing.assert_close(read_in_pieces(model, ids, ends), model(ids), atol=2e-5, rtol=1e-4)


def test_so_they_are_on_a_chip_without_output_noise():
    model, ids = random_llama(), some_tokens(2, 12)
    tiles = AnalogSettings(clip_sigmas=2.0, side_path_sigmas=2.0, converters=EXACT)
    digital = model(ids)
    put_on_chip(
        model, program_chip(model, tiles, (1,)), 3600.0, tiles, Disturbance(Pool(0, "cpu"))
    )
    whole = model(ids)
    assert (whole - digital).abs().max() > 0.1
    torch.testing.assert_close(read_in_pieces(model, ids, [5, 6, 7]), whole, atol=1e-4, rtol=1e-3)


def test_with_output_noise_they_have_the_same_distribution():
    """Each of many equal rows draws noise of its own, in one pass and token by token."""
    model, rows = random_llama(), 4000
    ids = some_tokens(1, 5).expand(rows, 5)
    noise = Disturbance(Pool(0, "cpu"))
    model.compute_on_tiles(AnalogSettings(converters=EXACT.model_copy(
        update={"output_noise": 0.02})), noise)  # fmt: skip
    whole, pieces = model(ids)[:, -1], read_in_pieces(model, ids, [3, 4])[:, -1]
    middle, spread = whole.mean(dim=0), whole.std(dim=0)
    assert spread.min() > 0.01
    off = (pieces.mean(dim=0) - middle) / (spread * (2 / rows) ** 0.5)
    assert off.abs().max() < 4.5
    torch.testing.assert_close(pieces.std(dim=0), spread, rtol=0.1, atol=0)


def test_a_past_that_is_read_on_from_stays_as_it_was_for_others():
    model, ids = random_llama(), some_tokens(2, 6)
    past = Past()
    model.read(ids, past)
    kept = [each.clone() for each in past.keys]
    three = past.repeated(3)
    after = model.logits(model.read(some_tokens(6, 2), three))
    assert past.tokens == 6
    assert all(torch.equal(a, b) for a, b in zip(past.keys, kept, strict=True))
    every = torch.cat([ids.repeat_interleave(3, dim=0), some_tokens(6, 2)], dim=1)
    torch.testing.assert_close(after, model(every)[:, 6:], atol=2e-5, rtol=1e-4)


def whole_passes(model, shots, questions, group, given):
    """The same log-probabilities, every answer read with all that stands before it."""
    before = torch.cat([shots.expand(len(questions), -1), questions], dim=1)
    ids = torch.cat([before.repeat_interleave(group, dim=0), given], dim=1)
    every = torch.log_softmax(model(ids)[:, before.shape[1] - 1 : -1], dim=2)
    return every.gather(2, given[:, :, None])[:, :, 0]


@pytest.mark.parametrize("tokens", [1, 3])
def test_gradients_through_a_past_are_those_of_whole_passes(tokens):
    model, found = with_adapters(random_llama()), []
    parts = some_tokens(1, 7), some_tokens(3, 4), 2, some_tokens(6, tokens)
    for way in (log_probabilities, whole_passes):
        model.zero_grad()
        values = way(model, *parts)
        values.square().sum().backward()
        found.append([values.detach(), *(p.grad.clone() for p in model.trained())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


def test_the_likeliest_answer_ends_where_it_ends():
    model, most = random_llama(), 4
    shots, questions = some_tokens(1, 5), some_tokens(6, 3)
    ends = torch.zeros(len(SIGNS), dtype=torch.bool)
    free = answered(model, shots, questions, 1, most, ends)
    assert free.counted.all()
    ids = torch.cat([shots.expand(6, -1), questions], dim=1)
    for i in range(most):
        chosen = model(ids)[:, -1].argmax(dim=1)
        assert torch.equal(free.tokens[:, i], chosen)
        ids = torch.cat([ids, chosen[:, None]], dim=1)
    ends[free.tokens[0, 1]] = True
    ended = answered(model, shots, questions, 1, most, ends)
    for row, counted in zip(ended.tokens, ended.counted, strict=True):
        first = next((i for i, token in enumerate(row) if ends[token]), most - 1)
        assert counted.tolist() == [float(i <= first) for i in range(len(row))]


def test_samples_follow_the_probabilities():
    model, shots, question = random_llama(), some_tokens(1, 5), some_tokens(1, 3)
    ends = torch.zeros(len(SIGNS), dtype=torch.bool)
    generator = torch.Generator().manual_seed(2)
    given = answered(model, shots, question, 4000, 1, ends, 1.5, generator).tokens[:, 0]
    expected = torch.softmax(model(torch.cat([shots, question], dim=1))[0, -1] / 1.5, dim=0)
    found = torch.bincount(given, minlength=len(SIGNS)) / 4000
    spread = torch.sqrt(expected * (1 - expected) / 4000)
    assert ((found - expected).abs() <= 5 * spread + 1e-6).all()


# --- rewards and what is maximised --------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "digits", "count"),
    [("sum", (2, 1), 810), ("next", (3,), 900), ("larger", (1, 2), 810)],
)
def test_no_question_is_in_two_parts_and_every_answer_is_right(kind, digits, count):
    task = NumberTask(kind=kind, digits=digits, shots=2, test=30, validation=20)
    every = all_questions(task)
    assert len(every) == count
    right = {
        "sum": lambda a, _, b: a + b,
        "next": lambda a: a + 1,
        "larger": lambda a, _, b: max(a, b),
    }
    for question in every[::37]:
        numbers = [int(n) if n.isdigit() else n for n in question.text.split()[:-1]]
        assert int(question.answer) == right[kind](*numbers)
    dealt = asked(task, tokenizer_of_signs())
    texts = [
        q.text for part in (dealt.train, dealt.validation, dealt.test) for q in part.questions
    ]
    assert len(texts) == len(set(texts)) == count - 2
    assert (len(dealt.test.questions), len(dealt.validation.questions)) == (30, 20)


def test_a_reward_is_for_the_right_number_and_nothing_else():
    test = asked(NumberTask(**LARGER), tokenizer_of_signs()).test
    right = test.questions[3].answer
    said = [right + "\n", right, f" {right}\n", f"{right}{right}\n", f"{right} \n", "\n", "?\n"]
    assert test.rewards([3] * len(said), said).tolist() == [1, 0, 0, 0, 0, 0, 0]


def test_answers_of_different_lengths_weigh_the_same():
    """Eq. 3 of DeepSeekMath: the mean over answers of the mean over each one's tokens."""
    rng = np.random.default_rng(0)
    new, old, reference = (torch.from_numpy(each) for each in rng.normal(-1, 0.3, (3, 5, 4)))
    advantage, lengths = torch.from_numpy(rng.normal(size=5)), [1, 4, 2, 3, 4]
    counted = torch.tensor([[float(t < n) for t in range(4)] for n in lengths])
    how = Grpo(steps=1, learning_rate=0.1)
    alone = [
        objective(new[i : i + 1, :n], old[i : i + 1, :n], reference[i : i + 1, :n],
                  advantage[i : i + 1], how)
        for i, n in enumerate(lengths)
    ]  # fmt: skip
    found = objective(new, old, reference, advantage, how, counted)
    torch.testing.assert_close(found, torch.stack(alone).mean())
    whole = objective(new, old, reference, advantage, how, torch.ones(5, 4))
    torch.testing.assert_close(whole, objective(new, old, reference, advantage, how))


def test_noise_of_weights_stays_for_a_step_and_is_another_one_in_the_next():
    model, tokenizer = random_llama(), tokenizer_of_signs()
    model.add_adapters(LanguageLora(rank=2), 1)
    exam = Exam(asked(NumberTask(**TASK), tokenizer), tokenizer, endings(tokenizer))
    training = Reinforcement(
        "one", model, Reinforced(**HOW), exam, AnalogSettings(converters=EXACT)
    )
    ids, found = some_tokens(1, 6), []
    with torch.no_grad():
        for step in (0, 1, 0):
            training._new_weights(step)
            found.append(model(ids))
            torch.testing.assert_close(model(ids), found[-1], atol=0, rtol=0)
    assert torch.equal(found[0], found[2])
    assert not torch.allclose(found[0], found[1], atol=1e-2)


def test_the_study_that_comes_along_can_be_read():
    file = Path(__file__).parents[2] / "reports/decoder_rewards/study.yaml"
    assert is_reward_study(file)
    assert read_reward_study(file).reinforced


# --- a study ------------------------------------------------------------------------------------


def write_study(place, model, tokenizer):
    """Write a small model as Hugging Face does, and a study of it."""
    (place / "model").mkdir()
    config = CONFIG | {"vocab_size": len(SIGNS), **SMALL}
    (place / "model" / "config.json").write_text(json.dumps(config))
    tokenizer.save(str(place / "model" / "tokenizer.json"))
    weights = {n: p.detach() for n, p in model.named_parameters() if not n.endswith("_proj.bias")}
    save_file(weights, str(place / "model" / "model.safetensors"), metadata={"format": "pt"})
    study = {
        "name": "tiny", "question": "does a reward help", "language": {"folder": "model"},
        "task": TASK, "reinforced": {"noisy": HOW}, "chips": [1, 2], "times": ["0s", "10y"],
        "checkpoint_every": 4,
    }  # fmt: skip
    (place / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that has learned to answer with a number, whichever, and a study of it."""
    place, tokenizer = tmp_path_factory.mktemp("rewards"), tokenizer_of_signs()
    model = random_llama(**SMALL)
    rng = np.random.default_rng(1)
    model.requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02, weight_decay=0)
    for _ in range(60):
        drawn = rng.integers(1, 10, (16, 3, 2)).tolist()
        lines = ["".join(f"{asked} -> {said}\n" for asked, said in line) for line in drawn]
        ids = torch.tensor([tokenizer.encode(line).ids for line in lines])
        loss = torch.nn.functional.cross_entropy(
            model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    write_study(place, model, tokenizer)
    return place


@pytest.fixture(scope="module")
def done(folder):
    return RewardRun(folder, folder / "out").run()


def changed(folder, tmp_path, **parts):
    """Write the study with other parts into another folder, the model as it is."""
    document = yaml.safe_load((folder / "study.yaml").read_text()) | parts
    document["language"] = {"folder": str(folder / "model")}
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return file


def test_the_reward_of_sampled_answers_rises_through_noisy_tiles(folder, done):
    log = np.genfromtxt(folder / "out/adapters/noisy/steps.csv", delimiter=",", names=True)
    assert len(log) == HOW["steps"]
    assert 0.03 < log["reward"][:5].mean() < 0.5
    assert log["reward"][-5:].mean() > log["reward"][:5].mean() + 0.15
    table = done.table
    assert list(table["adapter"]) == ["-"] * 3 + ["noisy"] * 3
    assert list(table["time"]) == ["digital", "0s", "10y"] * 2
    assert list(table["chips"]) == [1, 2, 2] * 2


def test_the_first_step_has_no_distance_and_no_loss(folder, tmp_path):
    """New, old and reference are one there, so that the loss is minus the mean advantage: 0."""
    model, tokenizer = loaded(folder / "model")
    model.add_adapters(LanguageLora(rank=2), 1)
    exam = Exam(asked(NumberTask(**TASK), tokenizer), tokenizer, endings(tokenizer))
    row = Reinforcement("one", model, Reinforced(**HOW), exam, AnalogSettings())._step(0)
    assert row["mixed"] > 0
    assert abs(row["loss"]) < 1e-5


def test_a_run_that_was_cut_off_goes_on_bit_for_bit(folder, done, tmp_path):
    file = changed(folder, tmp_path)

    def stop(what, at, *_):
        if what.startswith("reinforce") and at == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RewardRun(file, tmp_path / "out", stop).run()
    assert (tmp_path / "out/adapters/noisy/checkpoint.safetensors").exists()
    steps = []
    again = RewardRun(file, tmp_path / "out", lambda what, at, *_: steps.append((what, at))).run()
    assert steps[0] == ("reinforce noisy", 9)  # eight were kept
    place = "adapters/noisy/adapter/adapter_model.safetensors"
    one, other = load_file(folder / "out" / place), load_file(tmp_path / "out" / place)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert again.table.equals(done.table)


def test_a_finished_study_is_told_again_without_work(folder, done):
    before = {f: f.stat().st_mtime_ns for f in (folder / "out").rglob("*.safetensors")}
    arguments = ["adapt", str(folder), "--out", str(folder / "out")]
    printed = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    answer = json.loads(printed.stdout)
    assert broken("adapt-answer", answer) == []
    assert [r["reward_percent"] for r in answer["rewards"]] == list(done.table["reward_percent"])
    shown = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert before == {f: f.stat().st_mtime_ns for f in (folder / "out").rglob("*.safetensors")}


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"task": LARGER | {"digits": [1]}}, SpecError, "2 for 'larger'"),
        ({"task": LARGER | {"digits": [3, 3]}}, SpecError, "4 digits"),
        ({"task": LARGER | {"test": 90}}, SpecError, "found 72 different questions"),
        ({"reinforced": {"noisy": HOW | {"questions": 6}}}, SpecError, "5 are there"),
        ({"reinforced": {}}, SpecError, "reinforced"),
        ({"chips": [1, 2], "analog": {"clip_sigmas": 2.0}}, InputError, "another study"),
        ({"reinforced": {"noisy": HOW | {"steps": 17}}}, InputError, "another way"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(folder, done, tmp_path, changes, error, said):
    file = changed(folder, tmp_path, **changes)
    document = yaml.safe_load(file.read_text())
    document["language"] = {"folder": "model"}
    (folder / "other.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(error, match=said):
        RewardRun(folder / "other.yaml", folder / "out").run()


@pytest.mark.parametrize(
    ("command", "key", "taker"),
    [
        ("recalibrate", "reinforced", "adapt"), ("recalibrate", "decoder", "adapt"),
        ("sensitivity", "reinforced", "adapt"), ("adapt", "language", "recalibrate"),
        ("sensitivity", "language", "recalibrate"),
    ],
)  # fmt: skip
def test_a_study_of_another_command_is_told_which(tmp_path, command, key, taker):
    (tmp_path / "study.yaml").write_text(f"{key}: {{}}\n")
    arguments = [command, str(tmp_path), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 2
    said = " ".join(done.stderr.split())
    assert f"the key {key!r}, which {command} does not take; hybridsim {taker} " in said
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_may_cut_numbers_unevenly():
    made = Tokenizer(models.BPE({"1": 0, "2": 1, "12": 2, " ": 3}, [("1", "2")], unk_token=" "))
    part = asked(NumberTask(kind="larger", digits=(2, 2), shots=1, test=5, validation=5), made)
    lengths = [len(tokens) for tokens in part.train.tokens]
    assert len(set(lengths)) > 1
    assert [{lengths[i] for i in group} for group in part.train.alike] == [
        {lengths[group[0]]} for group in part.train.alike
    ]
