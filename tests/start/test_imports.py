"""What the first commands import: names of modules, as seconds depend on the machine."""

import subprocess
import sys

import pytest

from hybridsim.machine_code._shipped import is_read, shipped

HEAVY = {
    "numba", "llvmlite", "pandas", "matplotlib", "simpy", "jinja2", "torch", "onnx", "pyarrow",
    "distributed", "dask", "optuna", "scipy",
}  # fmt: skip
"""Libraries that nobody waits for who does not use them."""
ROOTS = "print(' '.join(sorted({m for m in sys.modules if m.startswith(('hybridsim', 'numpy'))} " \
    "| {m.partition('.')[0] for m in sys.modules})))"  # fmt: skip


def imported(program: str) -> set[str]:
    """Return the modules of the package and of NumPy, and all others by their first name, that it
    imports."""
    code = f"import sys\n{program}\nprint()\n{ROOTS}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.splitlines()[-1].split())


def command(*arguments: str) -> str:
    call = "from hybridsim.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass"
    return f"sys.argv = ['hybridsim', *{list(arguments)}]\n{call}"


def own(found: set[str]) -> set[str]:
    return {name for name in found if name.startswith("hybridsim")}


CONTENTS = {"hybridsim", "hybridsim._old_names", "hybridsim._on_use", "hybridsim._version"}
HELP = CONTENTS | {
    "hybridsim.boundary", "hybridsim.boundary.values", "hybridsim.cli", "hybridsim.cli._arguments",
    "hybridsim.cli._commands", "hybridsim.cli._terminal", "hybridsim.cli.app", "hybridsim.errors",
}  # fmt: skip
LIST = HELP | {
    "hybridsim.boundary.reading", "hybridsim.cli._options", "hybridsim.cli.list",
    "hybridsim.library", "hybridsim.nesting", "hybridsim.outside", "hybridsim.records",
}  # fmt: skip
RUN = {
    "_old_names", "_on_use", "_version", "alike", "arch", "boundary", "caches", "certainty", "cli",
    "compiling", "components", "described", "engines", "errors", "library", "machine_code",
    "mapping", "measure", "nesting", "outside", "plan", "programs", "records", "shown",
    "simulation", "specs", "strategies", "units", "whole", "work", "workload",
}  # fmt: skip
"""Rooms that a run may need; of other commands none."""
OTHERS = {
    "hybridsim.programs.lora_stream", "hybridsim.strategies.layers.search",
    "hybridsim.workload.families.module_tree", "numpy.ma",
}  # fmt: skip
"""What other questions need, or ``np.unique`` where it is asked for nothing but numbers."""


def test_the_package_imports_its_table_of_contents() -> None:
    found = imported("import hybridsim")
    assert own(found) == CONTENTS
    assert not found & (HEAVY | {"numpy", "pydantic", "yaml", "typer", "rich"})


@pytest.mark.parametrize(("arguments", "modules"), [(("--help",), HELP), (("list",), LIST)])
def test_a_first_command_imports_little(arguments: tuple[str, ...], modules: set[str]) -> None:
    found = imported(command(*arguments))
    assert own(found) == modules
    assert not found & (HEAVY | {"numpy"})


def test_a_run_imports_neither_numba_nor_pandas() -> None:
    # of both it needs nothing as long as shipped code is taken
    run = command("run", "layer_128x128", "ahwa_lora_2026", "--tokens", "8")
    found = imported(run)
    # Numba imports SciPy where there is one
    by_numba = set() if shipped() and is_read() else {"numba", "scipy"}
    assert not found & (HEAVY - {"llvmlite"} - by_numba)
    # NumPy before 2 imports its masked arrays by itself
    assert not (found - imported("import numpy")) & OTHERS
    assert {name.split(".")[1] for name in own(found) if "." in name} <= RUN
