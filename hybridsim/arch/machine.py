"""A machine: tiles, clusters, memory and the link between them, checked as a whole."""

from collections.abc import Callable
from functools import reduce
from typing import Any, Literal, Self

import numpy as np
from pydantic import (
    Field,
    NonNegativeInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from hybridsim.components.aimc_tile import AimcTile, Programming
from hybridsim.components.core_kernels import Precision, larger, smaller
from hybridsim.components.cores import Cores
from hybridsim.components.dma import Dma
from hybridsim.components.energy import MachineArea, MachineEnergy
from hybridsim.components.interconnect import ChipLink, Link, OnChip
from hybridsim.components.kernel_costs import KernelCosts
from hybridsim.components.matrix_engine import MatrixEngine
from hybridsim.components.memory import Memory
from hybridsim.components.offload import Offload
from hybridsim.components.tcdm import MEASURED_BANKS, Tcdm
from hybridsim.errors import UnsupportedError
from hybridsim.specs import PlacedError
from hybridsim.units import Clock, Count, IntLike, Spec
from hybridsim.work import Work, no_price


class TileArray(AimcTile):
    """The tiles of a machine: all alike, and how layers share them."""

    count: Count | Literal["as_needed"]
    """Tiles on the machine; ``as_needed`` gives each network the tiles that it asks for."""
    sharing: Literal["exclusive", "packed", "latency", "area", "balance"]
    """Which layers may share a crossbar: none (``exclusive``); whichever fit, by guillotine cuts
    (``packed``); those that read the same input or are the same layer of another block
    (``latency``); whichever fit, in any free rectangle (``area``); the same, but the same layer of
    another block never on the same columns (``balance``)."""

    programming: Programming | None = None
    """What writing weights anew takes, or null where nothing is known or assumed of it."""

    @property
    def crossbars(self) -> int | None:
        """Crossbars on the machine, or None if there are as many as needed."""
        return None if self.count == "as_needed" else self.count * self.tiers


XLayout = Literal["token_major", "feature_major"]
"""How activations lie in the TCDM: one row per token, or one row per feature."""


class Cluster(Spec):
    """A programmable multi-core accelerator (PMCA): cores, engine, DMA and scratchpad."""

    count: Count
    """Clusters on the machine, all alike."""
    plain_count: NonNegativeInt = 0
    """Further clusters, the same but for having no matrix engine."""
    clock: Clock
    precision: Precision
    """Number format in which adapters are held and computed."""
    cores: Cores
    matrix_engine: MatrixEngine | None
    """The GEMM accelerator beside the cores, or null for a cluster without one."""
    dma: Dma
    tcdm: Tcdm
    x_layout: XLayout = "token_major"
    """How the input X of an adapter arrives in the TCDM: one row per token (``token_major``), or
    one row per feature with the tokens of a batch side by side (``feature_major``), which is X^T.
    A product in the other layout makes the cores turn X first. Y and Z are token-major."""
    offload: Offload
    kernel_costs: KernelCosts | None = None
    """Costs of digital kernels as data, or null for the models of cores and matrix engine."""

    @property
    def total(self) -> int:
        """Clusters of both kinds."""
        return self.count + self.plain_count

    @property
    def element_bytes(self) -> int:
        """Bytes of one number of :attr:`precision`."""
        return {"fp32": 4, "fp16": 2, "int8": 1}[self.precision]

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        """Refuse a cluster whose parts tell the same thing differently."""
        size, banks = self.tcdm.size, self.tcdm.banks
        if size % banks:
            problem = f"found {size} B, which do not divide into {banks} banks"
            raise PlacedError("tcdm.size", problem)
        if banks != MEASURED_BANKS:
            raise PlacedError(
                "tcdm.banks",
                f"found {banks}; kernels, transfers and their conflicts were measured with "
                f"{MEASURED_BANKS} banks, and no model covers others: write {MEASURED_BANKS}",
            )
        pairs = {
            "cores.tcdm_banks": (self.cores.tcdm_banks, "tcdm.banks", banks),
            "cores.word": (self.cores.word, "tcdm.bank_width", self.tcdm.bank_width),
            "cores.barrier": (self.cores.barrier, "offload.barrier", self.offload.barrier),
        }
        for place, (value, other, expected) in pairs.items():
            if value != expected:
                raise PlacedError(place, f"found {value}; {expected}, as {other} says, would do")
        return self

    def to_ps(self, cycles: IntLike) -> IntLike:
        """Return the time that ``cycles`` of the cluster take [ps]."""
        return self.clock.to_ps(cycles)

    def at(self, clock: Clock) -> Self:
        """Return the same cluster at another clock."""
        return self.model_copy(update={"clock": clock})

    @property
    def engine(self) -> MatrixEngine:
        """The matrix engine, where it can compute in the cluster's number format.

        Raises:
            UnsupportedError: There is none, or it cannot.
        """
        if self.matrix_engine is None:
            raise UnsupportedError("the cluster has no matrix engine; choose unit=cores")
        if self.precision != "fp16":
            raise UnsupportedError(
                f"the matrix engine computes in fp16, not {self.precision}; "
                "choose unit=cores or cluster.precision=fp16"
            )
        return self.matrix_engine

    def time_ps(self, work: Work) -> Any:
        """Return how long a work of one of its units, or of the whole cluster, takes [ps].

        ``program`` (program,): the program itself says. All else is a kernel of a unit
        (:meth:`cycles`); without cycles it takes 1 ps, the least that a task can last.

        Raises:
            UnsupportedError: The cluster lacks the unit, or does not know the work.
        """
        if work.kind == "program":
            return work.shape[0].time_ps(self)
        return larger(self.to_ps(self.cycles(work)), 1)

    def cycles(self, work: Work) -> Any:
        """Return the cycles of a kernel of one of its units; none without rows or elements.

        ``cycles`` (cycles,): those. On the matrix engine ``gemm`` (m, n, k): Z += X W with X m x n
        and W n x k, and the cores' work of programming it. On the cores ``gemm`` (m, n, k,
        aligned, adds): the fastest kernel for rows without padding, its cores starting together
        if ``aligned``, and a pass that adds the product to an earlier one if ``adds``; with a
        sixth entry the fastest of those that read W row by row, where it lies so; ``add``
        (elements,) and ``transpose`` (elements,). ``zero`` (rows, columns): the DMA fills a buffer
        of the matrix engine, in full rows of its array.

        Raises:
            UnsupportedError: The cluster lacks the unit, or does not know the work.
        """
        equation = _KERNELS.get((work.part, work.kind))
        if equation is None:
            raise no_price(work, "the cluster")
        return equation(self, *work.shape)

    def _engine_gemm(self, m: IntLike, n: IntLike, k: IntLike) -> IntLike:
        engine, programming = self.engine, self.offload.program_engine_cycles()
        return _if_both(m, k, lambda x, z: programming + engine.gemm_cycles(x, n, z))

    def _cores_gemm(
        self, m: IntLike, n: IntLike, k: IntLike, aligned: bool, adds: bool, by_rows: str = ""
    ) -> IntLike:
        cores, precision = self.cores, self.precision

        def cycles(x: IntLike, z: IntLike) -> IntLike:
            if by_rows:
                kernels = cores.gemm_kernels(x, n, z, precision, aligned=aligned)
                product = reduce(smaller, (kernels[name] for name in _BY_ROWS if name in kernels))
            else:
                product = cores.unpadded_gemm_cycles(x, n, z, precision, aligned)
            return product + (cores.vector_add_cycles(x * z, precision) if adds else 0)

        return _if_both(m, k, cycles)

    def _add(self, elements: IntLike) -> IntLike:
        return _if_any(elements, lambda some: self.cores.vector_add_cycles(some, self.precision))

    def _transpose(self, elements: IntLike) -> IntLike:
        return _if_any(elements, lambda some: self.cores.transpose_cycles(some, self.precision))

    def _zero(self, rows: IntLike, columns: IntLike) -> IntLike:
        full, size = self.engine.buffer_rows, self.element_bytes
        return _if_both(rows, columns, lambda m, k: self.dma.transfer_cycles(full(m) * k * size))


def _if_any(amount: IntLike, cycles: Callable[[IntLike], IntLike]) -> IntLike:
    """Return the cycles of an amount of rows or elements; none where there are none."""
    if isinstance(amount, np.ndarray):
        if amount.min(initial=1) > 0:
            return cycles(amount)
        return np.where(amount > 0, cycles(np.maximum(amount, 1)), 0)
    return cycles(amount) if amount > 0 else 0


def _if_both(m: IntLike, k: IntLike, cycles: Callable[[IntLike, IntLike], IntLike]) -> IntLike:
    """Return the cycles of so many rows and columns; none where there are none of either."""
    return _if_any(m, lambda some: _if_any(k, lambda columns: cycles(some, columns)))


_BY_ROWS = ("gemm_broadcast_unpadded", "gemm_scalar_blocked", "gemm_scalar_naive")
"""Kernels of the cores that read W row by row: one element of X times a row of W."""
_KERNELS: dict[tuple[str, str], Callable[..., Any]] = {
    ("matrix_engine", "gemm"): Cluster._engine_gemm,
    ("cores", "gemm"): Cluster._cores_gemm,
    ("cores", "add"): Cluster._add,
    ("cores", "transpose"): Cluster._transpose,
    ("dma", "zero"): Cluster._zero,
    **{(unit, "cycles"): lambda _, cycles: cycles for unit in ("cores", "matrix_engine", "dma")},
}
"""The equation of each kernel, by unit and kind."""


class Chips(Spec):
    """Chips in a row, all alike, each linked to the next.

    Each has the tiles, clusters, link and memory that the machine describes.
    """

    count: Count
    link: ChipLink
    """What leads from each chip to the next, and back: one link per direction."""


class Machine(Spec):
    """A hybrid machine: static weights on tiles, adapters and all that is dynamic on clusters."""

    name: str
    description: str
    tile: TileArray
    cluster: Cluster | None
    """The clusters, or null for a machine that is analog only."""
    link: Link
    """What transfers between tiles, clusters and memory cross."""
    network_on_chip: OnChip | None = None
    """What transfers on a chip cross instead of the link, in strategies for whole networks; null
    for the link."""
    memory: Memory | None = None
    """Memory outside of the clusters, or null where it is neither timed nor limited."""
    chips: Chips | None = None
    """The chips among which tiles, clusters and memory are given out; null for a single chip."""
    free_ops: tuple[str, ...] = Field(default=(), max_length=100)
    """Ops that cost nothing on this machine, by decision: ``kind``, ``kind:function`` or
    ``name:`` and a pattern for the op's name without its block, as in ``activation:relu``."""

    energy: MachineEnergy | None = None
    """What the parts draw, or null where that is unknown: energies are then not reported. What is
    told of a part that the machine does not have changes nothing."""
    area: MachineArea | None = None
    """How much silicon the parts take, or null where that is unknown."""

    @model_validator(mode="after")
    def _chips_can_share(self) -> Self:
        """Refuse several chips whose layers would share crossbars by rules for a single one."""
        if self.chip_count > 1 and self.tile.sharing != "exclusive":
            problem = f"found {self.tile.sharing}; on several chips exclusive would do"
            raise PlacedError("tile.sharing", problem)
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the parts that most machines lack."""
        text: dict[str, Any] = handler(self)
        for name in ("network_on_chip", "chips"):
            if text.get(name) is None:
                text.pop(name, None)
        return text

    def time_ps(self, work: Work) -> Any:
        """Return how long a work takes on the part that does it [ps].

        Raises:
            UnsupportedError: The machine lacks the part, or that does not know the work.
        """
        if work.part == "delay":
            return work.shape[0]
        if work.kind == "transfer" and self.cluster is not None:
            return self.transfer_ps(work.shape[0])
        part = self._part(work.part)
        if part is None:
            raise no_price(work, self.name)
        return part.time_ps(work)

    def transfer_ps(self, size: IntLike) -> IntLike:
        """Return the time of a DMA transfer over the link: as long as the slower of both [ps].

        Raises:
            UnsupportedError: There is no cluster.
        """
        if self.cluster is None:
            raise UnsupportedError(f"{self.name} has no cluster whose DMA could move anything")
        dma = self.cluster.to_ps(self.cluster.dma.transfer_cycles(size))
        return larger(dma, self.link.transfer_ps(size))

    def _part(self, name: str) -> Any:
        """Return what prices the works of a part, or None where the machine has no such part."""
        if name in ("tile", "periphery"):
            return self.tile
        if name in ("cores", "matrix_engine", "dma", "cluster"):
            return self.cluster
        if name == "dram":
            return self.memory.dram if self.memory else None
        if name == "chip_link":
            return self.chips.link if self.chips else None
        return {"link": self.link, "edge": self.network_on_chip}.get(name)

    @property
    def chip_count(self) -> int:
        """Chips on the machine."""
        return self.chips.count if self.chips else 1

    @property
    def activation_bits(self) -> int:
        """Bits of an element between tiles, clusters and memory: those of :attr:`memory`, or as
        the clusters hold it."""
        if self.memory is not None:
            return self.memory.activation_width
        return 8 * self.cluster.element_bytes if self.cluster else 8
