"""What recalibrating a chip takes, by the simulator's own parts, and what a schedule is worth.

An event measures every layer with n vectors and fits corrections of rank k on the chip itself:

* its tiles compute n MVMs for every layer and read; inputs go there over the link, outputs come
  back;
* the cluster's cores subtract outputs from those wanted, which lie in memory, and its matrix
  engine adds up X^T R block by block, as large as its scratchpad holds;
* the engine multiplies by L^-1, which depends on the calibration sentences alone and lies in
  memory; then it finds the k largest singular directions by subspace iteration with k + 8 columns
  and four passes (Halko, Martinsson, Tropp, SIAM Review 53, 2011), and multiplies back.

Kernels and transfers of the cluster are taken one after the other. Tiles may wait for it or not:
an event takes at least as long as the busier of both, and at most their sum. Whether the cluster's
number format does for the fit was not tried; what host computes L^-1 once is not priced.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

from hybridsim.arch import Cluster, Machine
from hybridsim.components.matrix_engine import MatrixEngine
from hybridsim.errors import UnsupportedError
from hybridsim.programs.lora_energy import vector_aj
from hybridsim.units import ceil_div
from hybridsim.work import Work

OVERSAMPLED = 8
"""Columns beyond the rank in the subspace iteration; Halko et al. find 5 to 10 enough."""
PASSES = 4
"""Products with the matrix or its transpose in the subspace iteration."""
YEAR_S = 31_536_000
_SIDES = (64, 128, 256, 512, 1024, 2048)
"""Rows of blocks that are tried."""
_WIDTHS = (8, 16, 32, 64, 128, 256)
"""Columns and inner sizes of blocks that are tried."""


@dataclass(frozen=True, slots=True)
class EventPrice:
    """What one recalibration takes."""

    tiles_ps: int = 0
    """The layers' tiles, one layer after the other."""
    cluster_ps: int = 0
    """Transfers and kernels of the cluster."""
    macs: int = 0
    """Multiply-accumulates of the cluster."""
    link_bytes: int = 0
    energy_aj: int = 0
    """Of tiles, cluster, link; nothing is counted for a memory that the machine does not
    describe."""

    def plus(self, other: "EventPrice") -> "EventPrice":
        """Return both together."""
        return EventPrice(
            self.tiles_ps + other.tiles_ps,
            self.cluster_ps + other.cluster_ps,
            self.macs + other.macs,
            self.link_bytes + other.link_bytes,
            self.energy_aj + other.energy_aj,
        )

    @property
    def least_ps(self) -> int:
        """The event's time where tiles and cluster work side by side."""
        return max(self.tiles_ps, self.cluster_ps)

    @property
    def most_ps(self) -> int:
        """The event's time where one waits for the other."""
        return self.tiles_ps + self.cluster_ps


def event_price(
    shapes: Sequence[tuple[int, int]], vectors: int, rank: int, reads: int, machine: Machine
) -> EventPrice:
    """Return what measuring and correcting layers of (in, out) features takes.

    Raises:
        UnsupportedError: The machine lacks a cluster with a matrix engine, or does not tell what
            its tiles and clusters draw.
    """
    parts, total = _parts_of(machine), EventPrice()
    for in_features, out_features in shapes:
        total = total.plus(parts.layer(in_features, out_features, vectors, rank, reads))
    return total


def _parts_of(machine: Machine) -> "_Parts":
    """Return the parts that compute, or refuse a machine that lacks some."""
    cluster, energy = machine.cluster, machine.energy
    if cluster is None or not isinstance(cluster.matrix_engine, MatrixEngine):
        raise UnsupportedError(
            f"{machine.name}: a cluster with a matrix engine of its own kind "
            "would do to recalibrate"
        )
    if energy is None or energy.tile is None or energy.cluster is None:
        raise UnsupportedError(
            f"{machine.name} does not tell what its tiles and clusters draw; a section energy: "
            "with tile: and cluster: in its file would do"
        )
    return _Parts(machine, cluster, cluster.matrix_engine)


