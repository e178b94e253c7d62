"""Pages of recalibration and sensitivity: tables and claims are those of the results."""

import base64
import importlib.util
import json
from pathlib import Path

import pandas as pd
import pytest

from tests.schemas import broken

ROOT = Path(__file__).parents[2]
REPORTS = ROOT / "reports"
RECALIBRATED = sorted(REPORTS.glob("recalibration/results/*"))
SENSITIVE = sorted(REPORTS.glob("sensitivity/results/*"))


def test_the_tables_of_both_pages_are_those_of_the_results() -> None:
    """Run ``python docs/generate_recalibration.py`` where they are not."""
    file = ROOT / "docs" / "generate_recalibration.py"
    spec = importlib.util.spec_from_file_location("pages", file)
    assert spec is not None
    assert spec.loader is not None
    pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pages)
    for name, text in pages.pages().items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == text


@pytest.mark.parametrize("folder", RECALIBRATED, ids=lambda folder: folder.name)
def test_every_gain_can_be_computed_again_from_the_journal(folder: Path) -> None:
    table = pd.read_csv(folder / "recalibration.csv")
    lines = (folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    journal = pd.DataFrame(map(json.loads, lines))
    kl = journal.fillna({"event": -1.0}).groupby(["seconds", "event"])["kl"].mean()
    assert sorted(table["kl"]) == pytest.approx(sorted(kl), abs=1e-5)
    fresh = table[table["corrected_at"] == table["time"]].set_index("time")["kl"]
    never = table[table["corrected_at"] == "never"].set_index("time")["kl"]
    assert (fresh < never[fresh.index]).all()  # a fresh correction brings outputs nearer


@pytest.mark.parametrize("folder", SENSITIVE, ids=lambda folder: folder.name)
def test_the_stated_errors_are_those_of_the_checks(folder: Path) -> None:
    document = json.loads((folder / "sensitivity.json").read_text(encoding="utf-8"))
    assert broken("sensitivity-answer", document) == []
    checks = pd.read_csv(folder / "checks.csv")
    for condition in document["conditions"]:
        own = checks[checks["adc_bits"] == condition["adc_bits"]]
        assert len(own) == condition["checked_on"]
        flips = (own["flips_percent"] - own["flips_predicted"]).abs().mean()
        assert condition["error_flips"] == pytest.approx(flips, abs=1e-3)
        summed = sum(condition["kl"].values())
        assert summed == pytest.approx(condition["all_on_tiles"]["kl"], rel=1e-3)


@pytest.mark.parametrize("study", ["decoder_rewards", "decoder_gym"])
def test_every_reward_can_be_computed_again_from_the_journal(study: str) -> None:
    """What is neither nothing nor all is written out beside which answers are right."""
    folder = REPORTS / study / "results"
    table = pd.read_csv(folder / "rewards.csv")
    lines = (folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    journal = pd.DataFrame(map(json.loads, lines))
    bits = [base64.b64decode(text) for text in journal["right"]]
    right = [sum(byte.bit_count() for byte in each) for each in bits]
    graded = journal.get("rewards", pd.Series([None] * len(journal)))
    pairs = zip(graded, right, strict=True)
    journal["right"] = [sum(own) if isinstance(own, list) else count for own, count in pairs]
    both = journal.groupby(["adapter", "time"])[["right", "questions"]].sum()
    percent = 100 * both["right"] / both["questions"]
    told = table.set_index(["adapter", "time"])["reward_percent"]
    assert percent.to_dict() == pytest.approx(told.to_dict(), abs=0.005)
