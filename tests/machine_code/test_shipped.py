"""Shipped code is that of today's sources, does what Python does, and is never needed."""

import gzip
import json
import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridsim import caches
from hybridsim.caches import cache_folder
from hybridsim.compiling import compiled
from hybridsim.engines import reservation
from hybridsim.machine_code import _shipped, functions, machine_code

INDEX = json.loads((_shipped.CODE / "index.json").read_text("utf-8"))["functions"]
ON_TRIED_SYSTEM = pytest.mark.skipif(
    not _shipped.shipped() or not _shipped.is_read(), reason="shipped code is not taken here"
)


def marked(name: str) -> Any:
    module, _, function = name.partition(":")
    found = getattr(import_module(module), function)
    return found if isinstance(found, functions.CompiledOnCall) else compiled(found)


@pytest.mark.parametrize("name", INDEX)
def test_shipped_code_is_that_of_todays_sources(name: str) -> None:
    again = "python -m hybridsim.machine_code.ship"
    assert marked(name).state == INDEX[name]["state"], f"a source has changed: {again}"
    assert (_shipped.CODE / f"{INDEX[name]['symbol']}.ll.gz").is_file()


@pytest.mark.parametrize("name", INDEX)
def test_shipped_code_needs_nothing_and_counts_no_references(name: str) -> None:
    """Numba counts where an array is read last in one branch only: that costs a factor of 3."""
    packed = (_shipped.CODE / f"{INDEX[name]['symbol']}.ll.gz").read_bytes()
    text = gzip.decompress(packed).decode()
    assert "NRT_" not in text
    assert set(re.findall(r"^declare .*@(\w+)", text, re.MULTILINE)) <= {"llvm"}
    assert len(re.findall(r"^define (?!internal)", text, re.MULTILINE)) == 1


def numbers(*lengths: int) -> list[np.ndarray]:
    return [np.zeros(length, np.int64) for length in lengths]


def of_a_small_graph() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return three tasks in a row, each with a need for the one before, and where they end."""
    need_first, need = np.array([0, 0, 1, 2]), np.array([0, 1])
    return [need_first, need, np.array([3, 5, 9])], numbers(3)


@ON_TRIED_SYSTEM
def test_shipped_code_is_taken_and_does_what_python_does() -> None:
    given, found = of_a_small_graph()
    ready = marked("hybridsim.engines.reservation:_ready")
    ready.calls.clear()
    ready(*given, *found)
    assert [call is not ready.__dict__.get("by_numba") for call in ready.calls.values()] == [True]
    expected = numbers(3)
    ready.py_func(*given, *expected)
    assert np.array_equal(found[0], expected[0])
    assert found[0].tolist() == [0, 3, 5]


def test_what_nothing_was_shipped_for_is_left_to_numba() -> None:
    ready = marked("hybridsim.engines.reservation:_ready")
    kinds = functions.kinds_of((np.zeros(2, np.int32),) * 4)
    assert _shipped.native(ready.name, ready.state, kinds) is None
    assert _shipped.native(ready.name, "another state", kinds) is None
    assert _shipped.native("nobody:nothing", ready.state, kinds) is None


def test_code_that_llvm_cannot_read_is_left_to_numba(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ready = marked("hybridsim.engines.reservation:_ready")
    kinds = functions.kinds_of(tuple(np.zeros(2, np.int64) for _ in range(4)))
    known = {"state": "s", "kinds": [*map(_shipped.kind_text, kinds)], "symbol": "x"}
    monkeypatch.setattr(_shipped, "_functions", lambda: {ready.name: known | {"returns": False}})
    monkeypatch.setattr(_shipped, "CODE", tmp_path)
    assert _shipped.native(ready.name, "s", kinds) is None  # there is no file
    (tmp_path / "x.ll.gz").write_bytes(gzip.compress(b"define nothing"))
    assert _shipped.native(ready.name, "s", kinds) is None  # there is no code in it


@ON_TRIED_SYSTEM
@pytest.mark.parametrize("damage", [b"", b"code", None])
def test_kept_code_that_is_damaged_is_made_anew(
    damage: bytes | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """LLVM would end the process; None flips a bit of the code."""
    monkeypatch.setenv(caches.CACHE, str(tmp_path))
    cache_folder.cache_clear()
    ready = marked("hybridsim.engines.reservation:_ready")
    given, found = of_a_small_graph()
    kinds = functions.kinds_of((*given, *found))
    assert _shipped.native(ready.name, ready.state, kinds) is not None
    (kept,) = tmp_path.iterdir()
    sound = kept.read_bytes()
    kept.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]) if damage is None else damage)
    code = _shipped.native(ready.name, ready.state, kinds)
    cache_folder.cache_clear()
    assert code is not None
    code(*given, *found)
    assert found[0].tolist() == [0, 3, 5]
    assert kept.read_bytes() == sound


def test_a_state_tells_the_sources_of_all_that_is_called(tmp_path: Path) -> None:
    @machine_code()
    def alone(a: int) -> int:
        return a

    state = functions.MARKED[alone.name].state  # type: ignore[attr-defined]
    assert len(state) == 16
    other = marked("hybridsim.components.redmule_contents:_outcome")
    files = {Path(file).name for file in other._files}
    assert files == {"redmule_contents.py", "redmule_replay.py"}
    reserve = marked("hybridsim.engines._reserved_times:_reserve")
    assert {Path(file).name for file in reserve._files} == {"_reserved_times.py", "_abreast.py"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    monkeypatch.setenv(caches.CACHE, str(tmp_path / "locked" / "below"))
    cache_folder.cache_clear()
    assert cache_folder() is None
    cache_folder.cache_clear()


def test_a_folder_that_is_a_file_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    monkeypatch.setenv(caches.CACHE, str(tmp_path / "file" / "below"))
    cache_folder.cache_clear()
    assert cache_folder() is None
    cache_folder.cache_clear()


def test_neighbours_follow_each_other_on_each_lane() -> None:
    by_start, use_first = np.array([2, 0, 1]), np.array([0, 2, 3, 5])
    lane = np.array([0, 1, 1, 0, 2])
    earlier, later = reservation._neighbours(by_start, use_first, lane)
    assert [*zip(earlier.tolist(), later.tolist(), strict=True)] == [(2, 0), (0, 1)]
