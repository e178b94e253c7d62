"""Products that need X in the other layout than that in which it arrives: the cores turn it.

What reads X waits for the turn, slice of inputs by slice. A slice is turned in its own place, and
the next one when all units have read it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybridsim.programs.lora import Kernel


def turned_first(kernels: "Sequence[Kernel]", turns: "Sequence[Kernel]") -> "tuple[Kernel, ...]":
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


def _moved(kernel: "Kernel", place: dict[int, int], further: tuple[int, ...] = ()) -> "Kernel":
    """Return a kernel that waits for the same ones at their new places; X comes from a turn."""
    reads = tuple(name for name in kernel.reads if name != "x")
    return replace(kernel, after=(*(place[i] for i in kernel.after), *further), reads=reads)
