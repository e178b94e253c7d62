import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra adapt")

from hybridsim.errors import InputError
from hybridsim.training.answers import (
    accuracy_table,
    as_markdown,
    cube_of,
    difference_table,
)
from hybridsim.training.files import DIGITAL, Journal
from hybridsim.training.intervals import t_interval
from hybridsim.training.marks import Marks

ARMS = {"a": "a", "b": "b"}
SENTENCES = 400


def journal(accuracies, seeds=3, chips=5):
    """Random right and wrong answers of given probability, per arm."""
    rng = np.random.default_rng(3)
    correct = {}
    for arm, share in accuracies.items():
        for seed in range(seeds):
            correct[arm, seed, DIGITAL, 0.0] = rng.random(SENTENCES) < share
            for chip in range(chips):
                correct[arm, seed, chip, 3600.0] = rng.random(SENTENCES) < share
    return correct


def test_means_and_counts():
    correct = journal({"a": 0.8})
    table = accuracy_table(correct, {"a": "a"}).set_index("time")
    every = [100 * v.mean() for k, v in correct.items() if k[2] != DIGITAL]
    assert table.loc["1h", "accuracy_percent"] == pytest.approx(np.mean(every), abs=1e-3)
    assert table.loc["1h", ["seeds", "chips", "sentences"]].tolist() == [3, 5, SENTENCES]
    assert table.loc["digital", "chips"] == 0
    low, high = table.loc["1h", "ci95_low"], table.loc["1h", "ci95_high"]
    assert low < np.mean(every) < high


def test_the_interval_of_sentences_alone_is_the_binomial_one():
    """With one seed and one chip only sentences are redrawn: +-1.96 sqrt(p (1 - p) / n)."""
    table = accuracy_table(journal({"a": 0.7}, seeds=1, chips=1), {"a": "a"})
    row = table[table["time"] == "1h"].iloc[0]
    p = row.accuracy_percent / 100
    expected = 2 * 1.96 * 100 * np.sqrt(p * (1 - p) / SENTENCES)
    assert row.ci95_high - row.ci95_low == pytest.approx(expected, rel=0.1)


def test_arms_on_other_chips_are_not_compared_on_the_same_ones():
    """One that went on to more chips waits for the other; digitally they compare all the while."""
    more, fewer = journal({"a": 0.8}, chips=5), journal({"b": 0.6}, chips=3)
    against = difference_table(more | fewer, ARMS, ("a",)).set_index(["arm", "time"])["against"]
    assert list(against.loc["b"].loc[["1h"]]) == ["a, digital"]


def test_a_real_difference_is_significant_and_none_is_not():
    table = difference_table(journal({"a": 0.8, "b": 0.6}), ARMS, ("a",)).set_index(
        ["arm", "time", "against"]
    )
    row = table.loc["b", "1h", "a, same chips"]
    assert row.significant
    assert row.difference_points == pytest.approx(-20, abs=4)
    equal = journal({"a": 0.8})
    equal |= {("b", *k[1:]): v for k, v in equal.items()}
    table = difference_table(equal, ARMS, ("a",)).set_index(["arm", "time", "against"])
    assert not table.loc["b", "1h", "a, same chips"].significant
    assert table.loc["b", "1h", "a, same chips"].ci95_high == 0  # nothing differs
    assert table.loc["b", "1h", "a, same chips"].boot95_high == 0  # the same draws on both sides


def test_the_control_is_compared_with_itself_on_chips_only():
    table = difference_table(journal({"a": 0.8, "b": 0.6}), ARMS, ("a",))
    own = table[table["arm"] == "a"]
    assert own[["time", "against"]].to_numpy().tolist() == [["1h", "a, digital"]]


def test_an_unfinished_arm_is_left_out():
    correct = journal({"a": 0.8})
    del correct["a", 2, 4, 3600.0]
    assert cube_of(correct, "a", 3600.0) is None
    assert accuracy_table(correct, {"a": "a"})["time"].tolist() == ["digital"]


def test_the_table_in_markdown_has_a_row_per_arm():
    lines = as_markdown(accuracy_table(journal({"a": 0.8, "b": 0.6}), ARMS)).splitlines()
    assert lines[0] == "| arm | digital | 1h |"
    assert len(lines) == 4


def test_arms_are_compared_with_every_control():
    correct = journal({"a": 0.8, "b": 0.6})
    table = difference_table(correct, ARMS, ("a", "b"))
    assert set(table["against"]) == {
        f"{c}, {how}" for c in "ab" for how in ("digital", "same chips")
    }
    one = difference_table(correct, ARMS, ("b",))
    alone = table[table["against"].str.startswith("b")].reset_index(drop=True)
    assert alone.equals(one)


def test_a_time_that_is_tested_in_part_waits_for_the_rest():
    correct = journal({"a": 0.8})
    for chip in range(3):
        correct["a", 0, chip, 7200.0] = np.ones(SENTENCES, bool)
    assert cube_of(correct, "a", 7200.0) is None
    assert set(accuracy_table(correct, {"a": "a"})["time"]) == {"digital", "1h"}


def test_forty_of_forty_is_no_certainty():
    """Wilson: the lower end of 40 of 40 is n / (n + z^2), 91.2 %, however many chips agree."""
    correct = {("a", seed, DIGITAL, 0.0): np.ones(40, bool) for seed in range(3)}
    row = accuracy_table(correct, {"a": "a"}).iloc[0]
    assert row.ci95_low == pytest.approx(100 * 40 / (40 + 1.959964**2), abs=1e-3)
    assert row.ci95_high == 100


def test_the_t_interval_of_seeds_alone_is_that_of_student():
    """Seeds that differ, and sentences that do not: s / sqrt(3) x 4.303, the quantile of 2."""
    shares = (0.5, 0.6, 0.7)
    cube = np.tile(np.array(shares)[:, None, None], (1, 1, 50))
    low, high = t_interval(cube)
    reach = 4.302653 * 100 * np.std(shares, ddof=1) / np.sqrt(3)
    assert (low, high) == pytest.approx((60 - reach, 60 + reach), rel=1e-5)


def test_the_t_interval_covers_what_it_claims():
    """Random seeds, chips and sentences around a known mean: at least 93 of 100 intervals."""
    rng = np.random.default_rng(11)
    hits = 0
    for _ in range(400):
        seeds, chips = rng.normal(0, 0.02, (3, 1, 1)), rng.normal(0, 0.01, (1, 5, 1))
        sentences = rng.normal(0, 0.4, (1, 1, 300))
        cube = 0.8 + seeds + chips + sentences + rng.normal(0, 0.3, (3, 5, 300))
        low, high = t_interval(cube)
        hits += low <= 80 <= high
    assert hits >= 0.93 * 400


@pytest.mark.parametrize("byte", [b"\xe9", b"\x00", b"x"])
def test_a_journal_with_another_byte_is_refused_whatever_the_byte(tmp_path, byte):
    Journal.open(tmp_path, {"study": {}}).add(("a", 1, DIGITAL, 0.0), Marks(np.ones(40, np.bool_)))
    file = tmp_path / "journal.jsonl"
    raw = file.read_bytes()
    for at in (3, len(raw) // 2, len(raw) - 3):
        file.write_bytes(raw[:at] + byte + raw[at + 1 :])
        with pytest.raises(InputError, match="line 1 is broken; delete the line"):
            Journal.open(tmp_path, {"study": {}})
