"""Kernels of adapter programs, and products that need X in the other layout than it arrives in.

What reads X then waits for the cores to turn it, slice of inputs by slice. A slice is turned in
its own place, and the next one when all units have read it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from hybridsim.records import record
from hybridsim.work import Work

KernelUnit = Literal["matrix_engine", "cores", "dma"]


@record(frozen=True, slots=True)
class Kernel:
    """One kernel of a program: the work of a unit, and after which others it runs."""

    work: Work
    """What runs, and on which unit; without rows or elements it is idle."""
    after: tuple[int, ...] = ()
    """Earlier kernels of the program that must have ended."""
    reads: tuple[str, ...] = ()
    """Operands it needs from outside the program: ``x``, ``y``, ``a``, ``b``."""
    frees: tuple[str, ...] = ()
    """Buffers that the next batch may overwrite once it has ended: ``x``, ``u``, ``v``."""
    slice: int = 0
    """Which columns of Y and B it reads; a kernel that reads Y makes that slice of Z."""
    fills: tuple[str, ...] = ()
    """Buffers of a slice that it is the first to write: ``v``."""

    @property
    def unit(self) -> str:
        """The unit that runs it."""
        return self.work.part

    @property
    def slice_work(self) -> bool:
        """Whether it works on a slice of the outputs rather than on U."""
        return "b" in self.reads or "y" in self.reads or "v" in self.fills


def turned_first(kernels: Sequence[Kernel], turns: Sequence[Kernel]) -> tuple[Kernel, ...]:
    """Return kernels with each slice of X turned before it is read.

    Args:
        kernels: Of a program whose units read the slices of X one after the other.
        turns: The turn of each slice, which reads X.
    """
    readers = [i for i, kernel in enumerate(kernels) if "x" in kernel.reads]
    count = len(turns)
    first = [i for i, k in enumerate(kernels) if not k.after and not k.slice_work]
    first = [i for i in first if i not in readers]
    found: list[Kernel] = [kernels[i] for i in first]
    place = {old: new for new, old in enumerate(first)}
    before: tuple[int, ...] = ()
    for number, turn in enumerate(turns):
        found.append(replace(turn, after=before))
        turned, own = len(found) - 1, readers[number::count]
        for old in own:
            place[old] = len(found)
            found.append(_moved(kernels[old], place, (turned,)))
        before = tuple(place[old] for old in own)
    for old, kernel in enumerate(kernels):
        if old not in place:
            place[old] = len(found)
            found.append(_moved(kernel, place))
    return tuple(found)


def _moved(kernel: Kernel, place: dict[int, int], further: tuple[int, ...] = ()) -> Kernel:
    """Return a kernel that waits for the same ones at their new places; X comes from a turn."""
    reads = tuple(name for name in kernel.reads if name != "x")
    return replace(kernel, after=(*(place[i] for i in kernel.after), *further), reads=reads)
