"""The rooms whose modules are changed, with the tests that should notice."""

import os
from pathlib import Path

from tests.mutants.mutation import Mutant, mutants_of

HERE = Path(__file__).parents[2]
LAWS = ["tests/golden", "tests/laws/test_works_of_plans.py", "tests/digest"]
"""Tests over everything; they meet the mutants of every room, after those of the room."""
ROOMS: dict[str, tuple[list[str], list[str]]] = {
    "plan": (["plan", "work.py"], ["tests/test_plan.py", "tests/test_work.py",
             "tests/test_plan_stamp.py", "tests/engines/test_looped.py", "tests/programs"]),
    "engines": (["engines"], ["tests/engines"]),
    "strategies": (["strategies"], ["tests/strategies"]),
    "components": (["components"], ["tests/components", "tests/rtl", "tests/test_units.py"]),
    "mapping": (["mapping"], ["tests/mapping"]),
    "measure": (["measure"], ["tests/measure"]),
}  # fmt: skip
"""Room -> its sources, and its own tests."""
PYTHON_ALONE = {"engines", "components"}
"""Rooms whose functions become machine code: Python itself runs them here, so that they mutate."""
MACHINE_CODE = {
    "engines": ("_abreast", "_frozen_moves", "_frozen_order", "_frozen_records", "_frozen_states",
                "_frozen_times", "_frozen_walk", "_reserved_times", "compiled", "pipelines",
                "reservation"),
    "components": ("core_cycles", "redmule_contents", "redmule_cycles", "redmule_replay"),
}  # fmt: skip
"""Modules that ``--machine-code`` leaves alone: it runs the tests as they always run, fast."""


def files_of(room: str) -> list[Path]:
    """Return the modules of a room that are changed."""
    left = () if os.environ.get("NUMBA_DISABLE_JIT") else MACHINE_CODE.get(room, ())
    found: list[Path] = []
    for name in ROOMS[room][0]:
        place = HERE / "hybridsim" / name
        found += sorted(place.rglob("*.py")) if place.is_dir() else [place]
    return [file for file in found if file.stem not in left]


def all_mutants(room: str) -> list[tuple[str, Mutant]]:
    """Return every mutant of a room with its file."""
    return [
        (str(file.relative_to(HERE)), mutant)
        for file in files_of(room)
        for mutant in mutants_of(file.read_text(encoding="utf-8"))
    ]
