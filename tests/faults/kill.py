"""Kills and interrupts commands, and looks at what they leave and at what is made of it."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.ways import (
    Started,
    Way,
    at_write,
    contents,
    counting,
    nothing,
    prepare,
    warmed,
)

HIDDEN = ".hybridsim-"
"""How names begin of what is not finished yet."""


@dataclass(frozen=True)
class Fault:
    """One fault on purpose, and what was wrong afterwards; nothing is if it was taken well."""

    way: str
    what: str
    ended: str
    wrong: tuple[str, ...]


class Bench:
    """A command with what it reads, what lay in its folder before, and what should lie there."""

    def __init__(self, way: Way, place: Path) -> None:
        self.way, self.place = way, place
        prepare(place, way.name)
        self.old: dict[str, bytes] = {}
        if way.older is not None:
            self.older = place / "older"
            code, said = self.called(way.older(place, self.older))
            assert code == 0, said
            self.old = contents(self.older)
        reference = self.fresh(place / "reference", old=way.name == "report")
        warmed(way.arguments(place, reference))
        self.fresh(reference, old=way.name == "report")
        begun = time.monotonic()
        counted = place / "counted"
        code, said = self.called(way.arguments(place, reference), counting(counted))
        assert code == 0, said
        self.seconds = time.monotonic() - begun
        self.writes = counted.stat().st_size
        self.new = contents(reference)

    def called(
        self, arguments: list[str], before: Callable[[], None] = nothing
    ) -> tuple[int, str]:
        """Run a command to its end; return its exit code and what it said."""
        return Started(arguments, self.place, before).ended()

    def fresh(self, out: Path, old: bool) -> Path:
        """Return a folder of results as it is before the command, old or not there."""
        shutil.rmtree(out, ignore_errors=True)
        if old:
            shutil.copytree(self.older, out)
        return out


def stopped(bench: Bench, number: int, randoms: random.Random, out: Path) -> tuple[str, int, str]:
    """Stop a command by a signal, at a random moment or at a call that changes the disk.

    Returns how, its exit code and what it said.
    """
    arguments = bench.way.arguments(bench.place, out)
    name = signal.Signals(number).name
    if randoms.random() < 0.5:
        at = randoms.randint(1, bench.writes)
        begun = Started(arguments, bench.place, at_write(at, lambda: os.kill(os.getpid(), number)))
        return f"{name} at write {at}", *begun.ended()
    begun = Started(arguments, bench.place, nothing)
    seconds = randoms.random() * bench.seconds
    time.sleep(seconds)
    begun.send(number)
    return f"{name} after {seconds:.3f} s", *begun.ended()


def wrong_with(bench: Bench, out: Path, number: int, code: int, said: str) -> Iterator[str]:
    """Yield what is wrong with how a command ended and with what it left."""
    if "Traceback" in said or "Error:" in said:
        yield f"said {said[-300:]!r}"
    if number == signal.SIGINT and code not in (0, 130):
        yield f"exit code {code} after SIGINT: {said!r}"
    left = contents(out) if out.exists() else {}
    if number == signal.SIGINT:
        yield from (f"{name} is left" for name in left if HIDDEN in name)
    for name, raw in left.items():
        known = (bench.old.get(name), bench.new.get(name))
        free = HIDDEN in name or bench.way.goes_on or name == "SHA256SUMS"
        if not free and raw not in known:
            yield f"{name} is neither old nor new"
        if not free:
            yield from _refused(out / name)
    yield from (f"{name} is lost" for name in bench.old if left and name not in left)


def _refused(path: Path) -> Iterator[str]:
    from hybridsim.boundary.reading import read_own
    from hybridsim.errors import InputError

    try:
        read_own(path)
    except InputError as error:
        yield f"is refused: {error}"


def wrong_again(bench: Bench, out: Path) -> Iterator[str]:
    """Run the command again, and yield what differs from what was never stopped."""
    code, said = bench.called(bench.way.arguments(bench.place, out))
    if code != 0:
        yield f"again: exit code {code}: {said[-300:]!r}"
        return
    left = contents(out)
    yield from (f"again: {path} is left" for path in bench.place.rglob(f"{HIDDEN}*"))
    same = {n: raw for n, raw in bench.new.items() if Path(n).name not in bench.way.differ}
    for name, raw in same.items():
        if not (bench.way.goes_on and Path(name).name.startswith("part-")) and (
            left.get(name) != raw
        ):
            yield f"again: {name} differs"


def kill(bench: Bench, times: int, seed: int, number: int) -> Iterator[Fault]:
    """Stop a command many times, and yield what came of each."""
    randoms = random.Random(f"{bench.way.name} {seed} {number}")
    for round_ in range(times):
        old = bench.way.name == "report" or (bench.way.older is not None and round_ % 2)
        out = bench.fresh(bench.place / "out", old)
        what, code, said = stopped(bench, number, randoms, out)
        wrong = [*wrong_with(bench, out, number, code, said)]
        if number == signal.SIGKILL and bench.way.goes_on and randoms.random() < 0.5:
            again, code, said = stopped(bench, number, randoms, out)
            what += f", {again}"
            wrong += wrong_with(bench, out, number, code, said)
        wrong += wrong_again(bench, out)
        ended = "ended before" if code == 0 else f"exit code {code}"
        yield Fault(bench.way.name, what, ended, tuple(wrong))
