"""Whatever is read passes the boundary: by the package's source, and by what commands open."""

import ast
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import hybridsim
from hybridsim.cli import app

ROOT = Path(hybridsim.__file__).parent

METHODS = {"read_text", "read_bytes", "read_csv", "read_parquet", "read_json", "read_table",
           "loadtxt", "genfromtxt", "fromfile", "memmap", "getenv"}  # fmt: skip
"""Methods and functions of others that read a file, or the environment."""
FUNCTIONS = {"open", "input", "eval", "exec", "load_file", "safe_open", "literal_eval"}
"""What is called by its bare name."""
OF_MODULES = {
    "load": {"json", "np", "numpy", "yaml", "onnx", "pickle", "torch", "marshal"},
    "loads": {"json", "pickle", "marshal"},
    "open": {"os", "io", "gzip", "tarfile", "bz2", "lzma", "codecs", "path", "file", "archive"},
    "ZipFile": {"zipfile"},
}
"""What reads something where it belongs to one of these."""
GIVEN = {"environ", "environb", "stdin"}
"""Attributes that are what is read."""
OWN = {
    "agents.asking": "the environment, handed on to the command that is asked",
    "cli.list": "names of the package's own strategies",
    "compiling": "fingerprint of the package's own source",
    "library": "names of the bundled networks",
    "machine_code._shipped": "machine code that comes with the package",
    "caches": "the environment, for the folder of caches; a bad one is left",
    "machine_code.functions": "fingerprint of the package's own source",
    "machine_code.ship": "the environment of who makes a release",
    "testing": "a part of one's own, copied",
    "components.redmule_replay": "fingerprint of the package's own source",
    "components.redmule_replayed": "tables that come with the package",
    "report.page.shell": "templates of the package",
    "cli._terminal": "nothing: what leads nowhere is opened for writing",
    "nesting": "the parser behind the boundary, once the depth is known",
    "sweeps.evaluate": "what the program sent to a worker of its own",
    "sweeps.model_version": "fingerprint of the package's own source",
    "_old_names": "modules of the package",
    "described": "docstrings of the package's own source",
}
"""Modules that read what belongs to the package."""
OTHERS = {
    "__main__": "a default for a library's variable, which a person's own goes before",
    "codesign.results": "bytes that have passed the boundary",
    "report.page.comparison": "bytes that have passed the boundary",
    "report.page.difference": "bytes that have passed the boundary",
    "report.page.recording": "bytes that have passed the boundary",
    "report.page.sweep": "bytes that have passed the boundary",
    "training.checkpoints": "a checkpoint, whose checksum is verified first",
    "training.corpora": "archives of corpora, within budgets of their own",
    "training.data": "archives and tables of examples",
    "training.decoder": "weights of a model: safetensors checks the sizes",
    "training.decoder_run": "bytes that have passed the boundary, and the digest of weights",
    "training.encoder": "weights of a model: safetensors checks the sizes",
    "training.language_run": "the digest of weights",
    "training.llama": "weights of a model: safetensors checks the sizes",
    "training.files": "a journal that is added to, each line with a checksum",
    "training.reward_run": "the digest of weights, and bytes that have passed the boundary",
    "training.run": "the digest of weights",
    "outside": "code that a person named, once its content is known",
    "service.tensors": "shapes of an adapter, its header within a budget, its sum verified",
    "service.peft": "shapes of an adapter: safetensors checks the sizes",
    "workload.onnx_import.stored": "constants of a model, within budgets of their own",
    "service.traces": "a trace of any length, line by line, each within a budget",
    "sweeps.answer_files": "bytes that have passed the boundary",
    "sweeps.journal": "who holds a folder, and records of earlier releases",
    "sweeps.parts": "points as they were computed, with checksums of their own",
    "workload.onnx_import.file": "a model of ONNX, within budgets of its own",
}
"""Modules that read what comes from outside in a form that the boundary has no reader for."""


_READING = re.compile(rf"\b(?:{'|'.join([*METHODS, *FUNCTIONS, *OF_MODULES, *GIVEN])})\b")


def reads(source: str) -> Iterator[str]:
    """Yield the names in a module that read something that is not the boundary's own."""
    if not _READING.search(source):
        return  # no need to parse it
    tree = ast.parse(source)
    ours = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hybridsim")
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in GIVEN:
            yield node.attr
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id in FUNCTIONS | METHODS - ours:
            yield called.id
        if isinstance(called, ast.Attribute):
            owner = getattr(called.value, "id", getattr(called.value, "attr", ""))
            if called.attr in METHODS or owner in OF_MODULES.get(called.attr, ()):
                yield called.attr


def test_no_other_module_reads_anything() -> None:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        names = sorted(set(reads(path.read_text(encoding="utf-8"))))
        if names and not module.startswith("boundary.") and module not in OWN | OTHERS:
            found[module] = names
    assert found == {}, "use hybridsim.boundary.reading"


