"""Every command that says something says it as JSON, and its answer is what its schema tells."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from hybridsim.cli import app
from hybridsim.reference import ANSWERS, names_of_schemas
from tests.schemas import broken

ROOT = Path(__file__).parents[2]
RUN = "layer_128x128 ahwa_lora_2026 --tokens 16"
STUDY = """
name: small
machine: ahwa_lora_2026
network: layer_128x128
tokens: 16
axes: {tile.integration_time: [128 ns, 256 ns], strategy.batch: [4, 8]}
objectives: {latency_ps: minimise}
"""
REFUSING = STUDY.replace("small", "refusing") + "constraints: [latency_ps <= 1 ns]\n"
COMMANDS = {
    "result": [f"run {RUN} --out run", f"run {RUN} --analog-noise t=1y"],
    "comparison": [
        f"compare {RUN}",
        "compare minilm_l6 harp_2026 --tokens 8 --strategies xb_pipe,network",
    ],
    "difference": ["compare run run"],
    "explanation": [
        f"explain --run {RUN}",
        "explain --run layer_128x128 harp_2026 --tokens 4 --strategy xb_pipe",
    ],
    "generation": ["generate gpt2 harp_2026:gpt2 --prompt 2 --new 1 --no-adapters"],
    "cost": [
        "cost ahwa_lora_2026 matrix_engine gemm m=128 n=512 k=8",
        "cost ahwa_lora_2026 tcdm lora in=512 out=128 rank=8 tokens=128",
        "cost ahwa_lora_2026 tile mvm in=512 out=128",
        "cost ahwa_lora_2026 energy lora in=512 out=128 rank=8 tokens=32",
        "cost ahwa_lora_2026 cluster lora in=512 out=128 rank=8 tokens=32",
    ],
    "show": ["show ahwa_lora_2026", "show vit_b_16", "show --diff ahwa_lora_2026 harp_2026"],
    "list": ["list"],
    "machine-file": ["machine new mine.yaml", "machine estimate harp_2026 more.yaml"],
    "sweep": [
        "sweep study.yaml --audit 50%",
        "sweep refusing.yaml",
        "sweep study.yaml --dry-run",
        "sweep study.yaml --sample 8",
        "sweep study.yaml --shard 1/1 --out shard",
        "sweep merge merged shard",
    ],
    "search": ["search study.yaml --trials 2"],
    "design": [
        "design layer_128x128 --base ahwa_lora_2026 --limit 'latency_ps <= 40 us' --runs 4"
        " --tokens 16 --layers-only",
    ],
    "service": ["serve layer_128x128 ahwa_lora_2026:served --tokens 16 --count 20"],
    "alternatives": ["alternatives layer_128x128 ahwa_lora_2026 --tokens 16 --tasks 1,2"],
    "validate-harp": ["validate harp --table harp.csv"],
    "validate-rtl": ["validate rtl --table dma.csv", "validate rtl --table dma.csv --intervals"],
    "page": ["report run"],
    "doctor": ["doctor"],
    "warm-up": ["warm-up"],
}
"""Answer -> commands that give it; they may use what those above wrote."""
ELSEWHERE = {
    "adapt-answer": "tests/training/test_run.py",
    "recalibrate-answer": "tests/training/test_recalibration.py",
    "sensitivity-answer": "tests/training/test_sensitivity.py",
    "codesign-answer": "tests/codesign/test_codesign.py",
    "validate-paper": "tests/cli/test_validate.py",
}
"""Answers that take longer, or torch, and where they are held to their schema."""
SILENT = {"mcp": "answers by the protocol", "schema": "is JSON with or without"}
"""Commands without an answer of their own."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small studies and tables."""
    place = tmp_path_factory.mktemp("answers")
    (place / "study.yaml").write_text(STUDY, encoding="utf-8")
    (place / "refusing.yaml").write_text(REFUSING, encoding="utf-8")
    machines = ROOT / "arch_configs"
    for name, path, rows in (
        ("harp.csv", machines / "harp_2026/results/harp_results.csv", 3),
        ("dma.csv", machines / "ahwa_lora_2026/cycles/snitch_kernels.csv", 12),
    ):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        told = [line for line in lines if not line.startswith("#")]
        (place / name).write_text("".join(told[: rows + 1]), encoding="utf-8")
    return place


LONGER = {"design", "warm-up"}
"""Answers that take seconds each: searched, and compiled."""
EXAMPLES = [
    pytest.param(answer, line, marks=[pytest.mark.slow] if answer in LONGER else [])
    for answer, commands in COMMANDS.items()
    for line in commands
]


@pytest.mark.parametrize(("answer", "line"), EXAMPLES)
def test_an_answer_is_what_its_schema_tells(
    answer: str, line: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(app, [*shlex.split(line), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    assert broken(answer, json.loads(done.stdout)) == []
    assert line.startswith(ANSWERS[answer][0].partition(" A B")[0])


def commands_of(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command with its words."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        own = getattr(command, "command", command)
        words = f"{above} {name}".strip()
        if hasattr(own, "commands"):
            yield from commands_of(own, words)
        else:
            yield words, own


def test_every_command_speaks_json_and_its_answer_has_a_schema() -> None:
    told = {command for command, _ in ANSWERS.values()}
    found = dict(commands_of(typer.main.get_command(app)))
    for words, command in found.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert "--json" in options or words == "mcp", words
        assert {words, words.partition(" ")[0]} & (told | set(SILENT)), words
    assert len(found) > 20


def test_every_answer_is_held_to_its_schema_somewhere() -> None:
    assert set(COMMANDS) | set(ELSEWHERE) == set(ANSWERS)
    for answer, file in ELSEWHERE.items():
        assert f'"{answer}"' in (ROOT / file).read_text(encoding="utf-8")


def test_schema_names_all_there_are() -> None:
    listed = CliRunner().invoke(app, ["schema"], env={"COLUMNS": "80"}).stdout
    assert all(name in listed for name in names_of_schemas())
    assert json.loads(CliRunner().invoke(app, ["schema", "--json"]).stdout) == names_of_schemas()
