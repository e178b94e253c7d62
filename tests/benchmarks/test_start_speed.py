"""CPU seconds of the first commands, children and all, as a person at a shell has them."""

import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hybridsim import caches

RUN = ("-m", "hybridsim", "run", "mobilebert", "ahwa_lora_2026")
COMMANDS = {
    "import": (("-c", "import hybridsim"), 0.25),
    "help": (("-m", "hybridsim", "--help"), 0.4),
    "list": (("-m", "hybridsim", "list"), 0.4),
    "run": (RUN, 1.6),
}
"""What is measured, and the most that it may take on a machine that does other things too [s]."""


def cpu_seconds(arguments: tuple[str, ...]) -> float:
    """Return user and system time of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.benchmark(group="start")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_first_command_takes_little(benchmark: Any, name: str) -> None:
    arguments, most = COMMANDS[name]
    cpu_seconds(arguments)  # bytecode and machine code are kept from now on
    taken = [cpu_seconds(arguments) for _ in range(5)]
    benchmark.extra_info["cpu_seconds"] = round(statistics.median(taken), 2)
    benchmark.pedantic(lambda: None)
    assert statistics.median(taken) < most


@pytest.mark.benchmark(group="start")
def test_the_first_run_after_installation(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is kept yet: neither of the shipped code nor of what Numba compiles."""
    monkeypatch.setenv(caches.CACHE, str(tmp_path / "own"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    taken = cpu_seconds(RUN)
    benchmark.extra_info["cpu_seconds"] = round(taken, 2)
    benchmark.pedantic(lambda: None)
    assert taken < 4