def test_another_reader_would_be_found() -> None:
    for line in (
        "x.read_text()",
        "open('x')",
        "path.open()",
        "json.loads('1')",
        "os.environ['X']",
    ):
        assert list(reads(line))
    assert not list(reads("self.load(1)"))


# --- what commands open ---------------------------------------------------------------------

OPENED: list[tuple[str, str]] = []
WATCHED: list[Path] = []


def _watch(event: str, args: tuple[Any, ...]) -> None:
    """Note which module of the package opened a file of a person for reading."""
    if event != "open" or not WATCHED or not isinstance(args[0], str | bytes | os.PathLike):
        return
    path, flags = os.path.abspath(os.fsdecode(args[0])), args[2] if len(args) > 2 else 0
    if not path.startswith(str(WATCHED[0])) or (flags or 0) & (os.O_WRONLY | os.O_RDWR):
        return
    frame = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("hybridsim."):
            OPENED.append((Path(path).name, module))
            return
        frame = frame.f_back  # type: ignore[assignment]


sys.addaudithook(_watch)  # a hook stays; without a folder to watch it returns at once

MACHINE = (ROOT.parent / "arch_configs/ahwa_lora_2026/arch.yaml").read_text("utf-8")
NETWORK = """\
name: net
source: made up
sequence_length: 4
ops:
  - {kind: linear, name: a, inputs: [], in_features: 16, out_features: 8}
adapters: {rank: 2}
"""
STUDY = """\
name: study
network: net.yaml
machine: arch.yaml
tokens: 4
axes: {strategy.batch: [2, 4]}
objectives: {latency_ps: minimise}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "arch.yaml").write_text(MACHINE)
    (tmp_path / "net.yaml").write_text(NETWORK)
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "shapes.csv").write_text("m,n,k\n8,8,8\n")
    (tmp_path / "requests.csv").write_text("arrival,task,prompt\n0 s,a,4\n")
    monkeypatch.chdir(tmp_path)
    WATCHED.append(tmp_path)
    OPENED.clear()
    yield tmp_path
    WATCHED.clear()


BOTH = ("net.yaml", "arch.yaml")
CALLS: dict[str, tuple[tuple[str, ...], ...]] = {
    "run": (("run", *BOTH, "--out", "out", "--layers-only"),),
    "report": (("report", "out"),),
    "compare": (
        ("compare", *BOTH, "--strategies", "layer_serial", "--out", "both"),
        ("report", "both"),
        ("compare", "out", "out", "--out", "changed"),
        ("report", "changed"),
    ),
    "explain": (("explain", "out"),),
    "generate": (("generate", *BOTH),),
    "cost": (("cost", "arch.yaml", "matrix_engine", "gemm", "--table", "shapes.csv"),),
    "show": (("show", "net.yaml"), ("show", "arch.yaml")),
    "sweep": (("sweep", "study.yaml", "--out", "points", "--quiet"), ("report", "points")),
    "serve": (("serve", *BOTH, "--requests", "requests.csv"),),
    "alternatives": (("alternatives", *BOTH, "--tasks", "1"),),
    "list": (("list",),),
    "schema": (("schema", "machine"),),
}
"""Command -> how it is called with files of a person; the others are looked at by their source."""
BY_SOURCE = {
    "search",
    "design",
    "sweep merge",
    "adapt",
    "recalibrate",
    "sensitivity",
    "codesign",
    "validate",
    "machine",
    "doctor",
    "mcp",
    "warm-up",
}


def test_every_command_reads_through_the_boundary(place: Path) -> None:
    """Each command of the command line, with files of each kind that it takes."""
    for calls in CALLS.values():
        for call in calls:
            done = CliRunner().invoke(app, list(call))
            assert done.exception is None or isinstance(done.exception, SystemExit), call
    by = {module for _, module in OPENED}
    known = {f"hybridsim.{name}" for name in OTHERS}
    assert {name for name, _ in OPENED} >= {
        "arch.yaml", "net.yaml", "study.yaml", "shapes.csv", "requests.csv", "result.json",
        "timeline.npz", "comparison.json", "activity.csv",
    }  # fmt: skip
    assert {module for module in by if not module.startswith("hybridsim.boundary.")} <= known


def test_all_commands_are_known_here() -> None:
    group: Any = typer.main.get_command(app)
    assert set(group.commands) <= CALLS.keys() | BY_SOURCE


def test_the_documents_of_a_person_are_read_once_each(place: Path) -> None:
    """A file that is read twice may have changed in between."""
    CliRunner().invoke(app, ["cost", "arch.yaml", "matrix_engine", "gemm", "m=8", "n=8", "k=8"])
    assert [name for name, _ in OPENED] == ["arch.yaml"]
