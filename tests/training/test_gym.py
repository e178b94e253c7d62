"""Rewards of reasoning-gym: parts apart, its score as it is; also where it is not installed."""

import json
import random
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs the extra adapt")

from hybridsim.cli import app  # noqa: E402
from hybridsim.errors import InputError, SpecError, installing  # noqa: E402
from hybridsim.training import gym, reward_run  # noqa: E402
from hybridsim.training.asked import asked  # noqa: E402
from hybridsim.training.gym import gym_questions  # noqa: E402
from hybridsim.training.reward_run import RewardRun, _as_row, _of_row  # noqa: E402
from hybridsim.training.reward_study import GymTask  # noqa: E402
from tests.training.test_rewards import (  # noqa: E402
    HOW,
    SMALL,
    changed,
    random_llama,
    tokenizer_of_signs,
    write_study,
)

needs_package = pytest.mark.skipif(
    find_spec("reasoning_gym") is None, reason="needs the extra gym"
)


@dataclass(frozen=True)
class Sums:
    """A task as the package makes them: question ``i`` follows from seed + i."""

    seed: int
    size: int
    most: int = 99

    def __getitem__(self, place):
        print(".", end="")  # so does the package's ``bf``
        rng = random.Random(self.seed + place)
        one, other = (rng.randint(1, self.most) for _ in range(2))
        # as some tasks of the package have them: none, or none of one line
        odd = {0: None, 1: f"{one}\n{other}"}
        answer = odd.get(place % 7, str(one + other))
        return {"question": f"{one} + {other} =", "answer": answer, "metadata": {}}

    def score_answer(self, answer, entry):
        """A twentieth for any answer, so that nobody takes it for right or wrong."""
        return 1.0 if answer == entry["answer"] else 0.05 * bool(answer)


def package(**changes):
    return SimpleNamespace(create_dataset=lambda name, **config: Sums(**config, **changes))


def task(**changes):
    parts = {"shots": 2, "test": 30, "validation": 10, "train": 40} | changes
    return GymTask(kind="reasoning_gym", name="sums", **parts)


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_no_question_is_in_two_parts(seed, capsys):
    parts = gym_questions(task(seed=seed), package())
    assert capsys.readouterr().out == ""
    texts = [question.text for part in parts for question in part]
    assert [len(part) for part in parts] == [2, 30, 10, 40]
    assert len(set(texts)) == len(texts)


def test_so_it_is_where_there_are_hardly_enough():
    """Of all 100 sums up to 10 + 10, 92 are asked, and 101 cannot be."""
    parts = gym_questions(task(train=50, config={"most": 10}), package())
    assert len({question.text for part in parts for question in part}) == 92
    with pytest.raises(SpecError, match=r"found 58 more questions .* 59 would do, or fewer"):
        gym_questions(task(train=59, config={"most": 10}), package())


def test_a_seed_decides_the_questions():
    def texts(seed):
        return [[q.text for q in part] for part in gym_questions(task(seed=seed), package())]

    assert texts(1) == texts(1)
    shared = set(texts(1)[1]) & set(texts(2)[1])
    assert len(shared) < 5


def test_the_score_is_the_packages_own():
    for question in gym_questions(task(), package())[1]:
        right = question.answer.strip()
        given = {f" {right}\n": 1.0, right: 1.0, f"{right} or so\n": 0.05, "\n": 0.0, "": 0.0}
        assert {said: question.reward(said) for said in given} == given


def test_answers_of_several_lines_or_none_are_not_asked_for():
    answers = [question.answer for question in gym_questions(task(), package())[3]]
    assert all(answer.strip().isdigit() for answer in answers)


def test_what_the_package_refuses_is_told_in_a_sentence():
    with pytest.raises(SpecError, match=r"task: config: sums refuses it: .*'colour'"):
        gym_questions(task(config={"colour": "red"}), package())


def test_questions_of_as_many_tokens_are_read_together(monkeypatch):
    monkeypatch.setattr(gym, "installed", lambda _: package())
    part = asked(task(), tokenizer_of_signs()).train
    assert sorted(i for group in part.alike for i in group) == list(range(40))
    assert len(part.alike) > 1
    for group in part.alike:
        ids = part.read(group)
        assert ids.shape[0] == len(group)
        assert all(ids[k].tolist() == part.tokens[i].tolist() for k, i in enumerate(group))


