"""The journal: what was recorded can be read, whatever happened to the process or the disk."""

import errno
import itertools
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridsim.errors import InputError, SpecError

pytest.importorskip("pyarrow", reason="the journal needs pyarrow (extra 'sweep')")

from hybridsim.sweeps import journal as journal_module
from hybridsim.sweeps.journal import Journal, parts_of
from hybridsim.sweeps.parts import Recorded

SENTENCE = r"; what was recorded before is kept"


def block(first: int, count: int, study: str = "s") -> Recorded:
    """Records whose content tells which they are; one of three has no result."""
    points = np.arange(first, first + count)
    unsigned = points.astype(np.uint64)
    keys = np.stack([unsigned * np.uint64(2**40) + np.uint64(1), ~unsigned], axis=1)
    results = [None if n % 3 == 0 else int(n) for n in points]
    areas = np.where(points % 3 == 0, np.nan, points / 2)
    problems = ["" if r else "no" for r in results]
    return Recorded(
        study, points, keys, {"latency_ps": results, "area_mm2": areas, "problem": problems}
    )


def content(folder: Path) -> list[tuple[Any, ...]]:
    """Everything in a folder, as (point, latency, area, problem), in the order of the points."""
    with Journal(folder) as journal:
        rows: list[tuple[Any, ...]] = []
        for recorded in journal.recorded():
            assert (recorded.keys[:, 0] >> np.uint64(40) == recorded.points).all()
            columns = [list(recorded.columns[name]) for name in ("latency_ps", "area_mm2")]
            none = [[None if value != value else value for value in own] for own in columns]
            rows += zip(recorded.points.tolist(), *none, recorded.columns["problem"], strict=True)
    return sorted(rows)


def expected(count: int) -> list[tuple[Any, ...]]:
    return [(n, *((None, None, "no") if n % 3 == 0 else (n, n / 2, ""))) for n in range(count)]


