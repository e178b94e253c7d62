"""Classes from files and entry points: found, told by their code, sent on, or refused."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hybridsim import load, outside, simulate
from hybridsim.cli import app
from hybridsim.errors import SpecError, UnknownNameError
from hybridsim.generation import generate
from hybridsim.outside import from_outside, names_a_file, offered, origin_of
from hybridsim.strategies import make_strategy, named, strategy_class, strategy_names
from hybridsim.sweeps import run_study
from hybridsim.sweeps.inputs import read_inputs
from hybridsim.sweeps.study import read_study

STRATEGY = '''
from typing import Literal
from hybridsim.strategies import PipelinedStrategy

class Mine(PipelinedStrategy):
    """Everything early."""
    kind: Literal["mine"] = "mine"
    early_xa: Literal[True] = True
'''
Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a file in the working folder."""
    monkeypatch.chdir(tmp_path)

    def written(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return written


def test_a_name_of_a_file_is_told_from_a_path_and_a_variant() -> None:
    assert names_a_file("file.py:Class")
    assert names_a_file("/some/where/file.py:Class")
    assert not names_a_file("file.py")
    assert not names_a_file("ahwa_lora_2026:128ns")
    assert not names_a_file("file.py:not a name")


def test_a_strategy_of_a_file_reads_back_from_what_a_result_carries(write: Write) -> None:
    write("mine.py", STRATEGY)
    strategy = make_strategy("mine.py:Mine", {"batch": 8})
    text = named(strategy)
    assert text["kind"] == "mine.py:Mine"
    kind = text.pop("kind")
    assert make_strategy(kind, text) == strategy
    assert list(Path().rglob("__pycache__")) == []


def test_the_same_code_has_the_same_hash_wherever_it_lies(write: Write) -> None:
    write("mine.py", STRATEGY)
    write("other/mine.py", STRATEGY)
    first, second = (
        from_outside("mine.py:Mine", "strategy"),
        from_outside("other/mine.py:Mine", "s"),
    )
    assert origin_of(first) == origin_of(second)


def test_other_code_has_another_hash_and_is_read_anew(write: Write) -> None:
    write("mine.py", STRATEGY)
    before = from_outside("mine.py:Mine", "strategy")
    write("mine.py", STRATEGY.replace("Everything", "All"))
    after = from_outside("mine.py:Mine", "strategy")
    assert (before.__doc__, after.__doc__) == ("Everything early.", "All early.")
    assert origin_of(before) != origin_of(after)
    with pytest.raises(SpecError, match=r"code: found 0{16}, but the code of this strategy is "):
        make_strategy("mine.py:Mine", {"code": "0" * 16})


def test_a_class_of_a_file_goes_to_another_process_and_tells_its_origin(write: Write) -> None:
    write("mine.py", STRATEGY)
    strategy = make_strategy("mine.py:Mine", {"batch": 4})
    sent = write("sent", "")
    sent.write_bytes(pickle.dumps((named(strategy), strategy)))
    elsewhere = write("elsewhere/x", "").parent
    program = (
        "import pickle, sys, hybridsim\n"
        "from hybridsim.strategies import make_strategy, named\n"
        "text, strategy = pickle.load(open(sys.argv[1], 'rb'))\n"
        "assert named(strategy) == text, named(strategy)\n"
        "kind = text.pop('kind')\n"
        "assert make_strategy(kind, text) == strategy\n"
    )
    root = Path(outside.__file__).parents[1]
    command = [sys.executable, "-c", program, str(sent)]
    done = subprocess.run(
        command, cwd=elsewhere, env={"PYTHONPATH": str(root)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "name", "says"),
    [
        ("import no_such_module_at_all\n", "m.py:Mine", "fails to import (ModuleNotFoundError: "),
        ("def broken(:\n", "m.py:Mine", "fails to import (SyntaxError: "),
        ("raise KeyError('why')\n", "m.py:Mine", "fails to import (KeyError: 'why'); a strategy"),
        ("import sys\nsys.exit(3)\n", "m.py:Mine", "fails to import (SystemExit: 3); a strategy"),
        (
            STRATEGY,
            "m.py:Mime",
            "has no strategy 'Mime' (did you mean 'Mine'?); its classes: Mine",
        ),
        ("Mine = 3\n", "m.py:Mine", "has no strategy 'Mine'"),
        (STRATEGY, "n.py:Mine", "there is no file n.py"),
        ("class Mine: pass\n", "m.py:Mine", "is no strategy; a class that extends LayerStrategy"),
        (
            STRATEGY.replace('"mine"', '"auto"'),
            "m.py:Mine",
            "kind: found 'auto', a strategy of hy",
        ),
        (
            "from hybridsim.strategies import LayerStrategy\nclass Mine(LayerStrategy): pass\n",
            "m.py:Mine",
            "leaves decide open; a strategy with it would do",
        ),
        (
            "from hybridsim.strategies import Auto as Mine\n",
            "m.py:Mine",
            "part of hybridsim itself",
        ),
    ],
)
def test_what_is_no_strategy_is_refused_in_a_sentence(
    write: Write, text: str, name: str, says: str
) -> None:
    write("m.py", text)
    with pytest.raises(SpecError) as caught:
        strategy_class(name)
    assert str(caught.value).startswith(f"{name}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


DECIDING = """
from typing import Literal
from hybridsim.strategies import LayerStrategy, TokenParallel

class Mine(LayerStrategy):
    kind: Literal["mine"] = "mine"

    def decide(self, job):
        return {}
"""


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("1 / 0", "decide fails (ZeroDivisionError: division by zero, at m.py:9); LayerDec"),
        ("job.nothing", "has no attribute 'nothing', at m.py:9); LayerDecisions would do"),
        ("None", "decide returned nothing; LayerDecisions would do"),
        ("[1]", "decide returned a list; LayerDecisions would do"),
        ("self", "; LayerDecisions would do"),
        (
            "TokenParallel(batch=-5).decide(job)",
            "batch: found -5; a number above 0 would do (TokenParallel, at m.py:9)",
        ),
    ],
)
def test_decisions_that_are_none_are_refused_in_a_sentence(
    write: Write, answer: str, says: str
) -> None:
    write("m.py", DECIDING.format(answer))
    network, machine = load("layer_128x128", "ahwa_lora_2026")
    with pytest.raises(SpecError) as caught:
        simulate(network, machine, make_strategy("m.py:Mine"), tokens=8)
    assert str(caught.value).startswith("m.py:Mine: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("base", ["TokenParallel", "LayerSerial", "PipelinedStrategy"])
def test_a_sweep_asks_what_a_class_decides_not_the_options_it_inherits(
    write: Write, base: str
) -> None:
    write(
        "m.py",
        "from typing import Literal\n"
        f"from hybridsim.strategies import {base}, TokenParallel as Other\n\n"
        f"class Mine({base}):\n"
        "    kind: Literal['mine'] = 'mine'\n\n"
        "    def decide(self, job):\n"
        "        return Other(batch=1).decide(job)\n",
    )
    study = {
        "name": "s", "question": "q", "network": "layer_128x128", "tokens": 8,
        "machine": "ahwa_lora_2026", "axes": {"strategy": ["m.py:Mine"]},
        "objectives": {"latency_ps": "minimise"},
    }  # fmt: skip
    swept = run_study(read_inputs(read_study(write("study.yaml", json.dumps(study))), "study"))
    own = simulate(*load("layer_128x128", "ahwa_lora_2026"), make_strategy("m.py:Mine"), tokens=8)
    assert swept.table["latency_ps"].tolist() == [own.latency_ps]


def test_a_strategy_of_a_whole_network_is_asked_what_it_decides(write: Write) -> None:
    """Not only which candidates there would be: in runs, in sweeps and token by token."""
    write(
        "m.py",
        "from typing import Literal\n"
        "from hybridsim.strategies import NetworkStrategy, make_strategy\n\n"
        "class Mine(NetworkStrategy):\n"
        "    kind: Literal['mine'] = 'mine'\n\n"
        "    def decide(self, job):\n"
        "        return make_strategy('serial', {}).decide(job)\n",
    )
    axis = [100_000, 256_000]
    study = {
        "name": "s", "question": "q", "network": "t5_small_encoder", "tokens": 8,
        "machine": "harp_2026:t5", "objectives": {"latency_ps": "minimise"},
        "axes": {"strategy": ["m.py:Mine"], "tile.integration_time": ["100 ns", "256 ns"]},
    }  # fmt: skip
    swept = run_study(read_inputs(read_study(write("study.yaml", json.dumps(study))), "study"))
    for place, time in enumerate(axis):
        parts = load("t5_small_encoder", "harp_2026:t5", {"tile.integration_time": f"{time} ps"})
        mine, serial = (
            simulate(*parts, make_strategy(name), tokens=8).latency_ps
            for name in ("m.py:Mine", "serial")
        )
        assert mine == serial == swept.table["latency_ps"].tolist()[place]
    network, machine = load("gpt2", "harp_2026:gpt2")
    tokens = [
        generate(network, machine, strategy=make_strategy(name), prompt=4, new=2).token_ps
        for name in ("m.py:Mine", "serial")
    ]
    assert tokens[0] == tokens[1]


def test_whatever_code_of_a_file_raises_a_command_tells_in_a_sentence(write: Write) -> None:
    write("m.py", STRATEGY + "    def schedule(self, job):\n        return {}['why']\n")
    command = "run layer_128x128 ahwa_lora_2026 --tokens 8 --strategy m.py:Mine"
    done = CliRunner().invoke(app, command.split(), catch_exceptions=False)
    assert (done.exit_code, done.stdout) == (2, "")
    said = "m.py:Mine.schedule: fails (KeyError: 'why', at m.py:10); code that does not would do"
    assert done.stderr == f"hybridsim: {said}\n"


def test_a_strategy_of_a_file_that_fails_keeps_no_other_from_being_compared(write: Write) -> None:
    write("m.py", STRATEGY + "    def schedule(self, job):\n        return {}['why']\n")
    command = "compare layer_128x128 ahwa_lora_2026 --tokens 8 --strategies m.py:Mine,early_xa"
    done = CliRunner().invoke(app, command.split(), catch_exceptions=False)
    assert done.exit_code == 0
    assert "m.py:Mine: m.py:Mine.schedule: fails (KeyError: 'why', at m.py:10)" in done.stdout
    assert "fastest: early_xa" in done.stdout


def test_a_fault_of_the_house_is_blamed_on_nobody(write: Write) -> None:
    write("m.py", STRATEGY)
    make_strategy("m.py:Mine")
    with pytest.raises(ZeroDivisionError) as caught:
        1 / 0  # noqa: B018
    assert outside.failure_outside(caught.value) is None


# --- entry points -------------------------------------------------------------------------------


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch, points: str) -> None:
    """Let a package be installed whose entry points are these."""
    info = folder / "mine-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(points, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    outside._of_entry_point.cache_clear()
    monkeypatch.setattr(outside, "_entry_points", outside._entry_points.__wrapped__)