def test_questions_are_drawn_as_often_as_there_are_some_of_their_length(monkeypatch):
    monkeypatch.setattr(gym, "installed", lambda _: package())
    part = asked(task(train=200, config={"most": 999}), tokenizer_of_signs()).train
    large = [group for group in part.alike if len(group) >= 5]
    assert len(large) > 1
    rng, times = np.random.default_rng(3), 2000
    counts = dict.fromkeys(large, 0)
    for _ in range(times):
        drawn = part.drawn(rng, 5)
        assert len(set(drawn)) == 5
        (group,) = (group for group in large if set(drawn) <= set(group))
        counts[group] += 1
    every = sum(map(len, large))
    for group, count in counts.items():
        share = len(group) / every
        assert abs(count / times - share) < 4 * (share * (1 - share) / times) ** 0.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("gym")
    write_study(place, random_llama(**SMALL), tokenizer_of_signs())
    return place


@pytest.fixture
def study(folder, tmp_path, monkeypatch):
    """A study of sums up to 10 + 10 by the tiny model."""
    monkeypatch.setattr(gym, "installed", lambda _: package())
    monkeypatch.setattr(reward_run, "gym_version", lambda: "0.0.7")
    own = {"kind": "reasoning_gym", "name": "sums", "config": {"most": 10}, "shots": 1,
           "test": 8, "validation": 0, "train": 30}  # fmt: skip
    how = HOW | {"steps": 2, "questions": 3, "group": 4}
    return changed(folder, tmp_path, task=own, reinforced={"one": how}, times=["0s"], chips=[1])


@given(st.lists(st.sampled_from([0.0, 1.0, 0.05, 1 / 3]), min_size=1, max_size=20))
def test_what_an_evaluation_earned_is_what_its_row_says(earned):
    """Partial rewards are written out; a row of right and wrong is what it always was."""
    row = json.loads(json.dumps(_as_row(np.array(earned))))
    assert _of_row(row).tolist() == earned
    assert ("rewards" in row) == (not {*earned} <= {0.0, 1.0})


@pytest.mark.slow
def test_rewards_between_nothing_and_all_are_kept_and_told_again(study, tmp_path):
    done = RewardRun(study, tmp_path / "out").run()
    assert '"reasoning-gym": "0.0.7"' in (tmp_path / "out/study.json").read_text()
    # a random model says something but nothing right: a twentieth of all that is said
    assert ((done.table["reward_percent"] > 0) & (done.table["reward_percent"] < 50)).all()
    lines = (tmp_path / "out/journal.jsonl").read_text().splitlines()
    partly = [json.loads(line) for line in lines]
    means = [100 * np.mean(row["rewards"]) for row in partly]
    assert sorted(means) == pytest.approx(sorted(done.table["reward_percent"]), abs=0.01)
    again = RewardRun(study, tmp_path / "out").run()
    assert again.table.equals(done.table)


def test_another_version_of_the_package_is_another_study(study, tmp_path, monkeypatch):
    RewardRun(study, tmp_path / "out")._open()
    monkeypatch.setattr(reward_run, "gym_version", lambda: "0.0.8")
    with pytest.raises(InputError, match="another study, model, part or version"):
        RewardRun(study, tmp_path / "out")._open()


def refusal(folder, tmp_path, **own):
    file = changed(folder, tmp_path, task={"kind": "reasoning_gym", "name": "chain_sum"} | own)
    arguments = ["adapt", str(file), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 2
    assert not (tmp_path / "out").exists()
    return " ".join(done.stderr.split())


def test_without_the_package_it_is_said_what_installs_it(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    problem = f"reasoning_gym is not installed; {installing('gym')} would do"
    assert f"task: reasoning-gym: {problem}" in refusal(folder, tmp_path)


def test_a_kind_of_task_that_is_not_known_is_told_which_are(folder, tmp_path):
    said = refusal(folder, tmp_path, kind="gym")
    assert "reasoning_gym" in said


@needs_package
@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"name": "chain_sums"}, "task: name: found 'chain_sums' (did you mean 'chain_sum'?)"),
        ({"config": {"terms": 2}}, "task: config.terms: is no setting of chain_sum;"),
        ({"config": {"seed": 2}}, "task: config.seed: is no setting of chain_sum;"),
        ({"config": {"min_terms": 0}}, "chain_sum refuses it: min_terms must be positive"),
        ({"name": "mini_sudoku"}, "found 0 more questions with an answer of one line among 60"),
    ],
)
def test_what_the_package_does_not_know_is_told_in_a_sentence(folder, tmp_path, own, said):
    assert said in refusal(folder, tmp_path, **own)


@needs_package
def test_the_package_scores_its_own_answers_as_right():
    own = GymTask(kind="reasoning_gym", name="chain_sum", config={"max_digits": 2}, train=20)
    parts = gym_questions(own)
    assert all(question.reward(f"{question.answer}\n") == 1 for part in parts for question in part)
    assert len({question.text for part in parts for question in part}) == 3 + 100 + 50 + 20
