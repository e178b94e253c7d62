"""Answers as spans: windows, marks and training, on a tiny file and a random encoder."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.conftest import changed

torch = pytest.importorskip("torch", reason="needs the extra adapt")

from hybridsim.errors import SpecError  # noqa: E402
from hybridsim.training.classifier import NO_TOKEN, SpanReader  # noqa: E402
from hybridsim.training.corpora import Example  # noqa: E402
from hybridsim.training.encoder import load_encoder  # noqa: E402
from hybridsim.training.run import StudyRun  # noqa: E402
from hybridsim.training.spans import (  # noqa: E402
    MOST_OF_ANSWER,
    MOST_OF_QUESTION,
    normal,
    questions,
    word_f1,
)
from hybridsim.training.training import predictions  # noqa: E402


def passages(count, before=0):
    """The answer to ``film`` is the only word of judgement; half the ``plot`` has none."""
    rng = np.random.default_rng(7)
    rows = []
    for i in range(count):
        filler = ["a"] * before + rng.choice(["a", "the"], rng.integers(2, 6)).tolist()
        place, word = int(rng.integers(before, len(filler) + 1)), str(rng.choice(["good", "bad"]))
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
    examples = [Example("fine", context, "span", spans), Example("fine", context, "span")]
    asked = questions(model_folder, examples, 12, None, True)
    # [CLS] fine [SEP] the film a good plot [SEP]
    assert asked.labels.tolist() == [[4, 4], [0, 0]]
    window = asked.windows[0]
    assert context[window.characters_of(6, 7)] == "good plot"
    assert window.label(spans[1:]) == (6, 7)
    assert context[window.characters_of(0, 0)] == ""


@given(
    words=st.lists(st.sampled_from(["good", "bad", "film", "a"]), max_size=40),
    asked=st.integers(1, 4),
    room=st.integers(1, 12),
    data=st.data(),
)
def test_windows_hold_every_token_and_share_what_they_should(
    model_folder, words, asked, room, data
):
    """Together they are the passage; each has the question whole and as many tokens as fit."""
    overlap = data.draw(st.none() | st.integers(0, room - 1))
    passage, most = " ".join(words), asked + 3 + room
    found = questions(
        model_folder, [Example("plot " * asked, passage, "s")], most, overlap, True
    ).windows
    shared = room // 3 if overlap is None else overlap
    places = [{tuple(c) for c in w.characters[slice(*w.passage)].tolist()} for w in found]
    assert set().union(*places) == {
        (m, m + len(w)) for m, w in zip(_starts(words), words, strict=True)
    }
    for window in found:
        assert window.ids[: asked + 2].tolist() == [2, *[9] * asked, 3]
        assert window.ids[-1] == 3
        assert window.segments.tolist() == [0] * (asked + 2) + [1] * (len(window.ids) - asked - 2)
        assert len(window.ids) <= most
    assert all(len(w.ids) == most for w in found[:-1])
    assert all(len(one & two) == shared for one, two in pairwise(places[:-1]))
    if overlap is not None and len(words) > room:
        assert len(found) == 1 + -(-(len(words) - room) // (room - shared))


def _starts(words):
    at = 0
    for word in words:
        yield at
        at += len(word) + 1


def test_a_question_is_cut_and_a_passage_is_not(model_folder):
    examples = [Example("plot " * 100, "good " * 50, "s")]
    found = questions(model_folder, examples, MOST_OF_QUESTION + 3 + 10, 0, True).windows
    assert [w.passage[1] - w.passage[0] for w in found] == [10] * 5
    with pytest.raises(SpecError, match=r"tokens: found 67, .* more than 67 would do"):
        questions(model_folder, examples, MOST_OF_QUESTION + 3, 0, True)
    with pytest.raises(SpecError, match=r"overlap: found 10, .* less than 10 would do"):
        questions(model_folder, examples, MOST_OF_QUESTION + 13, 10, True)


def test_the_likeliest_span_lies_in_the_passage_and_does_not_end_before_it_begins(model_folder):
    """Against trying all pairs, one by one."""
    reader = SpanReader(load_encoder(model_folder, "mean"))
    examples = [Example("plot", "good bad film " * n, "s") for n in (1, 2, 5, 14)]
    text = questions(model_folder, examples, 60, None, True).text
    batch = text.batch(range(4), "cpu")
    longest = int(batch.lengths.max())
    scores = torch.randn((8, longest), generator=torch.Generator().manual_seed(3))
    found = reader.found(scores, batch)
    for i, (first, stop) in enumerate(text.passages):
        begin, end = scores[2 * i], scores[2 * i + 1]
        pairs = [
            (float(begin[b] + end[e]), b, e)
            for b in range(first, stop)
            for e in range(b, min(stop, b + MOST_OF_ANSWER))
        ]
        score, b, e = max(pairs)
        none = float(begin[0] + end[0])
        assert found[i].tolist() == pytest.approx([b, e, score, none])


def test_scores_belong_to_the_tokens_of_their_window(model_folder):
    reader = SpanReader(load_encoder(model_folder, "mean")).eval()
    torch.nn.init.normal_(reader.head.weight, generator=torch.Generator().manual_seed(1))
    examples = [Example("a", "the film", "s"), Example("bad", "a", "s")]
    text = questions(model_folder, examples, 12, None, True).text
    together = reader(text.batch([0, 1], "cpu"))
    alone = reader(text.batch([1], "cpu"))
    torch.testing.assert_close(together[2:, : alone.shape[1]], alone)
    assert (together[2:, alone.shape[1] :] == NO_TOKEN).all()
    assert predictions(reader, text).shape == (2, 4)


def test_the_best_window_answers_and_all_must_like_no_answer(model_folder):
    """One question in three windows of two words; scores are given."""
    context = "good bad good film bad plot"
    example = Example("plot", context, "s", ((5, 8),))  # the first "bad"

    def answer(unanswered, *found):
        asked = questions(model_folder, [example], 6, 0, unanswered)
        found = np.array(found, np.float64)
        marks = asked.marked(found)
        return asked.answers(found)[0], bool(marks.right[0]), float(marks.numbers[0])

    first, second, third = [4, 4, 2.0, 0.0], [3, 4, 5.0, 3.0], [3, 3, 4.0, 9.0]
    assert answer(True, first, second, third) == ("good film", False, 0.0)
    assert answer(True, [4, 4, 6.0, 0.0], second, third) == ("bad", True, 1.0)
    assert answer(True, [3, 4, 6.0, 0.0], second, third) == (
        "good bad",
        False,
        pytest.approx(2 / 3),
    )
    none = [[3, 3, 1.0, 2.0], [3, 3, 1.5, 2.0], [3, 3, 1.0, 9.0]]
    assert answer(True, *none) == ("", False, 0.0)
    assert answer(False, *none)[0] == "good"


@pytest.mark.parametrize(
    ("found", "given", "f1"),
    [
        ("The Film!", "film", 1.0),
        ("a good film", "good plot", 0.5),
        ("good good", "good", 2 / 3),
        ("", "", 1.0),
        ("", "film", 0.0),
        ("the", "", 1.0),
        ("bad", "good", 0.0),
    ],
)
def test_words_are_compared_as_squad_does(found, given, f1):
    """By hand from the rules of SQuAD's script."""
    assert word_f1(normal(found), normal(given)) == pytest.approx(f1)


