"""The fingerprint of a sweep covers every room that decides results."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import hybridsim
from hybridsim import caches
from hybridsim.sweeps import model_version as versions

ROOT = Path(hybridsim.__file__).parent
READERS = {
    "boundary", "errors", "nesting", "library", "specs", "outside", "described", "records",
    "shown", "machine_code", "caches", "_old_names", "_on_use", "_version",
}  # fmt: skip
"""Rooms that say what is wrong, show answers, keep what takes long to make, or read what people
write; a point's key has what they read."""


@pytest.fixture(scope="module", autouse=True)
def each_program_is_parsed_once() -> Iterator[None]:
    """Rooms come and go here, and no file changes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(versions, "_statements", cache(versions._statements))
        yield


def test_it_is_kept_until_a_source_differs_and_made_anew_where_it_is_damaged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(caches.CACHE, str(tmp_path))
    caches.cache_folder.cache_clear()
    parsed, statements = list[str](), versions._statements

    def counted(source: str) -> str:
        parsed.append(source)
        return statements(source)

    monkeypatch.setattr(versions, "_statements", counted)

    def asked() -> tuple[str, int]:
        """Return the version as a new process finds it, and how many programs it parsed."""
        before = len(parsed)
        versions.model_version.cache_clear()
        return versions.model_version(), len(parsed) - before

    first, programs = asked()
    assert programs > 100
    assert asked() == (first, 0)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    assert asked() == (first, programs)
    sources = versions._sources
    more = b"x = 1\n"
    monkeypatch.setattr(versions, "_sources", lambda r: sources(r) | {"work.py": more})
    assert asked()[0] != first
    monkeypatch.setattr(versions, "_sources", lambda r: sources(r) | {"alike.py": more})
    assert asked()[0] not in {first, ""}
    monkeypatch.undo()
    caches.cache_folder.cache_clear()
    versions.model_version.cache_clear()


def test_every_room_that_is_named_exists() -> None:
    assert [room for room in versions.ROOMS if not (ROOT / room).exists()] == []


def test_what_evaluating_imports_is_covered() -> None:
    grimp = pytest.importorskip("grimp", reason="import-linter has it (extra 'dev')")
    graph = grimp.build_graph("hybridsim", cache_dir=None)
    reached = graph.find_upstream_modules("hybridsim.sweeps.evaluate")
    rooms = {module.split(".")[1] for module in reached if module != "hybridsim"}
    named = {room.removesuffix(".py") for room in versions.ROOMS}
    assert rooms - READERS <= named


def test_a_room_that_is_gone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "ROOMS", ("units.py", "nowhere"))
    versions.model_version.cache_clear()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        versions.model_version()
    versions.model_version.cache_clear()


@pytest.mark.parametrize("room", ["sweeps", "work.py", "engines"])
def test_each_room_counts(room: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = versions.model_version()
    monkeypatch.setattr(versions, "ROOMS", tuple(r for r in versions.ROOMS if r != room))
    versions.model_version.cache_clear()
    assert versions.model_version() != before
    versions.model_version.cache_clear()