def test_what_is_recorded_reads_back(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.add(block(0, 5))
        journal.add(block(5, 3))
    assert content(tmp_path) == expected(8)


def test_small_parts_are_put_together_and_large_ones_stay(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(journal_module, "MOST_SMALL", 4)
    monkeypatch.setattr(journal_module, "SMALL", 10)
    with Journal(tmp_path) as journal:
        for first in range(0, 24, 2):
            journal.add(block(first, 2))
            assert len(journal.parts()) <= 4 + first // 8
        journal.add(block(24, 30))  # large
        journal.add(block(54, 2))
        journal.add(block(56, 2))
        journal.finish()
        rows = [part.rows for part in journal.parts()]
    assert sum(rows) == 58
    assert len(rows) <= 5
    assert content(tmp_path) == expected(58)


def test_parts_of_different_studies_stay_apart(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        for study in ("a", "a", "b", "b"):
            journal.add(block(0, 3, study))
        journal.finish()
        assert [(r.study, len(r.points)) for r in journal.recorded()] == [("a", 6), ("b", 6)]


def test_a_part_takes_the_place_of_those_that_it_was_made_of(tmp_path: Path) -> None:
    """The process died after the part got its name, but before the others went."""
    with Journal(tmp_path) as journal:
        journal.add(block(0, 6))
        journal.add(block(6, 6))
        before = {part.path: part.path.read_bytes() for part in journal.parts()}
        journal.finish()
    for path, data in before.items():
        path.write_bytes(data)
    (tmp_path / "part-000001-000001-00.parquet.unfinished").write_bytes(b"PAR1")
    assert content(tmp_path) == expected(12)
    assert sorted(p.name[:18] for p in tmp_path.iterdir()) == ["lock", "part-000000-000001"]


class Killed(BaseException):
    """Ends a process in a test at a step that it takes on the disk."""


@contextmanager
def killed_at(step: int) -> Iterator[None]:
    """Die before a step that changes the disk; files are then as a kill would leave them."""
    left = step

    def counted(do: Callable[..., Any]) -> Callable[..., Any]:
        def perform(path: Path, *given: Any, **named: Any) -> Any:
            nonlocal left
            if path.name.startswith("part-") and (do.__name__ != "open" or given == ("wb",)):
                if left == 0:
                    raise Killed
                left -= 1
            return do(path, *given, **named)

        return perform

    with pytest.MonkeyPatch.context() as patch:
        for name in ("open", "replace", "unlink"):
            patch.setattr(Path, name, counted(getattr(Path, name)))
        yield


def record_until_death(folder: Path, blocks: int, step: int) -> tuple[int, bool]:
    """Go on from what a folder holds; return how many points are recorded for sure, and whether
    nothing was killed.
    """
    journal, sure = None, 0
    try:
        with killed_at(step):
            journal = Journal(folder)
            done = {int(n) for own in journal.recorded(()) for n in own.points}
            sure = len(done)
            for first in range(0, 2 * blocks, 2):
                if first not in done:
                    journal.add(block(first, 2))
                    sure += 2
            journal.finish()
    except Killed:
        return sure, False
    finally:
        if journal is not None:
            journal._lock.release()  # as the system does
    return sure, True


def test_death_at_any_two_steps_loses_nothing_and_leaves_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a new part's name and the end of those that it was made of, and anywhere else."""
    monkeypatch.setattr(journal_module, "MOST_SMALL", 3)
    monkeypatch.setattr(journal_module, "SMALL", 8)
    steps, ended = itertools.count(), False
    while not ended:
        first_step = next(steps)
        for second_step in (0, 1, 4):
            folder = tmp_path / f"{first_step}-{second_step}"
            sure, ended = record_until_death(folder, 7, first_step)
            again, _ = record_until_death(folder, 7, second_step)
            with Journal(folder) as journal:
                points = [int(n) for own in journal.recorded(()) for n in own.points]
            assert len(points) == len(set(points)) >= max(sure, again)
            record_until_death(folder, 7, 1_000)
            assert content(folder) == expected(14)
    assert first_step > 7 * 2  # parts were put together on the way


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.add(block(0, 20))
        journal.finish()
    (part,) = parts_of(tmp_path)
    whole = bytearray(part.path.read_bytes())
    randoms = random.Random(0)
    for _ in range(150):
        place, bit = randoms.randrange(len(whole)), randoms.randrange(8)
        whole[place] ^= 1 << bit
        part.path.write_bytes(whole)
        with pytest.raises(SpecError, match=rf"{part.path.name}: is damaged \("):
            part.read()
        whole[place] ^= 1 << bit
    part.path.write_bytes(whole[:-7])
    with pytest.raises(SpecError, match="without it, its points are redone"):
        part.read()


def test_two_processes_refuse_each_other(tmp_path: Path) -> None:
    with (
        Journal(tmp_path),
        pytest.raises(InputError, match=f"process {os.getpid()} writes there"),
    ):
        Journal(tmp_path)
    Journal(tmp_path).close()


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from hybridsim.sweeps.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert (tmp_path / "owner").read_text().strip() not in ("", str(os.getpid()))
    Journal(tmp_path).close()


@pytest.mark.parametrize("finishing", [False, True])
def test_a_full_disk_leaves_what_was_written(tmp_path: Path, monkeypatch, finishing: bool) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Journal(tmp_path) as journal:
        journal.add(block(0, 6))
        journal.add(block(6, 6))
        with monkeypatch.context() as patch:
            patch.setattr(os if finishing else Path, "fsync" if finishing else "replace", full)
            with pytest.raises(SpecError, match=SENTENCE):
                journal.finish() if finishing else journal.add(block(12, 6))
    assert not list(tmp_path.glob("*.unfinished"))
    assert content(tmp_path) == expected(12)


def test_a_real_limit_of_the_system_ends_with_one_sentence(studies, tmp_path: Path) -> None:
    """A file may not grow beyond 100 bytes: not even one point fits."""
    out = tmp_path / "out"
    # what is compiled is kept in files, so that is done before there is a limit
    program = (
        "import resource, sys\n"
        "from hybridsim.cli import main\n"
        "from hybridsim import sweep\n"
        "sweep(sys.argv[2])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "main()\n"
    )
    limited = subprocess.run(
        [sys.executable, "-c", program, "sweep", str(studies.write()), "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert limited.returncode == 2, limited.stderr
    assert f"{os.strerror(errno.EFBIG)}{SENTENCE}" in limited.stderr
    assert limited.stderr.count("\n") == 1
    assert parts_of(out) == []


def test_without_pyarrow_a_folder_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'hybridsim\[sweep\]'"):
        Journal(tmp_path / "out")
    assert not (tmp_path / "out").exists()
