"""What a task does, apart from how long that takes: works, and the prices that parts put on them.

A plan names each distinct work once, and each of its tasks by the number of its work. A machine
prices works: the same plan on a machine with faster tiles is the same works at other prices.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from hybridsim.errors import PlanError, TooLongError, UnsupportedError
from hybridsim.units import Ints

NOTHING = -1
"""Stands for a number that a work does not have."""
MOST_PS = 2**62
"""No work, and no plan, lasts so long [ps] (53 days): ends might not fit 64 bits."""


@dataclass(frozen=True, slots=True)
class Work:
    """One distinct thing that tasks do: equal works cost the same on a machine."""

    part: str
    """The part of the machine that does it and prices it: ``tile``, ``link``, ``cores``, ..."""
    kind: str
    """What that part knows it as: ``mvm``, ``move``, ``gemm``, ``program``, ..."""
    label: str
    """What people read, as in ``load x``; nothing depends on it."""
    shape: tuple[Any, ...] = ()
    """All that its price depends on beside the machine, hashable, in the order that the part asks
    for."""
    tokens: int = NOTHING
    """Tokens of the batch that it works on."""
    bytes: int = NOTHING
    """Bytes of an adapter's operands that it moves."""
    sort: str = ""
    """Which of several kinds of that part does it; "" for the usual one."""


class Program(Protocol):
    """What a cluster does as a whole in one task; the first entry of the shape of such a work."""

    def time_ps(self, cluster: Any) -> int:
        """Return how long a cluster takes [ps]."""


class Pricing(Protocol):
    """What prices works: a machine, or anything that stands for one."""

    def time_ps(self, work: Work) -> Any:
        """Return how long a work takes [ps]; an array has one entry per machine.

        Raises:
            UnsupportedError: The part is not there, or does not know the work.
        """


def delay(label: str, time_ps: int) -> Work:
    """Return a work that takes a time by itself, whatever the machine [ps]."""
    return Work("delay", "wait", label, (time_ps,))


def mvm(members: tuple[tuple[Any, Any], ...], tokens: Any, copies: Any = 1) -> Work:
    """Return the MVMs of so many tokens on layers of (in, out) features, at once.

    Each of several copies of the weights takes its share of the tokens, the largest sets the pace.
    """
    return Work("tile", "mvm", "mvm", (members, -(-tokens // copies)), tokens)


def no_price(work: Work, where: str) -> UnsupportedError:
    """Return the error for a work that a part cannot price."""
    return UnsupportedError(
        f"{where} has no price for {work.label!r}: its part {work.part} does not know the work "
        f"{work.kind} {work.shape}; give the machine that part, or a strategy that needs none"
    )


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """How long each distinct work of a plan takes on one machine, or on several."""

    works: Sequence[Work]
    time_ps: Ints
    """Shape (works,), or (works, machines) [ps]."""
    _index: dict[Work, int] = field(default_factory=dict)

    def of(self, work: Work) -> int:
        """Return the time of one work on a single machine [ps]."""
        if not self._index:
            self._index.update({each: number for number, each in enumerate(self.works)})
        return int(self.time_ps[self._index[work]])


def price(works: Sequence[Work], machine: Pricing, machines: int | None = None) -> Prices:
    """Return the prices of works on a machine, or on ``machines`` machines as columns.

    Where a field of ``machine`` is an array with one entry per machine, so are the prices.

    Raises:
        UnsupportedError: A part that a work asks for is not there, or does not know the work.
        PlanError: A price is no whole number of picoseconds of 1 or more.
        TooLongError: One is 2^62 ps or more.
    """
    shape = (len(works),) if machines is None else (len(works), machines)
    found = np.empty(shape, np.int64)
    for number, work in enumerate(works):
        found[number] = _checked(work, machine.time_ps(work))
    return Prices(works, found)


def _checked(work: Work, time_ps: Any) -> Any:
    """Return a price if it is one.

    Raises:
        PlanError: It is not.
    """
    if isinstance(time_ps, np.ndarray):
        whole = time_ps.dtype.kind in "iu"
        least, most = time_ps.min(initial=1), time_ps.max(initial=1)
    else:
        whole = isinstance(time_ps, int | np.integer) and not isinstance(time_ps, bool)
        least = most = time_ps
    if not whole or not 1 <= least <= most < MOST_PS:
        if whole and least >= 1:
            raise TooLongError(
                f"part {work.part}: {work.label!r} takes 2^62 ps (53 days) or more; a faster part "
                "or fewer tokens would do"
            )
        shown = least
        raise PlanError(
            f"part {work.part}: prices {work.label!r} at {shown!r} ps; a price is a whole number "
            "of picoseconds, from 1 to below 2^62"
        )
    return time_ps
