"""``--trace`` and ``--figures``: what they write, and what they refuse before any work."""

import gzip
import json
import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("explained_once")

ONE = ("layer_128x128", "ahwa_lora_2026", "--tokens", "16")
STUDY = str(Path(__file__).parents[2] / "reports" / "ahwa_lora_2026_fig4")


def test_a_trace_is_written_beside_the_answer(cli, tmp_path: Path) -> None:
    document = cli.json("run", *ONE, "--trace", str(tmp_path / "trace.json.gz"))
    trace = json.loads(gzip.decompress((tmp_path / "trace.json.gz").read_bytes()))
    assert trace["otherData"]["latency_ps"] == str(document["latency_ps"])
    assert os.listdir(tmp_path) == ["trace.json.gz"]


def test_flows_can_be_left_out(cli, tmp_path: Path) -> None:
    cli("run", *ONE, "--trace", str(tmp_path / "trace.json"), "--trace-flows", "none")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {event["ph"] for event in events} == {"M", "X", "C"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--trace", "trace.txt"), "ends in .json or .json.gz"),
        (("--trace", "no/folder/trace.json"), "give a file in one that exists"),
        (("--trace", "trace.json", "--trace-flows", "alll"), "did you mean 'all'"),
        (("--figures", "jpg", "--out", "out"), "pdf, png, svg would do"),
        (("--figures", "png"), "give --out DIR as well"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_work(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in cli.refused("run", *ONE, *arguments)
    assert os.listdir(tmp_path) == []


def test_figures_of_a_run_go_to_its_folder(cli, tmp_path: Path) -> None:
    assert cli("run", *ONE, "--out", str(tmp_path), "--figures", "svg").exit_code == 0
    names = {name for name in os.listdir(tmp_path) if name.startswith("figure_")}
    parts = ("waterfall", "layers", "utilization", "gantt", "roofline")
    assert names == {f"figure_{part}.svg" for part in parts}


def test_figures_of_a_comparison_go_to_its_folder(cli, tmp_path: Path) -> None:
    names = "token_parallel,layer_serial"
    done = cli("compare", *ONE, "--strategies", names, "--out", str(tmp_path), "--figures", "png")
    assert done.exit_code == 0
    assert {"figure_strategies.png", "figure_overheads.png"} <= set(os.listdir(tmp_path))


def test_figures_of_a_sweep_go_to_its_folder(cli, tmp_path: Path) -> None:
    done = cli("sweep", STUDY, "--out", str(tmp_path), "--figures", "pdf", "--quiet")
    assert (done.exit_code, done.stdout) == (0, "")
    assert (tmp_path / "figure_pareto.pdf").read_bytes().startswith(b"%PDF")
    again = cli("sweep", STUDY, "--out", str(tmp_path), "--json")
    assert json.loads(again.stdout)["recorded_before"] == 120


def test_a_comparison_of_whole_networks_names_their_parts(cli) -> None:
    done = cli("compare", "minilm_l6", "harp_2026", "--tokens", "16", "--strategies", "xb_pipe")
    assert done.exit_code == 0
    assert "cluster" in done.stdout.splitlines()[0]


TWO_BATCHES = """\
name: two
question: Which batch?
network: layer_128x128
machine: ahwa_lora_2026
axes: {strategy.batch: [8, 16]}
objectives: {latency_ps: minimise}
"""


def test_a_folder_of_another_kind_is_refused_untouched_and_the_same_kind_replaced(
    cli, tmp_path: Path
) -> None:
    study, run_, swept = tmp_path / "study.yaml", tmp_path / "run", tmp_path / "swept"
    study.write_text(TWO_BATCHES)
    given = ("layer_128x128", "ahwa_lora_2026")
    commands = {
        "run": ("run", *given),
        "comparison": ("compare", *given),
        "sweep": ("sweep", str(study)),
        "service": ("serve", "layer_128x128", "ahwa_lora_2026:served"),
        "design": ("design", "layer_128x128", "--base", "ahwa_lora_2026", "--runs", "3"),
        "generation": ("generate", "gpt2", "harp_2026:gpt2"),
        "codesign": ("codesign", str(study)),
    }
    for kind, folder in (("run", run_), ("sweep", swept)):
        for _ in range(2):
            assert cli(*commands[kind], "--out", str(folder), "--quiet").exit_code == 0
        before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        for other in commands:
            if other != kind:
                said = cli.refused(*commands[other], "--out", str(folder))
                assert f"holds a {kind}" in said
        assert before == {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def test_one_line_says_where_the_page_lies(cli, tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(TWO_BATCHES)
    given = ("layer_128x128", "ahwa_lora_2026")
    commands = {"run": given, "compare": (*given, "--strategies", "layer_serial"),
                "sweep": (str(study),)}  # fmt: skip
    for command, arguments in commands.items():
        out = tmp_path / command
        line = f"written   {out / 'page.html'}\n"
        assert cli(command, *arguments, "--out", str(out)).stderr == line
        for silent in ("--quiet", "--json"):
            assert cli(command, *arguments, "--out", str(out), silent).stderr == ""
