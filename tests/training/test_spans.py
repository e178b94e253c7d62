"""Answers as spans, on a tiny file in the form of SQuAD and a random encoder."""

import json

import numpy as np
import pytest

from tests.training.conftest import changed

torch = pytest.importorskip("torch", reason="needs the extra adapt")

from hybridsim.errors import SpecError  # noqa: E402
from hybridsim.training.classifier import NO_TOKEN, SpanReader  # noqa: E402
from hybridsim.training.corpora import Example, read_squad  # noqa: E402
from hybridsim.training.encoder import load_encoder  # noqa: E402
from hybridsim.training.run import StudyRun  # noqa: E402
from hybridsim.training.tokens import UNREACHABLE, tokenize  # noqa: E402
from hybridsim.training.training import Sentences, predictions  # noqa: E402


def passages(count):
    """The answer to ``film`` is the only word of judgement; half the ``plot`` has none."""
    rng = np.random.default_rng(7)
    rows = []
    for i in range(count):
        filler = rng.choice(["a", "the"], rng.integers(2, 6)).tolist()
        place, word = int(rng.integers(0, len(filler) + 1)), str(rng.choice(["good", "bad"]))
        words = [*filler[:place], word, *filler[place:]]
        context = " ".join(words)
        answer = {"text": word, "answer_start": context.index(word)}
        unknown = i % 4 == 3
        asked = {
            "id": str(i), "question": "plot" if unknown else "film",
            "answers": [] if unknown else [answer, answer], "is_impossible": unknown,
        }  # fmt: skip
        rows.append({"context": context, "qas": [asked]})
    return {"version": "v2.0", "data": [{"title": "t", "paragraphs": rows}]}


@pytest.fixture
def study(study_file, model_folder):
    folder = study_file.parent
    (folder / "model").symlink_to(model_folder)
    (folder / "train.json").write_text(json.dumps(passages(160)))
    return changed(
        study_file,
        data__source={"kind": "squad", "file": "train.json", "task": "span"},
        data__train=96,
        data__test=60,
    )


def test_characters_become_tokens(model_folder):
    context = "the film a good plot"
    spans = ((4, 8), (11, 20))  # "film", and "good plot"
    examples = [
        Example("fine", context, "span", spans),
        Example("fine", context, "span"),
        Example("fine", "a a a a a a a a a a bad", "span", ((20, 23),)),
    ]
    found = tokenize(model_folder, examples, 12).span_labels(examples)
    # [CLS] fine [SEP] the film a good plot [SEP]
    assert found == [[(4, 4), (6, 7)], [(0, 0)], [(UNREACHABLE, UNREACHABLE)]]


def test_the_likeliest_span_does_not_end_before_it_begins(model_folder):
    """Against trying all pairs, one by one."""
    reader = SpanReader(load_encoder(model_folder, "mean"))
    scores = torch.randn((10, 6), generator=torch.Generator().manual_seed(3))
    scores[4:6, 3:] = NO_TOKEN  # a shorter sentence
    found = reader.found(scores)
    for i in range(5):
        begin, end = scores[2 * i], scores[2 * i + 1]
        pairs = [(float(begin[b] + end[e]), b, e) for b in range(6) for e in range(b, 6)]
        assert tuple(found[i].tolist()) == max(pairs)[1:]


def test_scores_belong_to_the_tokens_of_their_sentence(model_folder):
    reader = SpanReader(load_encoder(model_folder, "mean")).eval()
    torch.nn.init.normal_(reader.head.weight, generator=torch.Generator().manual_seed(1))
    text = tokenize(model_folder, [Example("a", "the film", "s"), Example("bad", "a", "s")], 12)
    together = reader(text.batch([0, 1], "cpu"))
    alone = reader(text.batch([1], "cpu"))
    torch.testing.assert_close(together[2:, : alone.shape[1]], alone)
    assert (together[2:, alone.shape[1] :] == NO_TOKEN).all()
    assert predictions(reader, text).shape == (2, 2)


def test_any_of_the_given_answers_is_right_and_a_lost_one_is_wrong():
    labels = np.array([[1, 2], [UNREACHABLE] * 2, [0, 0]])
    accepted = (frozenset({(1, 2), (1, 1)}), frozenset({(UNREACHABLE,) * 2}), frozenset({(0, 0)}))
    sentences = Sentences(None, labels, accepted)
    assert sentences.right(np.array([[1, 1], [3, 3], [0, 0]])).tolist() == [True, False, True]
    assert sentences.right(np.array([[2, 2], [0, 0], [0, 1]])).tolist() == [False] * 3


def test_a_span_study_learns_where_answers_lie(study, tmp_path):
    changed(study, steps=80, batch=16)
    result = StudyRun(study, tmp_path / "out").run()
    rows = result.accuracy.set_index(["arm", "time"])["accuracy_percent"]
    assert rows["digital_lora", "digital"] > 80
    assert rows["ahwa_lora", "10y"] > 60


def test_a_span_study_can_be_distilled(study, tmp_path):
    arm = {"train": "lora", "learning_rate": 0.01, "noise": {"kind": "gaussian"}}
    changed(study, arms__ahwa_lora=arm | {"distill_from": "digital_lora"})
    result = StudyRun(study, tmp_path / "out").run()
    assert np.isfinite(result.training["loss"]).all()


def test_passages_that_are_all_cut_off_are_refused(study, tmp_path):
    file = study.parent / "train.json"
    long = passages(160)
    for row in long["data"][0]["paragraphs"]:
        row["context"] = "a " * 40 + row["context"]
        row["qas"][0]["is_impossible"] = False
        row["qas"][0]["answers"] = [{"text": "x", "answer_start": len(row["context"]) - 1}]
    file.write_text(json.dumps(long))
    assert len(read_squad(file, "span")) == 160
    with pytest.raises(SpecError, match=r"tokens: no answer lies within 16 tokens"):
        StudyRun(study, tmp_path / "out").run()
