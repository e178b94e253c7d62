"""Choosing how many tokens go together, for many layers at once or for one.

All equations take columns, one entry per point, so that a sweep decides a block of points in few
calls; a single layer is a block of one point.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from hybridsim.alike import alike
from hybridsim.arch import Cluster, Machine
from hybridsim.compiling import over_columns
from hybridsim.components.matrix_engine import MOST
from hybridsim.errors import CapacityError, UnsupportedError
from hybridsim.mapping import PlacedLayer
from hybridsim.plan import Bools
from hybridsim.programs import LoraChoice, LoraProgram
from hybridsim.strategies.layers.batches import PLAIN, Batching, BatchOrder
from hybridsim.strategies.layers.estimate import PricedParts, Terms, estimated, fill_least
from hybridsim.units import Ints, format_bytes


@dataclass(frozen=True, slots=True, eq=False)
class LayerPoints:
    """Layers with adapters that are to be decided, one per point; columns of one length."""

    in_features: Ints
    out_features: Ints
    rank: Ints
    tokens: Ints
    batch: Ints
    """Tokens per batch; 0 leaves that open."""
    buffers: Ints
    """Batches in flight that are wanted."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def columns(self) -> tuple[Ints, ...]:
        """All columns, in the order of the fields."""
        sizes = self.in_features, self.out_features, self.rank, self.tokens
        return (*sizes, self.batch, self.buffers)

    def taken(self, index: Ints) -> "LayerPoints":
        """Return some of the points."""
        return LayerPoints(*(column[index] for column in self.columns))


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """What was chosen for each point, as columns; where nothing fits all others are 0."""

    choice: Ints
    """Which of the choices that were left open."""
    sliced: Bools
    """Whether outputs go slice by slice, each as wide as a tile."""
    batch: Ints
    buffers: Ints
    """Batches in flight: as many as fit and are wanted."""
    tcdm_bytes: Ints
    candidate: Ints
    """Number of what was chosen: points that share one agree in all but their tiles; -1: none."""

    @property
    def fits(self) -> Bools:
        """Whether anything fits."""
        return self.candidate >= 0

    def taken(self, index: Ints) -> "Chosen":
        """Return what was chosen for some of the points."""
        columns = self.choice, self.batch, self.buffers, self.tcdm_bytes, self.candidate
        choice, *others = (column[index] for column in columns)
        return Chosen(choice, self.sliced[index], *others)

    def with_others(self, where: Bools, others: "Chosen") -> "Chosen":
        """Return this with others in some places."""
        pairs = ((getattr(others, own), getattr(self, own)) for own in self.__slots__)
        return Chosen(*(np.where(where, new, old) for new, old in pairs))

    def program(
        self, machine: Machine, points: LayerPoints, choices: Sequence[LoraChoice], at: Ints
    ) -> LoraProgram:
        """Return the program of full batches of some points, which share a choice, as columns.

        The points cut into as many slices. Rows are not shared between units yet.
        """
        choice, sliced = choices[int(self.choice[at[0]])], bool(self.sliced[at[0]])
        return LoraProgram(
            points.in_features[at],  # type: ignore[arg-type]
            points.out_features[at],  # type: ignore[arg-type]
            points.rank[at],  # type: ignore[arg-type]
            self.batch[at],  # type: ignore[arg-type]
            choice,
            machine.tile.columns if sliced else None,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Trials:
    """Candidates that share a choice and a way to slice: ascending by point, then by batch."""

    number: int
    """Of the choice."""
    sliced: bool
    point: Ints
    program: LoraProgram
    """As columns."""
    fixed: Ints
    """Scratchpad that it takes whatever is in flight [bytes]."""
    each: Ints
    """Scratchpad that every batch in flight takes [bytes]."""
    buffers: Ints
    """Batches in flight that fit, of those that are wanted; 0 for none."""

    def where(self, kept: Bools) -> "_Trials":
        """Return those that are kept."""
        others = (self.point, self.fixed, self.each, self.buffers)
        point, fixed, each, buffers = (column[kept] for column in others)
        program = self.program.taken(kept)
        return _Trials(self.number, self.sliced, point, program, fixed, each, buffers)


def choose(
    machine: Machine,
    points: LayerPoints,
    choices: Sequence[LoraChoice],
    order: BatchOrder = PLAIN,
) -> Chosen:
    """Return for each point the batch with the least estimated latency among those that fit.

    An open batch is one of the powers of two, or all tokens at once. A layer wider than a tile may
    go slice by slice, each as wide as a tile. A batch that does not fit with the buffers that are
    wanted in flight is run with fewer. Fields of ``machine`` may be columns as well; points that
    agree in all but their tiles are tried once.
    """
    cluster, link, tile = machine.cluster, machine.link, machine.tile
    assert cluster is not None
    own = (*points.columns, *cluster.arrays(), *link.arrays())
    first, which = alike(own, len(points))
    one, some = machine.taken(first), points.taken(first)
    tried = []
    for (number, choice), sliced in product(enumerate(choices), (False, True)):
        if can_compute(cluster, choice):
            found = _trials(one, some, number, choice, sliced)
            fits = found.buffers > 0
            if fits.any():
                tried.append(found if fits.all() else found.where(fits))
    options = np.zeros(len(some), np.int64)
    for trials in tried:
        options += np.bincount(trials.point, minlength=len(some))
    begin = np.concatenate(([0], np.cumsum(options)))
    candidates = _Candidates.of(one, some, tried, options, order)
    after = tile.periphery_ps(some.in_features, some.out_features)
    vector = tile.integration_time + after[which]
    figures = (estimated(order), begin, candidates.terms, some.tokens)
    return candidates.chosen(over_columns(fill_least, figures, which, vector))


def choose_batching(
    machine: Machine,
    layer: PlacedLayer,
    tokens: int,
    batch: int | None,
    choices: Sequence[LoraChoice],
    buffers: int,
    order: BatchOrder = PLAIN,
) -> Batching:
    """Return the batching of one layer: see :func:`choose`; ``batch`` None leaves that open.

    Raises:
        CapacityError: ``batch``, or with None a single token, does not fit the scratchpad.
        UnsupportedError: None of ``choices`` can run on the cluster.
    """
    cluster = machine.cluster
    assert cluster is not None
    assert layer.adapter is not None
    shape = (layer.op.in_features, layer.op.out_features, layer.adapter.rank, tokens)
    found = _choose_one(PricedParts.of(machine), shape, batch or 0, tuple(choices), buffers, order)
    if found is None:
        raise _why_none_fits(machine, layer, shape, batch, choices)
    return found


@lru_cache(maxsize=4096)
def _choose_one(
    parts: PricedParts,
    shape: tuple[int, int, int, int],
    batch: int,
    choices: tuple[LoraChoice, ...],
    buffers: int,
    order: BatchOrder,
) -> Batching | None:
    """Return the batching of one layer, or None where nothing fits; layers alike are one."""
    points = LayerPoints(*(np.array([each]) for each in (*shape, batch, buffers)))
    return batchings(parts.machine, points, choices, order)[0]


def batchings(
    machine: Machine, points: LayerPoints, choices: Sequence[LoraChoice], order: BatchOrder
) -> list[Batching | None]:
    """Return what :func:`choose` finds as decisions, one for each point; None where nothing fits.

    Fields of ``machine`` are single numbers.
    """
    cluster = machine.cluster
    assert cluster is not None
    found = choose(machine, points, choices, order)
    each: list[Batching | None] = [None] * len(points)
    for at in np.flatnonzero(found.fits).tolist():
        width = machine.tile.columns if found.sliced[at] else None
        columns = (points.in_features, points.out_features, points.rank, found.batch)
        inner, outer, rank, batch = (int(column[at]) for column in columns)
        choice = choices[found.choice[at]]
        program = LoraProgram(inner, outer, rank, batch, choice, width)
        tokens = int(points.tokens[at])
        each[at] = Batching.of(cluster, program, int(found.buffers[at]), order, tokens)
    return each


def _trials(
    machine: Machine, points: LayerPoints, number: int, choice: LoraChoice, sliced: bool
) -> _Trials:
    """Return all batches that are tried of all points, with how many fit."""
    tile, cluster = machine.tile, machine.cluster
    assert cluster is not None
    there = np.ones(len(points), np.bool_)
    if sliced:
        there &= points.out_features > tile.columns
    point, size = _sizes(points, there)
    inner, outer, rank = (
        column[point] for column in (points.in_features, points.out_features, points.rank)
    )
    width = np.minimum(outer, tile.columns)
    if choice.unit != "cores":
        sides = np.maximum(np.maximum(inner, rank), np.maximum(size, width if sliced else outer))
        point, size, inner, outer, rank, width = (
            column[sides <= MOST] for column in (point, size, inner, outer, rank, width)
        )
    program = LoraProgram(inner, outer, rank, size, choice, width if sliced else None)  # type: ignore[arg-type]
    own = cluster.taken(point)
    fixed: Any = program.tcdm_bytes(own, 0)
    each: Any = program.tcdm_bytes(own, 1) - fixed
    room = np.maximum((own.tcdm.size - fixed) // each, 0)
    return _Trials(
        number, sliced, point, program, fixed, each, np.minimum(room, points.buffers[point])
    )


def _sizes(points: LayerPoints, there: Bools) -> tuple[Ints, Ints]:
    """Return the point and the tokens of each batch that is tried."""
    index = np.flatnonzero(there)
    tokens, batch = points.tokens[index], points.batch[index]
    powers = np.where(batch > 0, 0, np.ceil(np.log2(np.maximum(tokens, 1))).astype(np.int64))
    count = powers + 1
    place = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    whole = np.where(batch > 0, np.minimum(batch, tokens), tokens)
    last = place == np.repeat(powers, count)
    size = np.where(last, np.repeat(whole, count), np.left_shift(1, place))
    return np.repeat(index, count), size


@dataclass(frozen=True, slots=True, eq=False)
class _Candidates:
    """All candidates of all settings: ascending by setting, then as they were tried."""

    columns: tuple[Ints, ...]
    """Choice, whether it is sliced, batch, buffers and scratchpad of each."""
    terms: Ints
    """What their estimates depend on; only batches where there is no other, shape (terms, ...)."""

    @classmethod
    def of(
        cls,
        machine: Machine,
        points: LayerPoints,
        tried: Sequence[_Trials],
        options: Ints,
        order: BatchOrder,
    ) -> "_Candidates":
        """Return the candidates that were tried, with the terms of those that are one of many."""
        parts, terms = [], []
        for trials in tried:
            size: Any = trials.program.tokens
            number, sliced = (0 * size + value for value in (trials.number, trials.sliced))
            taken = trials.fixed + trials.buffers * trials.each
            parts.append(np.stack((number, sliced, size, trials.buffers, taken)))
            several = options[trials.point] > 1
            own = np.zeros((len(Terms._fields), len(size)), np.int64)
            own[0] = size
            if several.any():
                every = bool(several.all())
                some = trials if every else trials.where(several)
                one, tokens = machine.taken(some.point), points.tokens[some.point]
                found = Terms.of(one, tokens, some.program, some.buffers, order)
                for term, column in enumerate(found):
                    own[term, slice(None) if every else several] = column
            terms.append(own)
        if not tried:
            return cls(tuple(np.zeros((5, 0), np.int64)), np.zeros((6, 0), np.int64))
        columns, flat = np.concatenate(parts, axis=1), np.concatenate(terms, axis=1)
        if len(tried) > 1:
            by_point = np.argsort(np.concatenate([own.point for own in tried]), kind="stable")
            columns, flat = columns[:, by_point], flat[:, by_point]
        return cls(tuple(columns), flat)

    def chosen(self, candidate: Ints) -> Chosen:
        """Return what points are that take some of the candidates; -1 is none."""
        fits = candidate >= 0
        if not fits.all():
            at = np.maximum(candidate, 0)
            columns = [
                np.where(fits, own[at], 0) if len(own) else 0 * candidate for own in self.columns
            ]
        else:
            columns = [own[candidate] for own in self.columns]
        choice, sliced, batch, buffers, tcdm_bytes = columns
        return Chosen(choice, sliced > 0, batch, buffers, tcdm_bytes, candidate)


def can_compute(cluster: Cluster, choice: LoraChoice) -> bool:
    """Return whether a cluster has what a choice asks for."""
    if choice.unit == "balanced" and choice.add == "separate":
        return False
    try:
        return choice.unit == "cores" or bool(cluster.engine)
    except UnsupportedError:
        return False


def slice_widths(machine: Machine, layer: PlacedLayer) -> list[int]:
    """Return how wide the slices of a layer's outputs may be: all of it, or one tile."""
    return sorted({layer.op.out_features, min(machine.tile.columns, layer.op.out_features)})[::-1]


def _why_none_fits(
    machine: Machine,
    layer: PlacedLayer,
    shape: tuple[int, int, int, int],
    batch: int | None,
    choices: Sequence[LoraChoice],
) -> CapacityError | UnsupportedError:
    """Return why a layer cannot be adapted: there is no room, or no unit."""
    cluster, tokens = machine.cluster, shape[3]
    assert cluster is not None
    sizes = (*(2**i for i in range((tokens - 1).bit_length())), tokens)
    tried = [
        LoraProgram(*shape[:3], size, choice, columns)
        for choice in choices
        for columns in slice_widths(machine, layer)
        for size in ([min(batch, tokens)] if batch else sizes)
    ]
    reason, needs = UnsupportedError("no way to compute an adapter is left open"), []
    for program in [own for own in tried if fits(own, cluster)] or tried:
        try:
            program.on(cluster).cycles(cluster)
        except UnsupportedError as error:
            reason = error
        else:
            needs.append(program)
    if not needs:
        return reason
    least = min(needs, key=lambda program: program.tcdm_bytes(cluster, 1))
    return CapacityError(_does_not_fit(machine, layer, least))


def fits(program: LoraProgram, cluster: Cluster) -> bool:
    """Return whether a cluster has the room for one batch of a program, and the unit."""
    try:
        return program.tcdm_bytes(cluster, 1) <= cluster.tcdm.size
    except UnsupportedError:
        return False


def _does_not_fit(machine: Machine, layer: PlacedLayer, program: LoraProgram) -> str:
    cluster = machine.cluster
    assert cluster is not None
    need, size = program.tcdm_bytes(cluster, 1), cluster.tcdm.size
    fitting = [
        tokens
        for tokens in range(1, program.tokens)
        if program.of_tokens(tokens).tcdm_bytes(cluster, 1) <= size
    ]
    advice = (
        f"a batch of {fitting[-1]} fits"
        if fitting
        else f"not even one token fits; lower the rank (now {program.rank}), choose a strategy "
        "for whole networks such as xl_pipe, which adapts in slices"
    )
    return (
        f"{layer.name}: an adapter of {program.in_features} x {program.out_features} at rank "
        f"{program.rank} needs {format_bytes(need)} of TCDM for a batch of "
        f"{program.tokens}; a cluster of {machine.name} has {format_bytes(size)}; "
        f"{advice}, or raise cluster.tcdm.size"
    )
