"""The program runs where nothing can be written, at homes and terminals of any kind."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba.core import caching
from typer.testing import CliRunner

from hybridsim import caches
from hybridsim.cli import app
from hybridsim.machine_code import keeping

RUN = ("run", "layer_128x128", "ahwa_lora_2026", "--tokens", "8")
NOWHERE = str(Path(os.devnull) / "below")
"""A folder that nobody can make."""


def told(*arguments: str, without: tuple[str, ...] = (), **environment: str) -> str:
    """Return what a command of a process of its own prints, in an environment of its own."""
    given = {name: text for name, text in os.environ.items() if name not in without}
    done = subprocess.run(
        [sys.executable, "-m", "hybridsim", *arguments],
        capture_output=True, check=False, timeout=120, env=given | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    assert b"Traceback" not in done.stderr
    return done.stdout.decode(environment.get("PYTHONIOENCODING", "utf-8"))


def test_home_and_caches_that_cannot_be_written_and_another_locale() -> None:
    nowhere = {"HOME": NOWHERE, "XDG_CACHE_HOME": NOWHERE, caches.CACHE: NOWHERE}
    usual = CliRunner().invoke(app, [*RUN, "--json"]).stdout
    assert told(*RUN, "--json", LC_ALL="tr_TR.UTF-8", **nowhere).split() == usual.split()


def test_no_home_and_a_terminal_of_ascii_alone() -> None:
    without = ("HOME", "USERPROFILE", "XDG_CACHE_HOME", caches.CACHE)
    ascii_ = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "COLUMNS": "40"}
    assert "latency" in told(*RUN, without=without, **ascii_)


def twice(column: np.ndarray) -> None:
    """Double a column."""
    for i in range(len(column)):
        column[i] *= 2


def test_code_is_compiled_where_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    monkeypatch.setattr("numba.config.CACHE_DIR", "")
    double = keeping(True, {"_nrt": False})(twice)
    column = np.arange(3)
    double(column)
    assert column.tolist() == [0, 2, 4]
