"""Ratings in place of classes: what they are, how they are judged, and that they are learned."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.conftest import changed

torch = pytest.importorskip("torch", reason="needs the extra adapt")
stats = pytest.importorskip("scipy.stats")

from hybridsim.errors import SpecError  # noqa: E402
from hybridsim.training.classifier import Rater  # noqa: E402
from hybridsim.training.encoder import load_encoder  # noqa: E402
from hybridsim.training.metrics import of_cube  # noqa: E402
from hybridsim.training.run import StudyRun  # noqa: E402


@pytest.fixture
def study(study_file, model_folder):
    """The rating is 2 and half a point for each word of praise, less half for each of blame."""
    (study_file.parent / "model").symlink_to(model_folder)
    rng = np.random.default_rng(3)
    praise = {"good": 0.5, "fine": 0.5, "bad": -0.5, "poor": -0.5, "film": 0.0, "the": 0.0}
    rows = ["text,label"]
    for _ in range(160):
        words = rng.choice(list(praise), 5).tolist()
        rows.append(f"{' '.join(words)},{2 + sum(praise[word] for word in words)}")
    (study_file.parent / "table.csv").write_text("\n".join(rows) + "\n")
    return changed(study_file, data__source__rated=True, data__train=100, data__test=50)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=60))
def test_correlations_are_those_of_scipy(pairs):
    labels, answers = np.array(pairs, np.float64).T
    for name, of in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
        found, low, high = of_cube(name, answers[None, None], labels)
        if labels.std() and answers.std():
            assert found / 100 == pytest.approx(of(labels, answers).statistic, abs=1e-9)
        else:
            assert found == 0
        assert -100 - 1e-6 <= low <= high <= 100 + 1e-6


def test_an_interval_holds_its_middle_and_is_that_of_fisher():
    """Of 400 independent pairs with a correlation of 0.8: Fisher's z has 1 / sqrt(397)."""
    rng = np.random.default_rng(1)
    labels = rng.standard_normal(400)
    answers = 0.8 * labels + 0.6 * rng.standard_normal(400)
    middle, low, high = of_cube("pearson", answers[None, None], labels)
    ends = 100 * np.tanh(np.arctanh(middle / 100) + 1.96 / np.sqrt(397) * np.array([-1, 1]))
    assert (low, high) == pytest.approx(tuple(ends), abs=1.5)


def test_a_rater_starts_at_the_mean_and_learns_in_deviations(model_folder):
    rater = Rater(load_encoder(model_folder, "mean"), 2.5, 1.5)
    ratings = torch.tensor([1.0, 4.0], dtype=torch.float64)
    logits = torch.zeros((2, 1))
    assert rater.found(logits, None).tolist() == [2.5, 2.5]
    assert float(rater.loss(logits, ratings)) == pytest.approx(1.0)
    assert rater.agreement(logits, ratings) == 0.0
    assert rater.agreement(torch.tensor([[-1.0], [1.0]]), ratings) == pytest.approx(1.0)
    assert float(rater.distance(logits, torch.ones((2, 1)))) == 1.0


def test_ratings_are_learned_and_judged_by_correlation(study, tmp_path):
    changed(study, steps=80, batch=16)
    result = StudyRun(study, tmp_path / "out").run()
    found = result.metrics.set_index(["metric", "arm", "time"])["percent"]
    assert found["pearson", "digital_lora", "digital"] > 85
    assert found["spearman", "ahwa_lora", "10y"] > 60
    assert "within 10 % of the range" in " ".join(result.notes)
    again = StudyRun(study, tmp_path / "out").run()
    assert again.metrics.equals(result.metrics)  # read from the journal


def test_a_rating_within_a_tenth_of_the_range_is_right(study, tmp_path):
    run = StudyRun(study, tmp_path / "out")
    ratings = run.split.ratings(run.split.train)
    near = 0.1 * (ratings.max() - ratings.min())
    exact = run.test.labels
    assert run.test.marked(exact + 0.99 * near).right.all()
    assert not run.test.marked(exact - 1.01 * near).right.any()


def test_ratings_can_be_distilled(study, tmp_path):
    arm = {"train": "lora", "learning_rate": 0.01, "noise": {"kind": "gaussian"}}
    changed(study, arms__ahwa_lora=arm | {"distill_from": "digital_lora"})
    result = StudyRun(study, tmp_path / "out").run()
    assert np.isfinite(result.training["loss"]).all()


@pytest.mark.parametrize(("label", "said"), [("many", "'many'"), ("nan", "'nan'")])
def test_what_is_no_rating_is_refused(study, tmp_path, label, said):
    table = study.parent / "table.csv"
    table.write_text(table.read_text() + f"a film,{label}\n" * 200)
    with pytest.raises(SpecError, match=f"found the rating {said}; a number would do"):
        StudyRun(study, tmp_path / "out")


def test_ratings_that_are_all_the_same_are_refused(study, tmp_path):
    table = study.parent / "table.csv"
    table.write_text("text,label\n" + "a film,3\n" * 200)
    with pytest.raises(SpecError, match="all ratings are the same"):
        StudyRun(study, tmp_path / "out")
