"""The parts and the strategy of ``examples/``: laws kept, and MobileBERT's answer for a reason."""

import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import hybridsim
from hybridsim import outside
from hybridsim.arch import load_machine
from hybridsim.cli import app
from hybridsim.strategies import make_strategy
from hybridsim.sweeps.inputs import read_inputs
from hybridsim.sweeps.study import read_study
from hybridsim.testing import check_part, check_strategy

EXAMPLES = Path(__file__).parents[2] / "examples"
BY_SHAPE = f"{EXAMPLES}/hybridsim_examples/by_shape.py:ByShape"
TOKENS = 32


def run(machine: str, strategy: str = "token_parallel") -> hybridsim.Result:
    network, on = hybridsim.load("mobilebert", machine)
    return hybridsim.simulate(network, on, make_strategy(strategy), tokens=TOKENS)


def test_the_parts_keep_the_laws_of_parts() -> None:
    for name in ("softmax", "macro"):
        cluster = load_machine(str(EXAMPLES / f"{name}.yaml")).cluster
        assert cluster is not None
        part = cluster.row_unit or cluster.matrix_engine
        check_part(part)  # type: ignore[arg-type]


def test_the_strategy_keeps_the_laws_of_strategies() -> None:
    check_strategy(make_strategy(BY_SHAPE))


def test_the_unit_costs_what_harp_says() -> None:
    """HARP's SFU: 3 + ceil(M N / 32) - 1, 8 + ceil(M N / 32) - 1, ceil(M N / 512) x 50 cycles."""
    cluster = load_machine(str(EXAMPLES / "softmax.yaml")).cluster
    assert cluster is not None
    unit = cluster.row_unit
    assert unit is not None
    assert unit.power == 160_000
    assert unit.cycles("softmax", 128, 128) == 3 + 512 - 1
    assert unit.cycles("gelu", 128, 3072) == 8 + 12288 - 1
    assert unit.cycles("layer_norm", 128, 768) == 192 * 50


def test_the_unit_saves_the_softmax_of_every_head_and_nothing_else() -> None:
    """Attention head after head: 24 blocks of 4 heads, each a softmax of 32 x 32."""
    paper, mine = run("ahwa_lora_2026", "serial"), run(str(EXAMPLES / "softmax.yaml"), "serial")
    cluster = load_machine("ahwa_lora_2026").cluster
    assert cluster is not None
    saved = cluster.cores.softmax_cycles(TOKENS, TOKENS, "fp16") - (3 + TOKENS * TOKENS // 32 - 1)
    assert paper.latency_ps - mine.latency_ps == 24 * 4 * cluster.to_ps(saved)


def test_the_macro_is_faster_where_the_rank_leaves_the_engine_empty() -> None:
    """X A of 512 x 128 at rank 8 fills 8 of the engine's 16 columns; the macro's rows take X."""
    paper, mine = (load_machine(m) for m in ("ahwa_lora_2026", str(EXAMPLES / "macro.yaml")))
    assert paper.cluster is not None
    assert mine.cluster is not None
    before, after = (c.engine.gemm_cycles(16, 512, 8) for c in (paper.cluster, mine.cluster))
    assert after == 512 * 1 + 2 * 16 * 16 < before
    assert run("ahwa_lora_2026").latency_ps > run(str(EXAMPLES / "macro.yaml")).latency_ps


def test_the_energy_of_the_macro_is_told_as_unknown() -> None:
    energy = run(str(EXAMPLES / "macro.yaml")).energy
    assert energy is not None
    assert "matrix_engine" in energy.not_counted


def test_the_strategy_hides_most_of_the_adapters_of_mobilebert() -> None:
    mine = run("ahwa_lora_2026", BY_SHAPE)
    assert mine.strategy == "by_shape"
    assert mine.inputs["strategy"]["kind"] == "by_shape.py:ByShape"
    assert mine.overhead_percent < run("ahwa_lora_2026").overhead_percent / 2


def test_the_chip_of_the_examples_is_a_few_lines() -> None:
    path = EXAMPLES / "chip_256.yaml"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 15
    machine = load_machine(str(path))
    assert machine.cluster is not None
    assert (machine.tile.rows, machine.cluster.count) == (256, 4)
    assert run(str(path)).crossbars > run("ahwa_lora_2026").crossbars


def test_the_key_of_a_point_covers_the_code_of_a_strategy_and_of_a_part(tmp_path: Path) -> None:
    package = tmp_path / "hybridsim_examples"
    package.mkdir()
    for path in (*EXAMPLES.glob("*.yaml"), *(EXAMPLES / "hybridsim_examples").glob("*.py")):
        folder = package if path.suffix == ".py" else tmp_path
        (folder / path.name).write_bytes(path.read_bytes())

    def keys(folder: Path) -> set[tuple[int, ...]]:
        inputs = read_inputs(read_study(folder / "outside_study.yaml"))
        return {tuple(key) for key in inputs.keys(np.arange(len(inputs))).tolist()}

    before = keys(tmp_path)
    assert before == keys(EXAMPLES)  # wherever the files lie
    file = package / "by_shape.py"
    file.write_text(file.read_text(encoding="utf-8").replace("= 16", "= 8"), encoding="utf-8")
    assert len(keys(tmp_path) - before) == 2  # of six points, those of the changed strategy
    file = package / "softmax_unit.py"
    file.write_text(file.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert keys(tmp_path).isdisjoint(before)


# --- installed ----------------------------------------------------------------------------------


def test_installed_they_are_known_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pip would install them: metadata with the entry points of their pyproject.toml."""
    project = tomllib.loads((EXAMPLES / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = tmp_path / "hybridsim_examples-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hybridsim-examples\nVersion: 0\n")
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {place}" for name, place in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for place in (tmp_path, EXAMPLES):
        monkeypatch.syspath_prepend(str(place))
    outside._of_entry_point.cache_clear()
    monkeypatch.setattr(outside, "_entry_points", outside._entry_points.__wrapped__)
    assert (
        run("ahwa_lora_2026", "by_shape").latency_ps == run("ahwa_lora_2026", BY_SHAPE).latency_ps
    )
    mine = tmp_path / "mine.yaml"
    section = {"extends": "ahwa_lora_2026", "cluster": {"row_unit": {"part": "softmax_unit"}}}
    mine.write_text(yaml.safe_dump(section), encoding="utf-8")
    assert load_machine(str(mine)).to_text()["cluster"]["row_unit"]["part"] == "softmax_unit"
    shown = CliRunner().invoke(app, ["list"]).stdout
    assert "by_shape" in shown
    assert "adapter_macro" in shown
    outside._of_entry_point.cache_clear()


@pytest.mark.slow
def test_pip_installs_them(tmp_path: Path) -> None:
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            tmp_path,
            EXAMPLES,
        ],
        check=True,
    )
    program = "import hybridsim; print(hybridsim.make_strategy('by_shape').kind)"
    root = str(EXAMPLES.parent)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": f"{tmp_path}:{root}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "by_shape\n"
