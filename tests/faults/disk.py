"""Disks that are full, at every size, and folders that cannot be written to."""

import ctypes
import os
import random
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.kill import Bench, Fault, wrong_again, wrong_with
from tests.faults.ways import contents, nothing


def limited(most: int) -> Callable[[], None]:
    """Return what lets no file of a command grow beyond some bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def without_rights() -> None:
    """Give up what lets root write where nobody may (Linux: no capability is left)."""

    class Header(ctypes.Structure):
        _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(ctypes.byref(Header(0x20080522, 0)), (ctypes.c_uint32 * 6)()):
        raise OSError(ctypes.get_errno(), "capset")


def mounted(place: Path, size: int) -> bool:
    """Put a small file system of its own at a place, if that is allowed here."""
    place.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def unmount(place: Path) -> None:
    """Take it away again."""
    subprocess.run(["umount", str(place)], check=False)


def refused_by_the_disk(bench: Bench, seed: int, limits: int = 6) -> Iterator[Fault]:
    """Give a command disks that are too small, and a folder that is read-only."""
    randoms = random.Random(f"{bench.way.name} {seed} disk")
    largest = max(len(raw) for raw in bench.new.values())
    whole = sum(len(raw) for raw in bench.new.values())
    for round_ in range(limits):
        old = bench.way.name == "report" or (bench.way.older is not None and round_ % 2 == 1)
        most = int(largest ** randoms.random())
        out = bench.fresh(bench.place / "out", old)
        yield _tried(bench, out, f"files of {most} bytes at most", limited(most))
    tmpfs = bench.place / "tmpfs"
    for share in (0.3, 0.9) if bench.way.name != "report" else ():
        if mounted(tmpfs, max(4096, int(whole * share) // 4096 * 4096)):
            try:
                yield _tried(bench, tmpfs / "out", f"a disk of {share} of what it writes", nothing)
            finally:
                unmount(tmpfs)
    out = bench.fresh(bench.place / "out", bench.way.older is not None)
    out.mkdir(exist_ok=True)
    out.chmod(0o555)
    yield _tried(bench, out, "a read-only folder", without_rights)


def _tried(bench: Bench, out: Path, what: str, before: Callable[[], None]) -> Fault:
    there = contents(out) if out.exists() else {}
    code, said = bench.called(bench.way.arguments(bench.place, out), before)
    wrong = [*wrong_with(bench, out, 0, code, said)]
    if code not in (0, 2):
        wrong.append(f"exit code {code}: {said[-300:]!r}")
    if code == 2 and len(said.strip().splitlines()) != 1:
        wrong.append(f"said {said[-300:]!r}")
    if code == 2 and not bench.way.goes_on and (contents(out) if out.exists() else {}) != there:
        wrong.append("something was written")
    if out.exists() and os.stat(out).st_mode & 0o200 == 0:
        out.chmod(0o755)
    if what[0] != "a":  # there is room now
        wrong += wrong_again(bench, out)
    return Fault(bench.way.name, what, f"exit code {code}", tuple(wrong))
