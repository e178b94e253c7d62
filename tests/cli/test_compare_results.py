"""``hybridsim compare`` of two results, and run pages of the points of a sweep."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hybridsim.cli import app
from hybridsim.report.page.cells import micro
from hybridsim.report.page.sweep import pages_of

STUDY = """
name: two
question: Which batch?
machine: ahwa_lora_2026
network: layer_128x128
axes: {strategy.batch: [8, 16], tile.integration_time: [128 ns, 256 ns]}
objectives: {latency_ps: minimise, tcdm_bytes: minimise}
"""


def called(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two folders of runs, the second with a faster clock."""
    folder = tmp_path_factory.mktemp("two")
    run = ("run", "layer_128x128", "ahwa_lora_2026", "--layers-only", "--quiet", "--out")
    assert called(*run, folder / "slow").exit_code == 0
    faster = ("--set", "cluster.clock.frequency=1 GHz")
    assert called(*run, folder / "fast", *faster).exit_code == 0
    return folder / "slow", folder / "fast"


def test_two_results_are_told_in_eighty_columns(two: tuple[Path, Path]) -> None:
    told = called("compare", *two)
    assert told.exit_code == 0
    assert max(len(line) for line in told.stdout.splitlines()) <= 80
    assert told.stdout.isascii()
    assert "cluster.clock.frequency: 500 MHz -> 1 GHz" in told.stdout
    latencies = [json.loads((f / "result.json").read_text())["latency_ps"] for f in two]
    change = f"{(latencies[1] / latencies[0] - 1) * 100:+,.1f} %"
    line = next(line for line in told.stdout.splitlines() if line.startswith("latency"))
    assert line.split("us")[-1].strip() == change


def test_files_and_folders_are_the_same_result(two: tuple[Path, Path]) -> None:
    by_folder = called("compare", *two, "--json")
    by_file = called("compare", *(folder / "result.json" for folder in two), "--json")
    assert json.loads(by_folder.stdout) == json.loads(by_file.stdout)


def test_csv_has_a_row_per_layer(two: tuple[Path, Path]) -> None:
    told = called("compare", *two, "--csv").stdout.splitlines()
    assert told[0] == "name,before_ps,after_ps,change_ps"
    assert len(told) == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--strategies", "auto"), "--strategies: two results are compared as they are"),
        (("--set", "tile.rows=8"), "--set: two results"),
    ],
)
def test_what_is_for_strategies_is_refused(
    two: tuple[Path, Path], words: tuple[str, ...], says: str
) -> None:
    done = called("compare", *two, *words)
    assert done.exit_code == 2
    assert says in done.stderr


def test_a_result_beside_a_machine_is_refused(two: tuple[Path, Path]) -> None:
    done = called("compare", two[0], "ahwa_lora_2026")
    assert done.exit_code == 2
    assert "ahwa_lora_2026: is no result" in done.stderr


def test_the_best_points_have_pages_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    out = tmp_path / "out"
    done = called("sweep", tmp_path / "study.yaml", "--out", out, "--pages", 2, "--json")
    assert done.exit_code == 0, done.stderr
    pages = pages_of(out)
    assert len(pages) == 2
    best = json.loads(done.stdout)["best"]["latency_ps"][0]["latency_ps"]
    found = [json.loads((out / "points" / str(n) / "result.json").read_text()) for n in pages]
    assert best in [result["latency_ps"] for result in found]
    page = (out / "page.html").read_text(encoding="utf-8")
    assert f'"pages":{json.dumps(pages, separators=(",", ":"))}' in page
    assert called("sweep", tmp_path / "study.yaml", "--pages", 2).exit_code == 2


def test_only_amounts_have_the_sign_of_micro() -> None:
    assert micro("12.3 us, 4 uJ [us] of us, status 5 usual") == (
        "12.3 µs, 4 µJ [µs] of us, status 5 usual"
    )