def test_an_entry_point_is_a_strategy_like_the_others(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("mine_one.py", STRATEGY)
    installed(tmp_path, monkeypatch, "[hybridsim.strategies]\nmine = mine_one:Mine\n")
    assert "mine" in offered("strategy")
    assert strategy_names()[-1] == "mine"
    strategy = make_strategy("mine", {"batch": 2})
    assert named(strategy)["kind"] == "mine"
    assert len(named(strategy)["code"]) == 16


def test_an_entry_point_that_fails_to_import_is_refused_with_its_name(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = "[hybridsim.strategies]\nbad = mine_missing:Mine\n"
    installed(tmp_path, monkeypatch, points)
    with pytest.raises(SpecError) as caught:
        make_strategy("bad")
    assert str(caught.value).startswith("entry point bad of hybridsim.strategies: fails to import")
    with pytest.raises(UnknownNameError, match="bad"):
        make_strategy("bat")


def test_the_code_of_a_package_is_all_of_its_files(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("mine_pack/__init__.py", "")
    write("mine_pack/strategy.py", STRATEGY)
    write("mine_pack/helper.py", "X = 1\n")
    installed(tmp_path, monkeypatch, "[hybridsim.strategies]\nmine = mine_pack.strategy:Mine\n")
    before = named(make_strategy("mine"))["code"]
    write("mine_pack/helper.py", "X = 2\n")
    outside._of_entry_point.cache_clear()
    assert named(make_strategy("mine"))["code"] != before


def test_a_family_of_an_entry_point_builds_a_network(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hybridsim.workload import network_from_config

    write(
        "mine_family.py",
        "from hybridsim.workload.families.builder import Body\n"
        "from hybridsim.workload.ops import Embedding\n"
        "def build(config, head, file):\n"
        "    rows, features = config['vocab_size'], config['hidden_size']\n"
        "    return Body((Embedding(name='embedding', rows=rows, features=features),), 128)\n",
    )
    config = {"model_type": "mixer", "vocab_size": 10, "hidden_size": 8}
    with pytest.raises(SpecError, match="found 'mixer'"):
        network_from_config(config, name="mixer", source="made up")
    installed(tmp_path, monkeypatch, "[hybridsim.families]\nmixer = mine_family:build\n")
    network = network_from_config(config, name="mixer", source="made up")
    assert [op.name for op in network.ops] == ["embedding"]


def test_a_family_that_returns_no_body_is_refused_in_a_sentence(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hybridsim.workload import network_from_config

    write("none_family.py", "def build(config, head, file):\n    return [config]\n")
    installed(tmp_path, monkeypatch, "[hybridsim.families]\nnone = none_family:build\n")
    said = "entry point none of hybridsim.families: returned a list; a Body would do"
    with pytest.raises(SpecError, match=said):
        network_from_config({"model_type": "none"}, name="none", source="made up")
