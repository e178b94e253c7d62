"""Ways in of commands that ask of results, studies and tables, given hostile versions of them.

As in :mod:`tests.boundary.test_fuzz`: an answer, or one sentence; nothing else.
"""

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from hybridsim.arch import load_machine
from hybridsim.cli import app
from hybridsim.cost import QUESTIONS
from hybridsim.designs.evidence import read_evidence
from hybridsim.designs.limits import parse_limits, parse_objectives
from hybridsim.errors import InputError
from hybridsim.estimates import Settings, estimate
from hybridsim.library import network_path
from hybridsim.training.decoder_study import read_decoder_study
from hybridsim.training.language_study import read_language_study
from hybridsim.training.recalibration_study import read_recalibration_study
from hybridsim.training.sensitivity_study import read_sensitivity_study
from hybridsim.training.study import read_adapt_study
from hybridsim.workload import load_network
from tests.boundary import test_fuzz
from tests.boundary.hostile import WORST, changed, json_files, scratched, yaml_files
from tests.boundary.test_fuzz import fuzz, run_folder, written

place = test_fuzz.place
__all__ = ["place", "run_folder"]

ROOT = Path(__file__).parents[2]
WORSE = [str(worst) for worst in WORST if worst is not None]
values = st.sampled_from(WORSE) | st.text(max_size=12)


def asked(*words: str) -> Result:
    """What a command answers: never a traceback, and no escape of somebody else's."""
    done = CliRunner().invoke(app, [*words])
    assert done.exception is None or isinstance(done.exception, SystemExit), words
    assert done.exit_code in (0, 1, 2), words
    assert "Traceback" not in done.output
    assert "\x1b[31m" not in done.output
    return done


STUDIES: dict[str, Callable[[Path], object]] = {
    "recalibration/movie.yaml": read_recalibration_study,
    "sensitivity/movie.yaml": read_sensitivity_study,
    "adapt_methods/study.yaml": read_adapt_study,
    "adapt_decoder/study.yaml": read_decoder_study,
}


@fuzz
@given(data=st.data())
@pytest.mark.parametrize("name", STUDIES)
def test_studies_of_training(place: Path, name: str, data: st.DataObject) -> None:
    document = yaml.safe_load((ROOT / "reports" / name).read_text())
    path = written(place / "study.yaml", data.draw(yaml_files(document)))
    with contextlib.suppress(InputError):
        STUDIES[name](path)


@fuzz
@given(data=st.data())
def test_studies_of_language(place: Path, data: st.DataObject) -> None:
    files = sorted(path for path in (ROOT / "reports").rglob("*.yaml")
                   if b"\nlanguage:" in path.read_bytes())  # fmt: skip
    document = yaml.safe_load(data.draw(st.sampled_from(files)).read_text())
    path = written(place / "study.yaml", data.draw(yaml_files(document)))
    with contextlib.suppress(InputError):
        read_language_study(path)


@fuzz
@given(data=st.data())
def test_sensitivities(place: Path, data: st.DataObject) -> None:
    known = (ROOT / "reports/sensitivity/results/movie/sensitivity.json").read_bytes()
    path = written(place / "sensitivity.json", data.draw(json_files(json.loads(known))))
    with contextlib.suppress(InputError):
        read_evidence([path], 3.15e8, load_network(network_path("minilm_l6")))


SPACE = {
    "strategy": {"kind": "token_parallel"}, "set": {"link.width": "64 B/cycle"},
    "axes": {"strategy.batch": [2, 4], "tile.integration_time": ["128 ns", "256 ns"]},
}  # fmt: skip


@fuzz
@given(data=st.data())
def test_spaces(place: Path, data: st.DataObject) -> None:
    path = written(place / "space.yaml", data.draw(yaml_files(SPACE)))
    asked("design", "layer_128x128", "--base", "ahwa_lora_2026", "--space", str(path), "--runs",
          "3", "--time", "2s", "--tokens", "4", "--layers-only", "--quiet")  # fmt: skip


@fuzz
@given(
    limits=st.lists(
        st.tuples(st.sampled_from(("area", "latency", "accuracy", "energy_pj", "x", "")),
                  st.sampled_from(("<=", ">", "==", "", " ")), values,
                  st.sampled_from(("", " mm2", " us", " %", " points @ 10y", " % @ -1y"))),
        min_size=1, max_size=3),
    names=st.lists(st.sampled_from(("latency", "energy", "accuracy", "area", "x", "")) | values,
                   max_size=3),
)  # fmt: skip
def test_limits(limits: list[tuple[str, str, str, str]], names: list[str]) -> None:
    with contextlib.suppress(InputError):
        parse_limits("".join(limit) for limit in limits)
    with contextlib.suppress(InputError):
        parse_objectives(names[:2], names[2:])


