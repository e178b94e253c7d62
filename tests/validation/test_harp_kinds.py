"""HARP's rows kind by kind, now and before."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hybridsim.cli.validate import harp
from hybridsim.errors import SpecError
from hybridsim.validation.harp import COLUMNS
from hybridsim.validation.harp_energy import compare_energies
from hybridsim.validation.harp_kinds import ERRORS, MEASURES, errors_before, kinds, read_before
from tests.validation.test_harp_table import row, table

ROWS = (
    row(),
    row(other_params="opt_level=area_latency_balance", latency_ms="7.166274"),
    row(model="GPT2", seq_len="1", other_params="prefill=8(+1)", latency_ms="0.3"),
    row(model="BERT_B", other_params="flash=1", latency_ms="3"),
    row(config="Serial", chunk="", latency_ms="25.507772"),
    row(config="Serial", chunk="", latency_ms="51.015544", other_params="twice"),
    row(model="T5_decoder", seq_len="1", other_params=""),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return table(tmp_path_factory.mktemp("harp"), *ROWS)


def test_each_kind_has_its_errors(file: Path) -> None:
    found = kinds(compare_energies(file)).set_index("kind")
    assert list(found.columns) == list(MEASURES)
    assert found["rows"].to_dict() == {
        "xb_pipe": 1, "mapped for balance": 1, "generated tokens": 1, "flash": 1, "serial": 2,
        "not simulated": 1,
    }  # fmt: skip
    assert found["latency_worst"]["serial"] == pytest.approx(50, abs=0.001)
    assert found["latency_median"]["serial"] == pytest.approx(25, abs=0.001)
    assert found["latency_worst"]["mapped for balance"] < 0.001


def test_before_and_after_stand_beside_each_other(tmp_path: Path, file: Path) -> None:
    compared = compare_energies(file)
    earlier = tmp_path / "before.csv"
    worse = compared.assign(error_percent=compared["error_percent"] - 8.9).iloc[1:]
    worse.to_csv(earlier, index=False)
    found = kinds(compared, errors_before(read_before(earlier), compared)).set_index("kind")
    assert found["latency_worst_before"]["mapped for balance"] == pytest.approx(8.9, abs=0.01)
    assert found["latency_worst_before"].isna()["xb_pipe"]  # that table has no such row
    same = kinds(compared, compared)
    assert same["latency_worst_before"].equals(same["latency_worst"].rename(None))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("figure,model\n7,MobileBERT\n", "column seq_len, .* is missing"),
        (
            ",".join((*COLUMNS, *ERRORS)) + "\n" + ",".join([*row().values(), "far", ""]) + "\n",
            "line 2: error_percent: found 'far'; write a number of percent",
        ),
    ],
)
def test_what_is_no_earlier_comparison_is_refused(tmp_path: Path, text: str, says: str) -> None:
    earlier = tmp_path / "before.csv"
    earlier.write_text(text)
    with pytest.raises(SpecError, match=says):
        read_before(earlier)


def test_the_command_prints_kinds(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(harp)
    rows = table(tmp_path, row(), row(config="Serial", chunk="", latency_ms="25.507772"))
    before = tmp_path / "before.csv"
    run = CliRunner().invoke
    before.write_text(run(app, ["--table", str(rows), "--csv"]).stdout)
    shown = run(app, ["--table", str(rows), "--before", str(before)]).stdout
    lines = [line.split() for line in shown.splitlines()]
    assert ["serial", "1", "0.00", "0.00", "0.00", "-", "-"] in lines
    document = json.loads(run(app, ["--table", str(rows), "--json"]).stdout)
    assert [each["kind"] for each in document["kinds"]] == ["xb_pipe", "serial"]
    missing = run(app, ["--table", str(rows), "--before", "no/such.csv"])
    assert (missing.exit_code, missing.stdout) == (2, "")
    assert "no/such.csv: does not exist" in missing.stderr
