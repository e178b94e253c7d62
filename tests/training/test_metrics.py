"""GLUE's metrics against their definitions."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the extra adapt")

from hybridsim.training.files import Journal, Lines
from hybridsim.training.metrics import METRICS, metric_table, of_cube


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=2, max_size=60))
def test_they_are_what_their_definitions_say(pairs):
    """Matthews is the correlation of two binary numbers; F1 the harmonic mean of two shares."""
    labels, answers = np.array(pairs).T
    cube = (labels == answers)[None, None].astype(np.float64)
    f1, matthews = (of_cube(name, cube, labels)[0] / 100 for name in ("f1", "matthews"))
    hits = int(((labels == 1) & (answers == 1)).sum())
    found, wanted = int(answers.sum()), int(labels.sum())
    expected = 2 / (found / hits + wanted / hits) if hits else 0.0
    assert f1 == pytest.approx(expected)
    if labels.std() and answers.std():
        assert matthews == pytest.approx(np.corrcoef(labels, answers)[0, 1], abs=1e-9)
    else:
        assert matthews == 0


def test_means_are_over_seeds_and_chips_and_the_interval_holds_them():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 300)
    cube = (rng.random((3, 4, 300)) < 0.8).astype(np.float64)
    middle, low, high = of_cube("f1", cube, labels)
    each = [
        of_cube("f1", cube[s : s + 1, c : c + 1], labels)[0] for s in range(3) for c in range(4)
    ]
    assert middle == pytest.approx(np.mean(each))
    assert low < middle < high
    assert 3 < high - low < 12


def test_tasks_of_glue_have_their_own_and_others_none():
    labels = np.array([0, 1, 1, 0])
    right = np.array([True, True, False, True])
    correct = {("a", 1, -1, 0.0): right, ("a", 1, 1, 0.0): right, ("a", 1, 1, 3600.0): ~right}
    journal = Journal(Lines(Path("unused")), correct)
    table = metric_table(METRICS["mrpc"], journal, ["a"], labels)
    assert list(table["time"]) == ["digital", "0s", "1h"]
    assert list(table["percent"]) == pytest.approx([66.667, 66.667, 40.0], abs=1e-3)
    assert set(metric_table(METRICS["cola"], journal, ["a"], labels)["metric"]) == {"matthews"}
    assert not len(metric_table((), journal, ["a"], labels))
