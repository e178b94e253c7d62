"""The rooms whose modules are changed, with the tests that should notice."""

from pathlib import Path

from tests.mutants.mutation import Mutant, mutants_of

HERE = Path(__file__).parents[2]
LAWS = ["tests/golden", "tests/laws/test_works_of_plans.py", "tests/digest"]
"""Tests over everything; they meet the mutants of every room, after those of the room."""
ROOMS: dict[str, tuple[list[str], list[str]]] = {
    "plan": (["plan", "work.py"], ["tests/test_plan.py", "tests/test_work.py",
             "tests/test_plan_stamp.py", "tests/engines/test_looped.py", "tests/programs"]),
    "engines": (["engines"], ["tests/engines"]),
    "strategies": (["strategies"], ["tests/strategies", "tests/workload/test_vectors.py",
                   "tests/validation/test_harp_decoder.py", "tests/laws/test_kinds.py",
                   "tests/laws/test_bounds_of_networks.py"]),
    "components": (["components"], ["tests/components", "tests/rtl", "tests/test_units.py"]),
    "mapping": (["mapping"], ["tests/mapping"]),
    "measure": (["measure"], ["tests/measure"]),
}  # fmt: skip
"""Room -> its sources, and its own tests."""
BY_NUMBA_ALONE = ("_abreast", "_reserved_times")
"""Modules whose functions no Python can run: they are left alone."""


def files_of(room: str) -> list[Path]:
    """Return the modules of a room that are changed."""
    found: list[Path] = []
    for name in ROOMS[room][0]:
        place = HERE / "hybridsim" / name
        found += sorted(place.rglob("*.py")) if place.is_dir() else [place]
    return [file for file in found if file.stem not in BY_NUMBA_ALONE]


def all_mutants(room: str) -> list[tuple[str, Mutant]]:
    """Return every mutant of a room with its file."""
    return [
        (str(file.relative_to(HERE)), mutant)
        for file in files_of(room)
        for mutant in mutants_of(file.read_text(encoding="utf-8"))
    ]
