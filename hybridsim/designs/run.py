"""A design from question to answer: search, choose, ask what it costs to decide otherwise."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hybridsim.certainty import with_interval
from hybridsim.designs.answer import Design, SearchStory
from hybridsim.designs.asking import Asked, Question, asked
from hybridsim.designs.choice import (
    RUNS_PER_PRICE,
    as_near,
    choose,
    conflicts_of,
    decisions_of,
    look_beyond,
    price_of,
)
from hybridsim.designs.search import Budget, Search, Watch
from hybridsim.designs.seen import Seen
from hybridsim.designs.sharing import sharing_of
from hybridsim.errors import InputError
from hybridsim.simulation import execute
from hybridsim.sweeps.columns import Constraint
from hybridsim.sweeps.inputs import Resolver
from hybridsim.sweeps.journal import Journal
from hybridsim.sweeps.known import Known
from hybridsim.sweeps.run import until_ctrl_c
from hybridsim.sweeps.whole_runs import tokens_of

SEARCHING = 0.7
"""Share of the time, or of the runs, for the front; the rest is for what is asked about it."""
CHECKED = 16
"""Points that bounds had left out and that are run in the end."""
JOURNAL = "points"
"""Folder below that of a design in which every run is kept."""


def design(
    network: str | Path,
    base: str | Path,
    limits: Sequence[str] = (),
    minimise: Sequence[str] = ("latency", "energy"),
    maximise: Sequence[str] = (),
    *,
    time: str | None = "10min",
    runs: int | None = None,
    space: str | Path | None = None,
    evidence: Sequence[str | Path] = (),
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    tokens: int | None = None,
    layers_only: bool = False,
    seed: int = 0,
) -> Design:
    """Return what to build: the best machine, strategy, batch and adapters under some limits.

    ``limits`` are comparisons such as ``area <= 60 mm2`` or ``accuracy >= -1 point @ 10y``;
    ``minimise`` and ``maximise`` name columns of a study, or ``latency``, ``energy``, ``area``,
    ``power``, ``accuracy`` and the like. ``time`` is how long it may take, ``runs`` how many
    points may be run. ``space`` is a file with axes as a study has them; ``evidence`` are folders
    of ``hybridsim adapt`` or files of ``hybridsim sensitivity``. With ``out``, every run is kept
    there, and the same call goes on; the folder also gets the machine, the page and the proof.

    Raises:
        InputError: Something that is given cannot be used as it is.
    """
    question = Question(
        str(network), str(base), tuple(limits), tuple(minimise), tuple(maximise),
        Path(space) if space is not None else None, tuple(Path(own) for own in evidence),
        settings, tokens, layers_only,
    )  # fmt: skip
    folder = Path(out) if out is not None else None
    found = design_of(asked(question), folder, seconds_of(time), runs, seed)
    if folder is not None:
        from hybridsim.designs.proof import write_design

        write_design(found, folder)
    return found


def seconds_of(text: str | None) -> float | None:
    """Return how long a search may take [s].

    Raises:
        InputError: The text is no time above 0.
    """
    from hybridsim.analog.times import parse_time

    if text is None:
        return None
    try:
        seconds = parse_time(text)
    except ValueError as error:
        raise InputError(f"--time: {error}") from None
    if seconds <= 0:
        raise InputError(f"--time: found {text!r}; a time above 0 would do, as in 10min")
    return seconds


def design_of(
    given: Asked,
    out: Path | None = None,
    seconds: float | None = None,
    runs: int | None = None,
    seed: int = 0,
    watch: Watch = lambda search: None,
) -> Design:
    """Return the design that answers a question that was read.

    Raises:
        InputError: No point of the space can be run, or the folder cannot be used.
    """
    if runs is not None and runs < 1:
        raise InputError(f"--runs: found {runs}; 1 or more would do")
    began = time.monotonic()
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(out / JOURNAL)) if out is not None else None
        stopped = stack.enter_context(until_ctrl_c())
        known = Known(given.inputs, journal)
        seen = Seen(known, given.objectives, given.columns)
        whole = Budget(None if seconds is None else began + seconds, runs, stopped)
        first = replace(
            whole,
            deadline=None if seconds is None else began + SEARCHING * seconds,
            runs=None if runs is None else max(1, round(SEARCHING * runs)),
        )
        search = Search(seen, given.constraints, first, seed, watch)
        start = int(np.ravel_multi_index(tuple(given.base), given.inputs.shape))
        search.run([start])
        checked = _check(search, whole, seed)
        runs_of_front, left_out = len(seen), len(search.left_out)
        priced = () if stopped() else _ask(given, seen, whole)
        if not stopped():
            _look_around(given, seen)
        story = SearchStory(
            len(given.inputs), runs_of_front, left_out, search.complete, search.why, seed,
            *checked, stopped(), round(time.monotonic() - began, 3),
        )  # fmt: skip
        found = answer(given, seen, story, priced)
        if journal is not None:
            journal.finish()
    return found


def _ask(given: Asked, seen: Seen, budget: Budget) -> tuple[int, ...]:
    """Run what wider limits buy, or where limits conflict; return which limits have a price."""
    if seen.best(given.constraints)[2]:
        limits = range(len(given.limits))
        return tuple(i for i in limits if look_beyond(seen, given.limits, i, budget))
    conflicts_of(seen, given.limits, budget, given.base)
    kept, place = _kept(given, seen)
    Search(seen, kept, budget.some(len(seen), RUNS_PER_PRICE)).run(
        [seen.index[place]], widely=False
    )
    return ()


def _kept(given: Asked, seen: Seen) -> tuple[Sequence[Constraint], int]:
    """Return limits that can be kept, and the best point that keeps them.

    Of limits that no point meets, those are kept that the nearest point meets.

    Raises:
        InputError: No point could be run.
    """
    kept: Sequence[Constraint] = given.constraints
    place = choose(seen, kept, given.base)
    if place is None:
        reason = seen.known.rows[seen.index[0]]["problem"][0]
        raise InputError(f"no point of {len(seen):,} can be run; the first: {reason}")
    if not seen.best(kept)[2]:
        kept = as_near(seen, kept, place)
        place = choose(seen, kept, given.base)
        assert place is not None
    return kept, place


def _look_around(given: Asked, seen: Seen) -> None:
    """Run the alternatives of the choice, and of one that is better, which they may show."""
    for _ in range(2):
        decisions_of(seen, given.limits, _kept(given, seen)[1])


def answer(given: Asked, seen: Seen, story: SearchStory, priced: Sequence[int]) -> Design:
    """Return the design that follows from the points that were run."""
    _, place = _kept(given, seen)
    meets_all = seen.best(given.constraints)[2]
    prices = [price_of(seen, given.limits, i, given.base) for i in priced] if meets_all else []
    stopped = story.interrupted
    no_more = Budget(runs=len(seen))
    conflicts = () if meets_all or stopped else conflicts_of(
        seen, given.limits, no_more, given.base
    )  # fmt: skip
    decisions = () if stopped else tuple(decisions_of(seen, given.limits, place))
    sharing = () if stopped else tuple(sharing_of(seen, place))
    point = Resolver(given.inputs).point(seen.index[place])
    result = with_interval(execute(point.network, point.machine, point.strategy, tokens_of(point)))
    return Design(
        given, seen, place, meets_all, decisions, tuple(prices), tuple(conflicts), sharing, story,
        result,
    )  # fmt: skip


def _check(search: Search, budget: Budget, seed: int) -> tuple[int, int]:
    """Run some of the points that were left out; return how many, and how many wrongly."""
    if not search.left_out or budget.over(len(search.seen)):
        return 0, 0
    random = np.random.default_rng(seed)
    every = np.array(sorted(search.left_out - set(search.seen.index)))
    if not len(every):
        return 0, 0
    some = random.choice(every, min(CHECKED, len(every)), replace=False).tolist()
    before = {tuple(v) for v in _front(search)}
    search.seen.know(some)
    after = {tuple(v) for v in _front(search)}
    return len(some), len(after - before)


def _front(search: Search) -> np.ndarray:
    best, weighed, _ = search.seen.best(search.constraints)
    return weighed[best]