def step_price(
    shapes: Sequence[tuple[int, int]], vectors: int, rank: int, machine: Machine
) -> EventPrice:
    """Return what one step of training adapters takes on the machine itself.

    Tiles compute forward; the cluster computes adapters, and backward g W with a digital copy of
    the weights, since tiles are read one way. Attention, norms, head and the optimizer are left
    out, so a step takes longer than this.

    Raises:
        UnsupportedError: As for :func:`event_price`.
    """
    parts, total = _parts_of(machine), EventPrice()
    for in_features, out_features in shapes:
        total = total.plus(parts.step(in_features, out_features, vectors, rank))
    return total


class _Parts:
    """The parts of a machine that an event uses."""

    def __init__(self, machine: Machine, cluster: Cluster, engine: MatrixEngine) -> None:
        self.machine, self.cluster, self.engine = machine, cluster, engine
        assert machine.energy is not None
        self.energy = machine.energy
        self.product: Callable[[int, int, int], EventPrice] = cache(self._product)
        self.layer = cache(self._layer)
        self.step = cache(self._step)

    def _layer(self, rows: int, columns: int, vectors: int, rank: int, reads: int) -> EventPrice:
        """Return what one layer of (in, out) features takes."""
        wide, width = rank + OVERSAMPLED, self.machine.activation_bits // 8
        found = self._on_tiles(rows, columns, vectors * reads)
        found = found.plus(self._moved(vectors * columns * width))
        found = found.plus(self._subtracted(vectors * columns, reads))
        products = [
            (rows, vectors, columns),  # X^T R
            (rows, rows, columns),  # L^-1
            (rows, rows, rank),  # L^-T
            *((rows, columns, wide), (columns, rows, wide)) * (PASSES // 2),
            *((wide, max(rows, columns), wide), (max(rows, columns), wide, wide)) * PASSES,
        ]
        for m, n, k in products:
            found = found.plus(self.product(m, n, k))
        return found

    def _on_tiles(self, rows: int, columns: int, vectors: int) -> EventPrice:
        """Return what the tiles of a layer take for vectors that come and go over the link."""
        assert self.energy.tile is not None
        tile = EventPrice(
            tiles_ps=int(self.machine.tile.mvm_ps(rows, columns, vectors)),
            energy_aj=vectors * vector_aj(self.machine, self.energy.tile, rows, columns),
        )
        width = self.machine.activation_bits // 8
        return tile.plus(self._moved(vectors * (rows + columns) * width))

    def _step(self, rows: int, columns: int, vectors: int, rank: int) -> EventPrice:
        """Return what one layer of (in, out) features takes in a step of training."""
        found = self._on_tiles(rows, columns, vectors)
        products = [
            (vectors, rows, rank), (vectors, rank, columns),  # forward: x A^T, then B^T
            (vectors, columns, rows),  # g W
            (vectors, columns, rank), (vectors, rank, rows),  # g B, then A
            (columns, vectors, rank), (rank, vectors, rows),  # gradients of B and A
        ]  # fmt: skip
        for m, n, k in products:
            found = found.plus(self.product(m, n, k))
        return found

    def _subtracted(self, elements: int, times: int) -> EventPrice:
        time = times * int(self.cluster.time_ps(Work("cores", "add", "subtract", (elements,))))
        return EventPrice(cluster_ps=time, energy_aj=self._while_cores_work(time))

    def _while_cores_work(self, time: int) -> int:
        spec = self.energy.cluster
        assert spec is not None
        return ((spec.cores_power if spec.by_unit else spec.power) or 0) * time

    def _moved(self, size: int) -> EventPrice:
        """Return what bytes over the link take, in transfers of a quarter of the scratchpad."""
        piece = self.cluster.tcdm.size // 4
        whole, rest = divmod(size, piece)
        time = whole * int(self.machine.transfer_ps(piece))
        time += int(self.machine.transfer_ps(rest)) if rest else 0
        spec = self.energy.cluster
        assert spec is not None
        inside = ((spec.dma_byte or 0) + (spec.tcdm_byte or 0)) * size
        link = int(self.energy.link.transfer_aj(size, time)) if self.energy.link else 0
        power = 0 if spec.by_unit else (spec.power or 0) * time
        return EventPrice(cluster_ps=time, link_bytes=size, energy_aj=inside + link + power)

    def _product(self, m: int, n: int, k: int) -> EventPrice:
        """Return what a product (m, n) (n, k) takes, in the blocks that are fastest."""
        found = [self._in_blocks(m, n, k, *block) for block in self._blocks(m, n, k)]
        return min(found, key=lambda price: price.cluster_ps)

    def _blocks(self, m: int, n: int, k: int) -> Iterator[tuple[int, int, int]]:
        """Yield the blocks that fit the scratchpad, sizes that are tried and whole ones."""
        for rows in {min(m, side) for side in _SIDES}:
            for columns in {min(k, width) for width in _WIDTHS}:
                for inner in {min(n, width) for width in _WIDTHS}:
                    size = self.engine.gemm_bytes(rows, inner, columns)
                    if size <= self.cluster.tcdm.size:
                        yield rows, inner, columns

    def _in_blocks(
        self, m: int, n: int, k: int, rows: int, inner: int, columns: int
    ) -> EventPrice:
        """Return what a product takes in blocks; a result stays while inner blocks are added."""
        runs = ceil_div(m, rows) * ceil_div(n, inner) * ceil_div(k, columns)
        work = Work("matrix_engine", "gemm", "gemm", (rows, inner, columns))
        each = int(self.cluster.time_ps(work))
        spec = self.energy.cluster
        assert spec is not None
        macs = rows * inner * columns
        slots = int(self.engine.gemm_cycles(rows, inner, columns)) * self.engine.macs_per_cycle
        by_time = (spec.engine_power if spec.by_unit else spec.power) or 0
        events = int(spec.engine_aj(macs, slots)) if spec.by_unit else 0
        computed = EventPrice(
            cluster_ps=runs * each, macs=m * n * k, energy_aj=runs * (events + by_time * each)
        )
        element = self.cluster.element_bytes
        operands = runs * (rows * inner + inner * columns) * element
        return computed.plus(self._moved(operands + m * k * element))


def mean_over_time(
    corrected: Sequence[float],
    times: Sequence[float],
    value: Mapping[tuple[float | None, float], float],
    first_read: float = 20.0,
) -> float:
    """Return the mean of a value from the first time to the last under a schedule.

    Between two times the value goes on in a straight line over ln(t + t0), as drift does. The mean
    over a single time is the value there.

    Args:
        corrected: Times of the schedule's events [s].
        times: Times at which values are known, rising [s].
        value: (last event before, or None; time) -> value.
        first_read: t0 of the device [s].
    """
    if len(times) == 1:
        return value[max((e for e in corrected if e <= times[0]), default=None), times[0]]
    total = 0.0
    for start, end in pairwise(times):
        last = max((e for e in corrected if e <= start), default=None)
        before, after = value[last, start], value[last, end]
        a, b = start + first_read, end + first_read
        grown = math.log(b / a)
        mean_share = (b * grown - (b - a)) / grown / (b - a)  # mean of ln(t / a) / ln(b / a)
        total += (end - start) * (before + (after - before) * mean_share)
    return total / (times[-1] - times[0])


def per_year(price: EventPrice, events: int, years: float) -> EventPrice:
    """Return what so many events in so many years take in one."""
    share = events / years
    return replace(
        price,
        **{
            name: round(getattr(price, name) * share)
            for name in ("tiles_ps", "cluster_ps", "macs", "link_bytes", "energy_aj")
        },
    )
