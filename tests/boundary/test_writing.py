"""Several files are written all or not at all, whatever goes wrong, each with its checksum."""

import errno
import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybridsim.boundary import writing
from hybridsim.boundary.reading import SUMS, read_own
from hybridsim.boundary.writing import check_place, write_all, write_file
from hybridsim.errors import SpecError

FILES = {"a.txt": "new a", "b.bin": b"\x00new b", "c.csv": "new c"}
ROOT = os.geteuid() == 0


def held(folder: Path) -> dict[str, bytes | None]:
    """All that lies below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


class Full:
    """A disk on which one of the calls that change it fails, as if it were full."""

    calls = ("replace", "rename", "link", "fsync", "mkdir")

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails_at: int) -> None:
        self.count = 0
        for name in self.calls:
            real = getattr(os, name)

            def call(*args, _real=real, **more):
                self.count += 1
                if self.count == fails_at:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return _real(*args, **more)

            monkeypatch.setattr(writing.os, name, call)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(fails_at=st.integers(1, 16), there=st.sets(st.sampled_from(("a.txt", "b.bin", "z.txt"))))
@pytest.mark.parametrize("new", [False, True])
def test_whatever_fails_all_is_new_or_all_is_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, fails_at: int, there: set[str], new: bool
) -> None:
    root = tmp_path_factory.mktemp("disk")
    folder = root / "on" / "the" / "way" if new else root / "out"
    if not new:
        folder.mkdir()
        for name in there:
            (folder / name).write_text(f"old {name}")
    before = held(root)
    with pytest.MonkeyPatch.context() as patch:
        disk = Full(patch, fails_at)
        try:
            write_all(folder, FILES)
        except SpecError as error:
            said = str(error)
        else:
            said = ""
    if disk.count < fails_at:
        assert said == ""
        assert {*FILES, SUMS} <= {path.name for path in folder.iterdir()}
        return
    if said:
        assert said == f"--out: {folder}: cannot be written: No space left on device"
        assert held(root) == before
    else:  # the one call that may fail: a copy takes the place of a link
        assert (folder / "a.txt").read_text() == "new a"


def test_a_folder_where_a_file_should_go_loses_nothing(tmp_path: Path) -> None:
    write_all(tmp_path, FILES)
    (tmp_path / "c.csv").unlink()
    (tmp_path / "c.csv").mkdir()
    before = held(tmp_path)
    with pytest.raises(SpecError, match=r"c\.csv is a folder there; give another folder"):
        write_all(tmp_path, FILES | {"a.txt": "newer"})
    assert held(tmp_path) == before


def test_sums_are_those_of_the_files_and_stay_for_others(tmp_path: Path) -> None:
    write_all(tmp_path, FILES)
    write_all(tmp_path, {"a.txt": "newer", "d.txt": "d"})
    lines = (tmp_path / SUMS).read_text().splitlines()
    assert [line.partition("  ")[2] for line in lines] == ["a.txt", "b.bin", "c.csv", "d.txt"]
    for line in lines:
        digits, _, name = line.partition("  ")
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digits


def test_rights_are_those_of_other_files(tmp_path: Path) -> None:
    write_all(tmp_path / "new", FILES)
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "file").touch()
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode
    modes = [(tmp_path / at).stat().st_mode for at in ("new/a.txt", "plain/file")]
    assert modes[0] == modes[1]


@pytest.mark.skipif(ROOT, reason="may write anywhere")
def test_a_folder_that_is_only_read_is_refused_before_any_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SpecError, match="cannot be written to"):
        check_place(tmp_path / "new")


def test_a_file_on_the_way_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpecError, match="file is a file; give a folder"):
        check_place(tmp_path / "file" / "new")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(SpecError, match="gone is a file; give a folder"):
        check_place(tmp_path / "gone")


def test_a_file_that_is_never_finished_is_gone(tmp_path: Path) -> None:
    def broken() -> None:
        with write_file(tmp_path / "a", "--trace") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert held(tmp_path) == {}


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("new", [False, True])
def test_whoever_is_killed_leaves_files_that_are_read(tmp_path: Path, new: bool) -> None:
    """At each call that changes the disk in turn: what is there is old or new, and verified."""
    older = {name: f"old {name}" for name in FILES}
    left: set[Path] = set()
    for at in range(1, 25):
        folder = tmp_path / f"out{at}"
        if not new:
            write_all(folder, older)
        child = os.fork()
        if not child:
            _die_at(at, folder)
        _, status = os.waitpid(child, 0)
        for name, text in FILES.items() if folder.exists() else ():
            newer = text.encode() if isinstance(text, str) else text
            assert read_own(folder / name) in (older[name].encode(), newer)
        if not status:
            assert not new or folder.exists()
            assert left  # some of those that were killed had left what is not finished
            return
        left |= {*tmp_path.rglob(".hybridsim-*")}
        write_all(folder, FILES)
        assert not [*tmp_path.rglob(".hybridsim-*")]
    pytest.fail("it was killed each time")


def test_what_others_have_not_finished_stays(tmp_path: Path) -> None:
    """A folder of a process that goes on, of another machine, and one that only looks alike."""
    mine = f"{writing._hidden()}{os.getpid()}-0"
    names = {mine, ".hybridsim-00000000-1-0", ".hybridsim-0a1b2c3d", f"{writing._hidden()}x-0"}
    for name in names:
        (tmp_path / name).mkdir()
    write_all(tmp_path, FILES)
    assert {path.name for path in tmp_path.glob(".hybridsim-*")} == names


def _die_at(at: int, folder: Path) -> None:
    """Write, and be gone at a call, without any clearing up."""
    count = 0
    for name in Full.calls:
        real = getattr(os, name)

        def call(*args, _real=real, **more):
            nonlocal count
            count += 1
            if count == at:
                os._exit(9)
            return _real(*args, **more)

        setattr(writing.os, name, call)
    try:
        write_all(folder, FILES)
    finally:
        os._exit(0)
