"""Candidates for the batch of adapted layers, and times that none of them can beat; all columns.

Layers that differ in their tiles alone share a setting, and so its candidates: each batch that
fits, in each way to compute the adapter. Each candidate may be run on several numbers of clusters.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybridsim.alike import groups
from hybridsim.arch import Cluster, Machine
from hybridsim.compiling import using
from hybridsim.components.core_kernels import larger
from hybridsim.components.matrix_engine import MOST
from hybridsim.errors import UnsupportedError
from hybridsim.programs import LoraChoice, LoraProgram
from hybridsim.strategies.layers.batches import BatchOrder
from hybridsim.strategies.layers.bounded import LINES, Bounded
from hybridsim.strategies.layers.points import Chosen, LayerPoints
from hybridsim.strategies.layers.way_times import WayPrices
from hybridsim.units import Ints, ceil_div

ROWS = 1 + 2 * LINES
"""Numbers that bound a candidate on each number of clusters."""


@using(larger)
def bound_ps(bounds: Ints, at: int, step: int, vector: int) -> int:
    """Return a time that a candidate cannot beat [ps]; ``vector`` is that of an MVM.

    Its numbers are ``step`` apart from ``at`` on: see :attr:`Trials.bounds`.
    """
    least = bounds[at]
    for line in range(1, 2 * LINES, 2):
        least = larger(least, bounds[at + line * step] * vector + bounds[at + (line + 1) * step])
    return int(least)


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """All candidates: ascending by setting, then by batch, then as ways were given."""

    begin: Ints
    """The first candidate of each setting, and one more entry for their end."""
    setting: Ints
    columns: Ints
    """Choice, whether it is sliced, batch, buffers and scratchpad of each, shape (5, ...)."""
    bounds: Ints
    """Of each way, one after the other: a time [ps], then pairs of tokens to be integrated and a
    time on top [ps]; shape (clusters, ROWS, candidates), flat. Where there is no choice, none. A
    code is the place of a number of clusters times all candidates, plus the candidate."""
    start: Ints
    """Where those of each candidate begin."""
    step: Ints
    """How far apart they are: as many candidates as its way has."""
    priced: "tuple[_Priced, ...]" = ()
    """Of candidates that share a way, one after the other before they were sorted."""
    unsorted: Ints | None = None
    """Where each candidate was then; None where they were in order."""

    @classmethod
    def of(
        cls,
        machine: Machine,
        settings: LayerPoints,
        choices: Sequence[LoraChoice],
        order: BatchOrder,
        clusters: Sequence[int],
    ) -> "Trials":
        """Return the candidates of settings; fields of ``machine`` may be columns of them.

        ``clusters`` are the numbers of clusters that each may be run on.
        """
        assert machine.cluster is not None
        tried = [
            own
            for number, choice in enumerate(choices)
            if can_compute(machine.cluster, choice)
            for own in _ways(machine, settings, number, choice)
        ]
        options = np.zeros(len(settings), np.int64)
        for own in tried:
            options += np.bincount(own.setting, minlength=len(settings))
        begin = np.concatenate(([0], np.cumsum(options)))
        if not tried:
            none = np.zeros(0, np.int64)
            return cls(begin, none, none.reshape(5, 0), none, none, none)
        asked = options > (1 if len(clusters) == 1 else 0)
        some = [np.flatnonzero(asked[own.setting]) for own in tried]
        each, first = len(clusters) * ROWS, 0
        bounds = np.empty(each * sum(map(len, some)), np.int64)
        start, step, priced = list[Ints](), list[Ints](), list[_Priced]()
        for own, at in zip(tried, some, strict=True):
            every, count = len(at) == len(own.setting), len(at)
            there = bounds[first : first + each * count].reshape(len(clusters), ROWS, count)
            part = own if every else own.taken(at)
            prices = part.fill(machine, settings, order, clusters, there)
            priced.append(_Priced(prices, None if every else at, len(own.setting)))
            place = np.zeros(len(own.setting), np.int64)
            place[at] = np.arange(first, first + count)
            start.append(place)
            step.append(np.full(len(own.setting), count))
            first += each * count
        if len(tried) == 1:
            one = tried[0].setting, tried[0].columns
            return cls(begin, *one, bounds, start[0], step[0], tuple(priced))
        setting, starts, steps = (
            np.concatenate(own) for own in ([own.setting for own in tried], start, step)
        )
        columns = np.concatenate([own.columns for own in tried], axis=1)
        most = int(columns[2].max(initial=0)) + 1  # each of them is in order
        # bounds stay where they are: to sort them takes longer than to look them up there
        at = np.argsort(setting * most + columns[2], kind="stable")
        sorted_ = setting[at], columns[:, at], bounds, starts[at], steps[at]
        return cls(begin, *sorted_, tuple(priced), at)

    def __len__(self) -> int:
        return len(self.setting)

    def prices(self, code: Ints) -> tuple[WayPrices, Ints] | None:
        """Return what batches take of the way that some codes share, and their places in it.

        Of settings with a choice. None where that is not known.
        """
        at, begin = code % len(self), 0
        if self.unsorted is not None:
            at = self.unsorted[at]
        for own in self.priced:
            if at[0] < begin + own.candidates:
                place = at - begin
                if own.prices is None:
                    return None
                return own.prices, place if own.asked is None else np.searchsorted(
                    own.asked, place
                )
            begin += own.candidates
        return None

    def chosen(self, code: Ints, clusters: Sequence[int]) -> Chosen:
        """Return what points are with some codes: number of clusters, then candidate; -1: none."""
        fits = code >= 0
        which, at = np.divmod(np.maximum(code, 0), max(1, len(self)))
        columns = self.columns[:, at] if len(self) else np.zeros((5, len(code)), np.int64)
        choice, sliced, batch, buffers, tcdm_bytes = np.where(fits, columns, 0)
        on = np.where(fits, np.array(clusters, np.int64)[which], 0)
        unknown = np.full((2, len(code)), -1, np.int64)
        return Chosen(choice, sliced > 0, batch, buffers, tcdm_bytes, on, code, *unknown)


@dataclass(frozen=True, slots=True, eq=False)
class _Priced:
    """What the candidates of a way take, as far as that was worked out for their bounds."""

    prices: WayPrices | None
    asked: Ints | None
    """Which of the candidates these are; None for all."""
    candidates: int


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """Candidates that share a choice and the number of slices: ascending by setting and batch."""

    number: int
    """Of the choice."""
    setting: Ints
    program: LoraProgram
    """As columns; it holds the batches."""
    sliced: bool
    buffers: Ints
    """Batches in flight that fit, of those that are wanted."""
    tcdm_bytes: Ints

    def taken(self, at: Ints) -> "_Way":
        """Return some of the candidates."""
        setting, buffers, taken = (c[at] for c in (self.setting, self.buffers, self.tcdm_bytes))
        return _Way(self.number, setting, self.program.taken(at), self.sliced, buffers, taken)

    @property
    def columns(self) -> Ints:
        """The columns of :attr:`Trials.columns`."""
        size: Any = self.program.tokens
        number, sliced = (np.full(len(size), own) for own in (self.number, self.sliced))
        return np.stack((number, sliced, size, self.buffers, self.tcdm_bytes))

    def fill(
        self,
        machine: Machine,
        settings: LayerPoints,
        order: BatchOrder,
        clusters: Sequence[int],
        found: Ints,
    ) -> WayPrices | None:
        """Fill in the bounds of each candidate, and return its prices if there is any.

        Shape (clusters, ROWS, candidates).
        """
        if not len(self.setting):
            return None
        # then the last batch of a candidate is another candidate of its setting
        open_batch = bool((settings.batch[self.setting] == 0).all())
        own = Bounded(
            machine.taken(self.setting), settings.tokens[self.setting], self.program,
            self.buffers, order, open_batch,
        )  # fmt: skip
        for count, there in zip(clusters, found, strict=True):
            own.fill(count, len(clusters) > 1, there)
        return own.prices


def _ways(
    machine: Machine, settings: LayerPoints, number: int, choice: LoraChoice
) -> Iterator[_Way]:
    """Yield the candidates of a choice: outputs whole, then slice by slice, each as a tile."""
    columns = machine.tile.columns
    yield from _way(machine, settings, np.arange(len(settings)), number, choice, None)
    wide = np.flatnonzero(settings.out_features > columns)
    if len(wide):
        for at in groups([ceil_div(settings.out_features[wide], columns)]):
            yield from _way(machine, settings, wide[at], number, choice, columns)


def _way(
    machine: Machine,
    settings: LayerPoints,
    there: Ints,
    number: int,
    choice: LoraChoice,
    width: int | None,
) -> Iterator[_Way]:
    """Yield the candidates of a choice and a way to slice for some settings, if any fit."""

    def of(setting: Ints, size: Ints) -> tuple[LoraProgram, Cluster]:
        shape = (settings.in_features, settings.out_features, settings.rank)
        inner, outer, rank = (column[setting] for column in shape)
        cluster = machine.cluster
        assert cluster is not None
        own = LoraProgram(inner, outer, rank, size, choice, width)  # type: ignore[arg-type]
        return own, cluster.taken(setting)

    most = settings.tokens[there]
    if choice.unit != "cores":
        widest = settings.out_features[there]
        if width is not None:
            widest = np.minimum(widest, width)
        sides = np.maximum(np.maximum(settings.in_features[there], settings.rank[there]), widest)
        most = np.where(sides <= MOST, np.minimum(most, MOST), 0)
    tokens, batch = settings.tokens[there], settings.batch[there]
    if (batch == 0).any():  # else whether that one fits is seen below
        most = _most_that_fit(there, most, of)
    place, size = _offered(tokens, batch, most)
    if not len(size):
        return
    setting = there[place]
    program, cluster = of(setting, size)
    fixed: Any = program.tcdm_bytes(cluster, 0)
    each: Any = program.tcdm_bytes(cluster, 1) - fixed
    buffers = np.minimum((cluster.tcdm.size - fixed) // each, settings.buffers[setting])
    found = _Way(number, setting, program, width is not None, buffers, fixed + buffers * each)
    fits = buffers > 0
    found = found if fits.all() else found.taken(np.flatnonzero(fits))
    if len(found.setting):
        yield found


def _most_that_fit(there: Ints, most: Ints, of: Any) -> Ints:
    """Return the largest batch of each setting that fits a scratchpad, at most ``most``."""
    low, high = np.zeros(len(there), np.int64), most.copy()
    while (low < high).any():
        middle = (low + high + 1) // 2
        program, cluster = of(there, np.maximum(middle, 1))
        fits = program.tcdm_bytes(cluster, 1) <= cluster.tcdm.size
        low, high = np.where(fits, middle, low), np.where(fits, high, middle - 1)
    return np.minimum(low, most)


def _offered(tokens: Ints, batch: Ints, most: Ints) -> tuple[Ints, Ints]:
    """Return the place and the tokens of each batch that is offered, at most ``most`` each."""
    given = np.minimum(batch, tokens)
    if (batch > 0).all():
        place = np.flatnonzero(given <= most)
        return place, given[place]
    count = np.where(batch == 0, most, given <= most)
    place = np.repeat(np.arange(len(tokens)), count)
    size = np.arange(len(place)) - np.repeat(np.cumsum(count) - count, count) + 1
    return place, np.where(batch[place] > 0, given[place], size)


def can_compute(cluster: Cluster, choice: LoraChoice) -> bool:
    """Return whether a cluster has what a choice asks for."""
    if choice.unit == "balanced" and choice.add == "separate":
        return False
    try:
        return choice.unit == "cores" or bool(cluster.engine)
    except UnsupportedError:
        return False
