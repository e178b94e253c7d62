"""The fastest of many is found whatever bounds there are, and no more are run than have to be."""

import numpy as np
import pytest

from hybridsim.errors import CapacityError
from hybridsim.strategies.networks.least import Bounds, least


def random_bounds(seed: int) -> tuple[list[int | None], Bounds]:
    """Return how long candidates take, None where one does not fit, and bounds of three kinds:
    quick alone, with higher ones in groups, and those no higher than the quick ones."""
    draw = np.random.default_rng([seed, 31])
    count = int(draw.integers(1, 30))
    times = draw.integers(5, 15, count)
    sharp = times - draw.integers(0, 4, count)
    quick = sharp - draw.integers(0, 3, count)
    group = draw.integers(0, 4, count)
    quick[group == 0] = sharp[group == 0]
    places = [np.flatnonzero(group == number) for number in (1, 2, 3)]
    groups = tuple((at, lambda at=at: sharp[at]) for at in places)
    fits = draw.random(count) < 0.8
    fits[0] |= not fits.any()
    return [int(t) if fit else None for t, fit in zip(times, fits, strict=True)], Bounds(
        quick, groups
    )


@pytest.mark.parametrize("seed", range(60))
def test_the_first_of_the_fastest_is_found_and_only_what_may_be_faster_is_run(seed: int) -> None:
    times, bounds = random_bounds(seed)
    ran = list[int]()

    def run(place: int) -> tuple[int, str]:
        time = times[place]
        if time is None:
            raise CapacityError(f"{place} does not fit")
        ran.append(place)
        return time, f"candidate {place}"

    found = least(range(len(times)), bounds, run)
    best = min((time, place) for place, time in enumerate(times) if time is not None)
    assert (found.time_ps, found.what) == (best[0], f"candidate {best[1]}")
    assert found.run == len(ran) == len(set(ran))
    sharp = bounds.sharp_ps
    needed = {n for n, time in enumerate(times) if time is not None and sharp[n] <= best[0]}
    assert {n for n in ran if sharp[n] <= best[0]} == needed
    # in the order of their bounds, each while none is known that beats it
    assert ran == sorted(ran, key=lambda n: (sharp[n], n))
    for number, place in enumerate(ran[1:], start=1):
        assert sharp[place] <= min(times[n] or 0 for n in ran[:number])


def test_higher_bounds_are_found_only_where_quick_ones_do_not_tell() -> None:
    asked = list[str]()

    def sharper(name: str, *values: int) -> np.ndarray:
        asked.append(name)
        return np.array(values)

    groups = (
        (np.array([0, 1]), lambda: sharper("near", 5, 9)),
        (np.array([2, 3]), lambda: sharper("far", 20, 21)),
    )
    bounds = Bounds(np.array([4, 4, 8, 9]), groups)
    found = least([7, 9, 30, 31], bounds, lambda time: (time, time))
    assert (found.what, found.run, asked) == (7, 1, ["near"])
    assert Bounds.joined([bounds, bounds]).sharp_ps.tolist() == [5, 9, 20, 21] * 2


def test_where_nothing_fits_the_problem_of_the_first_is_told() -> None:
    def run(place: int) -> tuple[int, None]:
        raise CapacityError(f"{place} does not fit")

    with pytest.raises(CapacityError, match="0 does not fit"):
        least([0, 1, 2], Bounds(np.array([2, 1, 0])), run)
