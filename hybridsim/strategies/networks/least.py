"""The fastest of many candidates, of which those that a bound excludes are not run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from hybridsim.errors import CapacityError, InputError, UnsupportedError
from hybridsim.units import Ints

Choice = TypeVar("Choice")
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Least(Generic[Found]):
    """The fastest of several candidates."""

    time_ps: int
    what: Found
    run: int
    """How many were run; those that were not cannot be faster."""
    candidates: int


def least(
    choices: Sequence[Choice], bounds_ps: Ints, run: Callable[[Choice], tuple[int, Found]]
) -> Least[Found]:
    """Return the fastest of some candidates, the first of several that are equally fast.

    ``run`` returns how long one takes [ps], and what it comes to; ``bounds_ps`` are times that
    they do not beat. The least bound is run first: whatever has a bound below the fastest has to
    be run in any order.

    Raises:
        CapacityError: Not one fits the memory it needs, or there is no cluster.
        UnsupportedError: The machine lacks a unit that all ask for.
    """
    best: tuple[int, int] | None = None
    what: list[Found] = []
    problems: dict[int, InputError] = {}
    ran = 0
    for place in np.argsort(bounds_ps, kind="stable").tolist():
        if best is not None and int(bounds_ps[place]) > best[0]:
            break
        try:
            time, found = run(choices[place])
        except (CapacityError, UnsupportedError) as error:
            problems[place] = error
            continue
        ran += 1
        if best is None or (time, place) < best:
            best, what = (time, place), [found]
    if best is None:
        raise problems[min(problems)]
    return Least(best[0], what[0], ran, len(choices))
