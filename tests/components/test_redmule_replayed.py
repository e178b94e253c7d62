"""Waits that come with the package are those that a replay gives, complete, and never needed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hybridsim
from hybridsim.components import redmule_replayed
from hybridsim.components.redmule_cycles import cycles_of, terms_of
from hybridsim.components.redmule_replayed import take
from hybridsim.components.redmule_waits import BUNDLED, WaitTables, wait_tables
from hybridsim.library import variant_names

AGAIN = "a source has changed: python -m hybridsim.components.redmule_waits"
bundled = st.sampled_from(BUNDLED)
sizes = st.one_of(st.integers(1, 40), st.integers(1, 2000), st.just(2**16 - 1))
shapes = st.tuples(sizes, sizes, sizes)
replayed = {array: WaitTables(*array) for array in BUNDLED}
"""Tables that nobody filled in beforehand."""


@pytest.mark.parametrize("array", BUNDLED)
def test_they_are_of_todays_sources(array: tuple[int, int, int]) -> None:
    tables = WaitTables(*array)
    assert take(tables.array, tables.waits), AGAIN


@pytest.mark.parametrize("name", variant_names())
def test_arrays_of_bundled_machines_have_them(name: str) -> None:
    for variant in ("", *(f":{own}" for own in variant_names()[name])):
        cluster = hybridsim.load_machine(name + variant).cluster
        if cluster is not None and cluster.matrix_engine is not None:
            engine = cluster.engine
            assert (engine.array_height, engine.array_width, engine.pipe_regs) in BUNDLED


@given(array=bundled, shape=shapes, pads=st.booleans())
def test_they_are_what_a_replay_gives(
    array: tuple[int, int, int], shape: tuple[int, int, int], pads: bool
) -> None:
    own, anew = wait_tables(*array), replayed[array]
    for equation in (cycles_of, terms_of):
        known = equation(own.array, own.waits, *shape, True, pads)
        assert own.waits.asked[0] == 0  # nothing is left to be replayed
        wanted = anew.settled(lambda: equation(anew.array, anew.waits, *shape, True, pads))  # noqa: B023
        assert known == wanted


@pytest.mark.parametrize("damage", ["no file", "cut", "other sources", "flipped"])
def test_tables_that_do_not_fit_are_left_alone(
    damage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (height, width, pipe_regs), folder = BUNDLED[0], redmule_replayed.FOLDER
    name = f"redmule_{height}x{width}x{pipe_regs}.gz"
    content = (folder / name).read_bytes()
    monkeypatch.setattr(redmule_replayed, "FOLDER", tmp_path)
    if damage == "other sources":
        monkeypatch.setattr(redmule_replayed, "state", lambda: b"0" * 16)
    half = len(content) // 2
    flipped = content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]
    damaged = {"cut": content[:half], "other sources": content, "flipped": flipped}
    if damage in damaged:
        (tmp_path / name).write_bytes(damaged[damage])
    tables, untouched = WaitTables(*BUNDLED[0]), WaitTables(*BUNDLED[0])
    assert not take(tables.array, tables.waits)
    for own, other in zip(tables.waits, untouched.waits, strict=True):
        assert np.array_equal(own, other)
