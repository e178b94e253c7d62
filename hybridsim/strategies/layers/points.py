"""Layers with adapters as columns, one entry per point, and what is chosen for each."""

from collections.abc import Sequence

import numpy as np

from hybridsim.arch import Machine
from hybridsim.plan import Bools
from hybridsim.programs import LoraChoice, LoraProgram
from hybridsim.records import record
from hybridsim.strategies.layers.batches import BatchOrder, SizeColumns
from hybridsim.units import Ints


@record(frozen=True, slots=True, eq=False)
class LayerPoints:
    """Layers with adapters that are to be decided, one per point; columns of one length."""

    in_features: Ints
    out_features: Ints
    rank: Ints
    tokens: Ints
    copies: Ints
    """Sets of tiles that take the tokens in turn."""
    batch: Ints
    """Tokens per batch; 0 leaves that open."""
    buffers: Ints
    """Batches in flight that are wanted."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def columns(self) -> tuple[Ints, ...]:
        """All columns, in the order of the fields."""
        sizes = self.in_features, self.out_features, self.rank, self.tokens, self.copies
        return (*sizes, self.batch, self.buffers)

    def taken(self, index: Ints) -> "LayerPoints":
        """Return some of the points."""
        return LayerPoints(*(column[index] for column in self.columns))


@record(frozen=True, slots=True, eq=False)
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
    clusters: Ints
    """Clusters that take the batches in turn."""
    candidate: Ints
    """Number of what was chosen: points that share one agree in all but their tiles; -1: none."""
    latency_ps: Ints
    """What it takes, where it was run to be chosen; -1 where there was no choice."""
    tasks: Ints
    """Of that run."""

    @property
    def fits(self) -> Bools:
        """Whether anything fits."""
        return self.candidate >= 0

    def batches(self, points: LayerPoints, order: BatchOrder) -> Ints:
        """Return how many batches the layers of some points are cut into."""
        ramps = order.first_batch or 0, order.last_batch or 0
        return SizeColumns.of(points.tokens, np.maximum(self.batch, 1), *ramps).batches

    def taken(self, index: Ints) -> "Chosen":
        """Return what was chosen for some of the points."""
        return Chosen(*(getattr(self, name)[index] for name in self.__slots__))

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