@fuzz
@given(
    words=st.lists(st.tuples(st.sampled_from(("--minimise", "--maximise", "--limit", "--set",
                                              "--tokens", "--seed", "--space", "--evidence")),
                             values), max_size=2),
    ends=st.sampled_from(((("--time", "1s"), "--runs"), (("--runs", "2"), "--time"))),
    until=values,
)  # fmt: skip
def test_options_of_designs(
    place: Path, words: list[tuple[str, str]], ends: tuple[tuple[str, str], str], until: str
) -> None:
    given_ = [word for pair in words for word in pair]
    held, other = ends  # one of the two ends it
    asked("design", "layer_128x128", "--base", "ahwa_lora_2026", "--layers-only", "--tokens", "4",
          "--quiet", *given_, other, until, *held)  # fmt: skip


@fuzz
@given(data=st.data())
def test_two_results(run_folder: Path, data: st.DataObject) -> None:
    document = json.loads((run_folder / "result.json").read_bytes())
    folder = run_folder.parent / "other"
    folder.mkdir(exist_ok=True)
    (folder / "result.json").write_bytes(data.draw(json_files(document)))
    (folder / "timeline.npz").write_bytes((run_folder / "timeline.npz").read_bytes())
    asked("compare", str(run_folder), str(folder), "--out", str(run_folder.parent / "differs"),
          data.draw(st.sampled_from(("--json", "--csv", "--quiet"))))  # fmt: skip


def tables() -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Measured tables: name, columns, and a few rows of each."""
    for path in sorted((ROOT / "arch_configs").glob("*/cycles/*.csv")):
        head, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
        yield path.stem, head, rows[:: max(1, len(rows) // 5)]


TABLES = {name: (head, rows) for name, head, rows in tables()}


@fuzz
@given(data=st.data())
@pytest.mark.parametrize("name", TABLES)
def test_measured_tables(place: Path, name: str, data: st.DataObject) -> None:
    head, rows = TABLES[name]
    found = data.draw(changed([head, *rows]))
    held = io.StringIO()
    writer = csv.writer(held)
    for row in found if isinstance(found, list) else []:
        writer.writerow(row if isinstance(row, list) else [row])
    raw = held.getvalue().encode("utf-8", "surrogatepass")
    raw = data.draw(scratched(raw)) if data.draw(st.integers(0, 3)) == 0 else raw
    path = written(place / "rows.csv", raw)
    options = data.draw(st.sampled_from(((), ("--json",), ("--csv",), ("--intervals",))))
    asked("validate", "rtl", "--table", str(path), *options)


ARGUMENTS = ("m", "n", "k", "bytes", "tokens", "rows", "columns", "in", "out", "rank", "cores",
             "elements", "unit", "way", "heads", "past", "x")  # fmt: skip


@fuzz
@given(
    operation=st.sampled_from([(part, operation) for part in QUESTIONS
                               for operation in (*QUESTIONS[part], "x")]),
    given_=st.lists(st.tuples(st.sampled_from(ARGUMENTS), values), max_size=4),
    json_=st.booleans(),
)  # fmt: skip
def test_costs(operation: tuple[str, str], given_: list[tuple[str, str]], json_: bool) -> None:
    words = [f"{name}={value}" for name, value in given_]
    asked("cost", "ahwa_lora_2026", *operation, *words, *(["--json"] if json_ else []))


@fuzz
@given(raw=scratched(b"m,n,k\n8,16,8\n128,512,8\n"), other=values)
def test_tables_of_costs(place: Path, raw: bytes, other: str) -> None:
    path = written(place / "jobs.csv", raw.replace(b"16", other.encode("utf-8", "replace"), 1))
    asked("cost", "ahwa_lora_2026", "matrix_engine", "gemm", "--table", str(path))


@fuzz
@given(tasks=st.lists(values | st.integers(-1, 70).map(str), min_size=1, max_size=3),
       setting=st.sampled_from(("tile.rows", "adapters.rank", "strategy.batch", "x")),
       value=values)  # fmt: skip
def test_alternatives(place: Path, tasks: list[str], setting: str, value: str) -> None:
    asked("alternatives", "layer_128x128", "ahwa_lora_2026", "--tokens", "4",
          f"--tasks={','.join(tasks)}", "--json")  # fmt: skip
    asked("alternatives", "layer_128x128", "ahwa_lora_2026", "--tokens", "4", "--tasks", "1,2",
          "--set", f"{setting}={value}", "--csv")  # fmt: skip


@fuzz
@given(data=st.data(), node=st.integers(7, 180), bits=st.integers(1, 16))
def test_estimates(place: Path, data: st.DataObject, node: int, bits: int) -> None:
    document = data.draw(st.sampled_from([*test_fuzz.MACHINE.values()]))
    path = written(place / "machine.yaml", data.draw(yaml_files(document)))
    with contextlib.suppress(InputError):
        estimate(load_machine(str(path)), Settings(node, bits, "hbm2"))


@fuzz
@given(name=values, like=values)
def test_new_machines(place: Path, name: str, like: str) -> None:
    asked("machine", "new", f"new_{name}", "--like", like)
    asked("machine", "estimate", like, f"new_{name}")


@fuzz
@given(command=st.sampled_from(("recalibrate", "sensitivity", "adapt")), study=values,
       out=values)  # fmt: skip
def test_paths_of_studies(place: Path, command: str, study: str, out: str) -> None:
    pytest.importorskip("torch")
    asked(command, study, "--out", f"out_{out}")
