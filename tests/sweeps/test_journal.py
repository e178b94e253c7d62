"""The journal: what was recorded can be read, whatever happened to the process or the disk."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridsim.errors import InputError, SpecError

pytest.importorskip("pyarrow", reason="the journal needs pyarrow (extra 'sweep')")

from hybridsim.sweeps import journal as journal_module
from hybridsim.sweeps.journal import Journal, read_journal


def block(first: int, count: int) -> tuple[Any, dict[str, Any]]:
    """Records whose content tells which they are; one of three has no result."""
    numbers = np.arange(first, first + count)
    unsigned = numbers.astype(np.uint64)
    keys = np.stack([unsigned * np.uint64(2**40) + np.uint64(1), ~unsigned], axis=1)
    results = [None if n % 3 == 0 else int(n) for n in numbers]
    return keys, {"latency_ps": results, "problem": ["" if r else "no" for r in results]}


def content(folder: Path) -> list[tuple[int, Any, str]]:
    """Everything in a folder, as (number, latency, problem), in the order of the numbers."""
    with Journal(folder) as journal:
        rows = [
            (int(key[0] >> np.uint64(40)), latency, problem)
            for keys, columns in journal.recorded()
            for key, latency, problem in zip(
                keys, columns["latency_ps"], columns["problem"], strict=True
            )
        ]
    return sorted(rows)


def expected(count: int) -> list[tuple[int, Any, str]]:
    return [(n, None if n % 3 == 0 else n, "no" if n % 3 == 0 else "") for n in range(count)]


def test_what_is_recorded_reads_back(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.append(*block(0, 5))
        journal.append(*block(5, 3))
    assert content(tmp_path) == expected(8)


def test_parts_and_journals_make_one_whole(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(journal_module, "MOST_RECORDS", 10)
    with Journal(tmp_path) as journal:
        for first in range(0, 24, 4):
            journal.append(*block(first, 4))
        journal.append(*block(24, 30))  # as large as a part
        journal.append(*block(54, 2))
    assert len(list(tmp_path.glob("part-*.parquet"))) == 3
    assert len(list(tmp_path.glob("journal-*.jsonl"))) == 1
    assert content(tmp_path) == expected(56)


def test_a_record_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.append(*block(0, 6))
    (path,) = tmp_path.glob("journal-*.jsonl")
    whole = path.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for cut in (last + 1, last + 9, last + 20, len(whole) - 2):
        path.write_bytes(whole[:cut])
        assert len(read_journal(path)) == 5
    path.write_bytes(whole[: last + 20])
    assert content(tmp_path) == expected(5)


def test_an_altered_record_is_left_out_and_the_others_stay(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.append(*block(0, 6))
    (path,) = tmp_path.glob("journal-*.jsonl")
    lines = path.read_bytes().split(b"\n")
    lines[2] = lines[2].replace(b":2,", b":9,")
    path.write_bytes(b"\n".join(lines))
    assert content(tmp_path) == [row for row in expected(6) if row[0] != 2]


def test_a_part_is_complete_or_not_there(tmp_path: Path) -> None:
    """The process died after the part got its name, but before its journal went."""
    with Journal(tmp_path) as journal:
        journal.append(*block(0, 6))
        (path,) = tmp_path.glob("journal-*.jsonl")
        again = path.read_bytes()
        journal.finish()
    path.write_bytes(again)
    (tmp_path / "part-000001.parquet.unfinished").write_bytes(b"PAR1")
    assert content(tmp_path) == expected(6)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lock", "part-000000.parquet"]


def test_a_damaged_part_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "part-000000.parquet").write_bytes(b"PAR1 nothing PAR1")
    with (
        Journal(tmp_path) as journal,
        pytest.raises(SpecError, match=r"part-000000\.parquet: is damaged"),
    ):
        list(journal.recorded())


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


def test_a_full_disk_leaves_what_was_written(tmp_path: Path, monkeypatch) -> None:
    """The disk takes half of a block, and then no more."""
    write = os.write

    def half(descriptor: int, data: bytes) -> int:
        if b"latency" not in data:
            return write(descriptor, data)
        monkeypatch.setattr(os, "write", full)
        return write(descriptor, data[: len(data) // 2])

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Journal(tmp_path) as journal:
        journal.append(*block(0, 6))
        monkeypatch.setattr(os, "write", half)
        with pytest.raises(SpecError, match=r"; what was recorded before is kept"):
            journal.append(*block(6, 6))
        monkeypatch.setattr(os, "write", write)
    assert content(tmp_path) == expected(6)


def test_a_disk_that_is_full_when_a_part_is_written_leaves_the_journal(
    tmp_path: Path, monkeypatch
) -> None:
    with Journal(tmp_path) as journal:
        journal.append(*block(0, 6))

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(SpecError, match=r"; what was recorded before is kept"):
                journal.finish()
    assert [p.suffix for p in sorted(tmp_path.iterdir())] == [".jsonl", ""]
    assert content(tmp_path) == expected(6)


def test_a_real_limit_of_the_system_ends_with_one_sentence(studies, tmp_path: Path) -> None:
    """A file may not grow beyond 700 bytes: the first records fit, the sweep does not."""
    out = tmp_path / "out"
    # what is compiled is kept in files, so that is done before there is a limit
    program = (
        "import resource, sys\n"
        "from hybridsim.cli import main\n"
        "from hybridsim import sweep\n"
        "sweep(sys.argv[2])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))\n"
        "main()\n"
    )
    limited = subprocess.run(
        [sys.executable, "-c", program, "sweep", str(studies.write()), "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert limited.returncode == 2, limited.stderr
    assert f"{os.strerror(errno.EFBIG)}; what was recorded before is kept" in limited.stderr
    assert limited.stderr.count("\n") == 1
    (path,) = out.glob("journal-*.jsonl")
    assert 0 < len(read_journal(path)) < 12


def test_without_pyarrow_a_folder_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'hybridsim\[sweep\]'"):
        Journal(tmp_path / "out")
    assert not (tmp_path / "out").exists()
