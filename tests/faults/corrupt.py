"""Files that are read back, torn or with a flipped bit: refused by name, or of no effect."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.faults.kill import Bench, Fault
from tests.faults.ways import contents

READ_BY_REPORT = {"run", "compare"}
TIMES = 4
"""Bits flipped, and tears, of each file."""


def flipped(raw: bytes, randoms: random.Random) -> tuple[str, bytes]:
    """Return bytes with one bit flipped."""
    at, bit = randoms.randrange(len(raw)), randoms.randrange(8)
    return f"bit {bit} of byte {at} flipped", raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[
        at + 1 :
    ]


def torn(raw: bytes, randoms: random.Random) -> tuple[str, bytes]:
    """Return the beginning of some bytes."""
    most = randoms.randrange(len(raw))
    return f"cut after {most} of {len(raw)} bytes", raw[:most]


def corrupted(bench: Bench, seed: int, times: int = TIMES) -> Iterator[tuple[str, Fault]]:
    """Change each file that a command left, and let it be read: by the command, or by report."""
    way = bench.way
    if not way.goes_on and way.name not in READ_BY_REPORT:
        return
    randoms = random.Random(f"{way.name} {seed} corrupt")
    whole, out = bench.place / "whole", bench.place / "out"
    shutil.rmtree(whole, ignore_errors=True)
    shutil.copytree(bench.place / "reference", whole)
    reader = way.arguments(bench.place, out) if way.goes_on else ["report", str(out), "--quiet"]
    for name, raw in contents(whole).items():
        if not raw:
            continue
        for change in (flipped, torn) * times:
            shutil.rmtree(out, ignore_errors=True)
            shutil.copytree(whole, out)
            what, other = change(raw, randoms)
            (out / name).write_bytes(other)
            code, said = bench.called(reader)
            wrong = tuple(_wrong(bench, out, name, code, said))
            yield change.__name__, Fault(way.name, f"{name}: {what}", f"exit code {code}", wrong)


def _wrong(bench: Bench, out: Path, name: str, code: int, said: str) -> Iterator[str]:
    if "Traceback" in said:
        yield f"said {said[-300:]!r}"
    if code == 2:
        if len(said.strip().splitlines()) != 1:
            yield f"said {said[-300:]!r}"
        if Path(name).name not in said and "SHA256SUMS" not in said:
            yield f"the sentence does not name {name}: {said[-300:]!r}"
        return
    if code != 0:
        yield f"exit code {code}: {said[-300:]!r}"
        return
    left = contents(out)
    for other, raw in bench.new.items():
        part = Path(other).name.startswith("part-")
        known = other == name or Path(other).name in bench.way.differ
        if not known and not part and left.get(other) != raw:
            yield f"{other} differs, silently"
