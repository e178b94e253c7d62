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
from hybridsim.plan import Bools
from hybridsim.programs import LoraChoice, LoraProgram
from hybridsim.strategies.layers.batches import BatchOrder
from hybridsim.strategies.layers.bounded import LINES, Bounded
from hybridsim.strategies.layers.points import Chosen, LayerPoints
from hybridsim.strategies.layers.way_times import WayPrices
from hybridsim.units import Ints, ceil_div


@using(larger)
def bound_ps(bounds: Ints, on: int, number: int, vector: int) -> int:
    """Return a time that a candidate cannot beat [ps]; ``vector`` is that of an MVM.

    See :attr:`Trials.bounds`.
    """
    least = bounds[on, 0, number]
    for line in range(1, 2 * LINES, 2):
        least = larger(least, bounds[on, line, number] * vector + bounds[on, line + 1, number])
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
    """A time [ps], then pairs of tokens to be integrated and a time on top [ps]; shape (clusters,
    1 + 2 LINES, candidates). Zeros where there is no choice. A code is the place of a number of
    clusters times all candidates, plus the candidate."""
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
            none = np.zeros((len(clusters), 1 + 2 * LINES, 0), np.int64)
            return cls(begin, none.ravel(), none.reshape(5, 0), none)
        asked = options > (1 if len(clusters) == 1 else 0)
        some = [own.bounds(machine, settings, order, clusters, asked) for own in tried]
        each, priced = [own for own, _ in some], tuple(own for _, own in some)
        if len(tried) == 1:
            return cls(begin, tried[0].setting, tried[0].columns, each[0], priced)
        setting = np.concatenate([own.setting for own in tried])
        columns = np.concatenate([own.columns for own in tried], axis=1)
        most = int(columns[2].max(initial=0)) + 1  # each of them is in order
        by_setting = np.argsort(setting * most + columns[2], kind="stable")
        bounds = np.concatenate(each, axis=2).take(by_setting, axis=2)
        return cls(begin, setting[by_setting], columns[:, by_setting], bounds, priced, by_setting)

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

    def bounds(
        self,
        machine: Machine,
        settings: LayerPoints,
        order: BatchOrder,
        clusters: Sequence[int],
        asked: Bools,
    ) -> tuple[Ints, _Priced]:
        """Return the bounds of each candidate of the settings that are asked for, and its prices.

        Shape (clusters, 1 + 2 LINES, candidates).
        """
        every = bool(asked.all())
        at = np.arange(0) if every else np.flatnonzero(asked[self.setting])
        setting = self.setting if every else self.setting[at]
        shape = len(clusters), 1 + 2 * LINES, len(self.setting)
        if not len(setting):
            return np.zeros(shape, np.int64), _Priced(None, at, len(self.setting))
        # then the last batch of a candidate is another candidate of its setting
        open_batch = bool((settings.batch[setting] == 0).all())
        program = self.program if every else self.program.taken(at)
        own = Bounded(
            machine.taken(setting), settings.tokens[setting], program,
            self.buffers if every else self.buffers[at], order, open_batch,
        )  # fmt: skip
        bounds = np.empty((*shape[:2], len(setting)), np.int64)
        for count, there in zip(clusters, bounds, strict=True):
            own.fill(count, len(clusters) > 1, there)
        priced = _Priced(own.prices, None if every else at, len(self.setting))
        if every:
            return bounds, priced
        found = np.zeros(shape, np.int64)
        found[:, :, at] = bounds
        return found, priced


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
