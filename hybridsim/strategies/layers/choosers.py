"""The batching of each layer under a strategy's options: asked for one by one, or as columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from hybridsim.arch import Machine
from hybridsim.errors import CapacityError
from hybridsim.mapping import PlacedLayer
from hybridsim.programs import LoraChoice, LoraProgram
from hybridsim.records import record
from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.batches import Batching, BatchOrder
from hybridsim.strategies.layers.choose import Wanted, choose, choose_batchings
from hybridsim.strategies.layers.decisions import Shape, shape_of
from hybridsim.strategies.layers.outlines import job_of_one
from hybridsim.strategies.layers.points import Chosen, LayerPoints
from hybridsim.units import Ints


class Options(Protocol):
    """What a chooser asks of a strategy."""

    @property
    def batch(self) -> int | None:
        """Tokens per batch; None leaves that open."""

    @property
    def buffers(self) -> int:
        """Batches that a cluster holds at once, where they fit."""

    def choices(self, machine: Machine) -> tuple[LoraChoice, ...]:
        """Return the ways to compute an adapter on a machine that are left open."""

    def batch_order(self, job: Job) -> BatchOrder:
        """Return how batches follow each other on a machine."""

    def within(self, job: Job) -> "Options":
        """Return this for a job with the layers on one kind of parts alone."""


@record(frozen=True, slots=True, eq=False)
class _Grid:
    """What layers get for each of some batches and buffers, and with both left open."""

    shapes: dict[Shape, int]
    """The first row of each shape of layer: that with both left open, before all others."""
    batches: dict[int, int]
    """The place of each batch."""
    buffers: dict[int, int]
    points: LayerPoints
    found: Chosen

    def row(self, shape: Shape, batch: int | None, buffers: int | None) -> int | None:
        """Return the row of a question; None where it was not among those that were asked."""
        first = self.shapes.get(shape)
        if first is None or (batch is None and buffers is None):
            return first
        if batch not in self.batches or buffers not in self.buffers:
            return None
        return first + 1 + self.batches[batch] * len(self.buffers) + self.buffers[buffers]


@dataclass
class BatchChooser:
    """The batching of each layer under a strategy's options; layers alike share it."""

    strategy: Options
    job: Job
    clusters: tuple[int, ...] = ()
    """Numbers of clusters of which each layer takes the fastest; none for that of its options."""
    _order: BatchOrder = field(init=False)
    _of_kinds: "dict[int, BatchChooser]" = field(default_factory=dict)
    """By identity of the job of each kind of parts, where there are several: they choose."""
    _known: dict[tuple[object, ...], Batching] = field(default_factory=dict)
    _unfit: dict[tuple[object, ...], CapacityError] = field(default_factory=dict)
    """Why nothing fits, where that was asked before: a stream asks for each of its stretches."""
    _grid: _Grid | None = None

    def __post_init__(self) -> None:
        if self.job.machine.several:
            for own in self.job.of_kinds:
                strategy, there = self.strategy.within(own), own.machine.cluster
                counts = tuple(n for n in self.clusters if there is None or n <= there.count)
                self._of_kinds[id(own)] = BatchChooser(strategy, own, counts)
        else:
            self._order = self.strategy.batch_order(self.job)

    def by_shape(self) -> dict[Shape, Batching]:
        """Return the batching of each different layer with an adapter; all are chosen at once."""
        job = self.job
        if job.machine.several:
            each = {id(own): self._of_kinds[id(own)].by_shape() for own in job.of_kinds}
            return {
                shape_of(job, layer): each[id(own)][shape_of(own, seen)]
                for layer in job.mapping.layers
                if layer.adapter is not None
                for own, seen in [job.seen_by(layer)]
            }
        adapted = (layer for layer in job.mapping.layers if layer.adapter is not None)
        layers = {shape_of(job, layer): layer for layer in adapted}
        if not layers:
            return {}
        wanted = self._wanted(self.strategy.buffers)
        own = choose_batchings(job, [*layers.values()], self.strategy.batch, wanted)
        return dict(zip(layers, own, strict=True))

    def _wanted(self, buffers: int) -> Wanted:
        choices = self.strategy.choices(self.job.machine)
        return Wanted(choices, buffers, self._order, self.clusters)

    def prepare(self, batches: Sequence[int], buffers: Sequence[int]) -> None:
        """Decide all layers for all these batches and buffers at once, and with both left open."""
        for chooser in self._of_kinds.values():
            chooser.prepare(batches, buffers)
        strategy, job = self.strategy, self.job
        if job.machine.several:
            return
        layers = [layer for layer in job.mapping.layers if layer.adapter is not None]
        shapes = dict.fromkeys(shape_of(job, layer) for layer in layers)
        if job.machine.cluster is None or not shapes:
            return
        asked = np.array([(batch, most) for batch in batches for most in buffers], np.int64)
        both_open = np.array([(strategy.batch or 0, strategy.buffers)], np.int64)
        asked = np.concatenate((both_open, asked))
        sizes = np.repeat(np.array([*shapes], np.int64), len(asked), axis=0)
        points = LayerPoints(*sizes.T, *np.tile(asked, (len(shapes), 1)).T)
        wanted = self._wanted(strategy.buffers)
        found = choose(
            job.machine, points, wanted.choices, wanted.order, job_of_one(job, layers[0]),
            wanted.clusters,
        )  # fmt: skip
        first = {shape: place * len(asked) for place, shape in enumerate(shapes)}
        by_batch, by_buffers = (
            {size: place for place, size in enumerate(own)} for own in (batches, buffers)
        )
        self._grid = _Grid(first, by_batch, by_buffers, points, found)

    def offered(self, layer: PlacedLayer, batches: Sequence[int]) -> "Offered":
        """Return what a layer gets for some of the batches that were prepared, as columns.

        Each with all buffers, in the order of :meth:`prepare`.
        """
        if self.job.machine.several:
            of_kind, seen = self.job.seen_by(layer)
            return self._of_kinds[id(of_kind)].offered(seen, batches)
        grid = self._grid
        assert grid is not None
        first, count = grid.shapes[shape_of(self.job, layer)] + 1, len(grid.buffers)
        places = np.array([grid.batches[batch] for batch in batches], np.int64)
        rows = (first + count * places[:, None] + np.arange(count)).ravel()
        wanted, width = self._wanted(self.strategy.buffers), self.job.machine.tile.columns
        return Offered(grid.found.taken(rows), wanted.choices, self._order, width)

    def batching(
        self, layer: PlacedLayer, batch: int | None = None, buffers: int | None = None
    ) -> Batching | None:
        """Return the batching of a layer, with a batch or buffers if given; None if analog."""
        if layer.adapter is None:
            return None
        if self.job.machine.several:
            of_kind, seen = self.job.seen_by(layer)
            return self._of_kinds[id(of_kind)].batching(seen, batch, buffers)
        key = (shape_of(self.job, layer), batch, buffers)
        if key in self._unfit:
            raise self._unfit[key]
        if key not in self._known:
            try:
                self._known[key] = self._batching(layer, *key)
            except CapacityError as error:
                self._unfit[key] = error
                raise
        return self._known[key]

    def _batching(
        self, layer: PlacedLayer, shape: Shape, batch: int | None, buffers: int | None
    ) -> Batching:
        strategy, grid = self.strategy, self._grid
        wanted = self._wanted(buffers or strategy.buffers)
        row = None if grid is None else grid.row(shape, batch, buffers)
        if grid is not None and row is not None:
            if grid.found.fits[row]:
                return wanted.batching(self.job.machine, grid.points, grid.found, row)
            if batch is not None:
                raise CapacityError(f"a batch of {batch} tokens does not fit")
        # what does not fit is refused in words here
        (own,) = choose_batchings(self.job, [layer], batch or strategy.batch, wanted)
        return own


@record(frozen=True, slots=True, eq=False)
class Offered:
    """What a layer gets for each of some batches and buffers, one entry for each."""

    found: Chosen
    choices: tuple[LoraChoice, ...]
    order: BatchOrder
    width: int
    """Outputs of a slice, where they go slice by slice."""

    def program(self, shape: tuple[int, int, int], at: int) -> LoraProgram:
        """Return the program of a batch of one token, for a layer of a shape: sides and rank."""
        choice = self.choices[int(self.found.choice[at])]
        return LoraProgram(*shape, 1, choice, self.width if self.found.sliced[at] else None)

    def programs(self, shape: tuple[int, int, int]) -> Iterator[tuple[LoraProgram, Ints]]:
        """Yield each of these programs, and where it is taken."""
        found = self.found
        for number in range(len(self.choices)):
            for sliced in (False, True):
                own = found.fits & (found.choice == number) & (found.sliced == sliced)
                at = np.flatnonzero(own)
                if len(at):
                    yield self.program(shape, int(at[0])), at