def test_a_span_study_learns_where_answers_lie(study, tmp_path):
    changed(study, steps=80, batch=16)
    result = StudyRun(study, tmp_path / "out").run()
    rows = result.accuracy.set_index(["arm", "time"])["accuracy_percent"]
    assert rows["digital_lora", "digital"] > 80
    assert rows["ahwa_lora", "10y"] > 60
    words = result.metrics.set_index(["arm", "time"])
    assert set(words["metric"]) == {"word_f1"}
    assert (words["percent"] >= rows).all()  # an exact answer shares all its words
    again = StudyRun(study, tmp_path / "out").run()
    assert again.metrics.equals(result.metrics)  # read from the journal


def test_answers_far_down_a_passage_are_found_in_its_windows(study, tmp_path):
    """Twenty words in front, more than a window of sixteen tokens holds."""
    (study.parent / "train.json").write_text(json.dumps(passages(160, before=20)))
    changed(study, steps=160, batch=16, times=["0s"], chips=[1])
    run = StudyRun(study, tmp_path / "out")
    assert len(run.train.labels) > 2 * 96
    result = run.run(("digital_lora",))
    assert result.accuracy["accuracy_percent"].iloc[0] > 80
    assert result.accuracy["sentences"].iloc[0] == 60


def test_a_span_study_can_be_distilled(study, tmp_path):
    arm = {"train": "lora", "learning_rate": 0.01, "noise": {"kind": "gaussian"}}
    changed(study, arms__ahwa_lora=arm | {"distill_from": "digital_lora"})
    result = StudyRun(study, tmp_path / "out").run()
    assert np.isfinite(result.training["loss"]).all()
