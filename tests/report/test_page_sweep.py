"""What the page of a sweep shows, before it is drawn, and the page written again."""

import re
from pathlib import Path

import pytest

from hybridsim.cli.sweep import inputs_of
from hybridsim.errors import SpecError
from hybridsim.report.page.run_page import page_of_folder
from hybridsim.report.page.sweep import MOST_NEAREST, sweep_page
from hybridsim.report.page.sweep_charts import axes_by_weight, profile, profile_chart
from hybridsim.sweeps.run import SweepResult, run_study
from tests.cli.conftest import CommandLine

STUDY = """
name: batches
question: Which batch?
machine: ahwa_lora_2026
axes:
  network: [layer_128x128, layer_512x128]
  tile.integration_time: [128 ns, 256 ns]
  cluster.clock.frequency: [250 MHz, 500 MHz]
  strategy.batch: {from: 8, to: 32, factor: 2}
per: [network, tile.integration_time]
constraints: [overhead_percent <= 900]
objectives: {latency_ps: minimise, tcdm_bytes: minimise}
"""


@pytest.fixture
def cli() -> CommandLine:
    return CommandLine()


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[SweepResult, Path]:
    folder = tmp_path_factory.mktemp("swept")
    (folder / "study.yaml").write_text(STUDY)
    return run_study(inputs_of(folder), folder / "out"), folder / "out"


def test_the_page_is_rebuilt_from_its_folder_byte_for_byte(
    swept: tuple[SweepResult, Path],
) -> None:
    result, folder = swept
    assert page_of_folder(folder) == sweep_page(result)


@pytest.mark.parametrize("spoil", ["sweep.json", "sweep.parquet", "study.json"])
def test_a_spoilt_folder_is_refused(
    swept: tuple[SweepResult, Path], spoil: str, tmp_path: Path
) -> None:
    for path in swept[1].glob("*.[jp]*"):
        (tmp_path / path.name).write_bytes(b"{}" if path.name == spoil else path.read_bytes())
    with pytest.raises(SpecError, match=spoil):
        page_of_folder(tmp_path)


@pytest.mark.parametrize("spoil", ["sweep.json", "sweep.parquet", "study.json"])
def test_a_flipped_bit_is_noticed(
    swept: tuple[SweepResult, Path], spoil: str, tmp_path: Path
) -> None:
    for path in (*swept[1].glob("s*.*"), swept[1] / "SHA256SUMS"):
        data = bytearray(path.read_bytes())
        if path.name == spoil:
            data[len(data) // 3] ^= 4
        (tmp_path / path.name).write_bytes(data)
    with pytest.raises(SpecError, match=f"{spoil}: has changed since it was written"):
        page_of_folder(tmp_path)


def test_where_nothing_is_feasible_there_is_a_page_with_what_is_missed(
    cli: CommandLine, tmp_path: Path
) -> None:
    study = STUDY.replace("<= 900", "<= 0.5")
    (tmp_path / "study.yaml").write_text(study)
    out = tmp_path / "out"
    done = cli("sweep", str(tmp_path), "--out", str(out), "--figures", "svg")
    assert done.exit_code == 0, done.stderr
    assert "0: overhead_percent <= 0.5" in done.stdout
    assert "overhead_percent <= 0.5: it has " in done.stdout
    page = (out / "page.html").read_text(encoding="utf-8")
    nearest = page[page.index("The nearest points") :]
    shown = nearest[: nearest.index("</table>")].replace("<wbr>", "")
    rows = re.findall(r"misses by ([\d.]+) %", shown)
    assert 1 < len(rows) <= MOST_NEAREST
    assert rows == sorted(rows, key=float), "the nearest first"
    assert not list(out.glob("figure_*"))


def test_a_profile_is_the_best_of_the_other_axes(swept: tuple[SweepResult, Path]) -> None:
    """By the definition, point by point."""
    result, _ = swept
    axis = axes_by_weight(result.inputs, result.table)[0]
    assert axis.name not in result.inputs.study.per
    best: dict[tuple[str, str, str], int] = {}
    for row in result.table[result.table["feasible"]].to_dict("records"):
        value = axis.labels[(axis.numbers == row[axis.column]).argmax()]
        time = f"{row['tile.integration_time_ps'] // 1000} ns"
        key = (str(row["network"]), time, value)
        best[key] = min(best.get(key, row["latency_ps"]), row["latency_ps"])
    found = profile(result.inputs, result.table, axis)
    told = {
        (case, rest, value): (ps, ratio)
        for case, rest, value, ps, ratio in zip(
            found["case"], found["rest"], found["value"], found["best"], found["ratio"],
            strict=True,
        )
    }  # fmt: skip
    assert {key: ps for key, (ps, _) in told.items()} == best
    for (case, rest, _), (ps, ratio) in told.items():
        least = min(v for (c, r, _), v in best.items() if (c, r) == (case, rest))
        assert ratio == pytest.approx(ps / least)
    assert profile_chart(result.inputs, result.table) is not None
