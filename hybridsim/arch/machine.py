"""A machine: tiles, clusters, memory and the link between them, checked as a whole."""

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import (
    Discriminator,
    Field,
    NonNegativeInt,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    Tag,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from hybridsim.arch.kinds import OF_TILES, check_kinds, kind_of, seen
from hybridsim.arch.mapping_rules import MappingRules
from hybridsim.components.aimc_tile import AimcTile, Programming
from hybridsim.components.core_kernels import Precision, larger, smaller
from hybridsim.components.cores import Cores
from hybridsim.components.dma import Dma
from hybridsim.components.energy import MachineArea, MachineEnergy
from hybridsim.components.interconnect import ChipLink, Link, OnChip
from hybridsim.components.kernel_costs import KernelCosts
from hybridsim.components.matrix_engine import MatrixEngine
from hybridsim.components.memory import Memory, bytes_of
from hybridsim.components.offload import Offload
from hybridsim.components.parts import GemmUnit, OutsidePart, RowUnit, names_a_part, part_of
from hybridsim.components.tcdm import MEASURED_BANKS, Tcdm
from hybridsim.errors import InputError, UnsupportedError
from hybridsim.shown import flat, html, lines
from hybridsim.specs import PlacedError, differences
from hybridsim.units import Clock, Count, IntLike, Parts, Spec, at_most, ceil_div
from hybridsim.work import Work, no_price

_AS_BUILT = (
    "read_phases", "input_slices", "columns_per_converter", "conversion_time",
    "devices_per_weight",
)  # fmt: skip
"""Keys of a tile that are left out where it does nothing of the kind."""


class TileArray(AimcTile):
    """The tiles of a machine: all alike, and how layers share them."""

    count: Annotated[Count, at_most(10**6, "no system has more tiles")] | Literal["as_needed"]
    """Tiles on the machine; ``as_needed`` gives each network the tiles that it asks for."""
    sharing: Literal["exclusive", "packed", "latency", "area", "balance"]
    """Which layers may share a crossbar: none (``exclusive``); whichever fit, by guillotine cuts
    (``packed``); those that read the same input or are the same layer of another block
    (``latency``); whichever fit, in any free rectangle (``area``); the same, but the same layer of
    another block never on the same columns (``balance``)."""

    programming: Programming | None = None
    """What writing weights anew takes, or null where nothing is known or assumed of it."""

    @model_validator(mode="after")
    def _told_alike(self) -> Self:
        """Refuse converters in turns that take no time, and other devices written than read."""
        if self.columns_per_converter > 1 and self.conversion_time is None:
            problem = "is missing: what each of the columns that share a converter waits for"
            raise PlacedError("conversion_time", problem)
        written = self.programming.devices_per_weight if self.programming else None
        if self.devices_per_weight > 1 and written not in (None, self.devices_per_weight):
            problem = f"found {self.devices_per_weight}; {written}, as programming says, would do"
            raise PlacedError("devices_per_weight", problem)
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what most tiles do in one read, with a converter per column."""
        text: dict[str, Any] = handler(self)
        for name in _AS_BUILT:
            if text.get(name) in (1, None):
                text.pop(name, None)
        return text

    @property
    def crossbars(self) -> int | None:
        """Crossbars on the machine, or None if there are as many as needed."""
        return None if self.count == "as_needed" else self.count * self.tiers


XLayout = Literal["token_major", "feature_major"]
"""How activations lie in the TCDM: one row per token, or one row per feature."""


def _engine_tag(engine: object) -> str:
    return "GemmUnit" if isinstance(engine, GemmUnit) else "MatrixEngine"


AnyEngine = Annotated[
    Annotated[MatrixEngine, Tag("MatrixEngine")]
    | Annotated[SerializeAsAny[GemmUnit], Tag("GemmUnit")],
    Discriminator(_engine_tag),
]
"""RedMulE, or a part from outside that multiplies in its place."""


class Cluster(Spec):
    """A programmable multi-core accelerator (PMCA): cores, engine, DMA and scratchpad."""

    count: Parts
    """Clusters on the machine, all alike."""
    plain_count: Annotated[NonNegativeInt, at_most(1024, "no chip has more clusters")] = 0
    """Further clusters, the same but for having no matrix engine."""
    clock: Clock
    """Of cores, engine, DMA and scratchpad."""
    precision: Precision
    """Number format in which adapters are held and computed."""
    cores: Cores
    """The cores that compute."""
    matrix_engine: AnyEngine | None
    """The GEMM accelerator beside the cores, or null for a cluster without one; ``part`` names one
    from outside of the package."""
    row_unit: SerializeAsAny[RowUnit] | None = None
    """What computes softmax, norms or activations in place of the cores: ``part`` names it; null
    where the cores do."""
    dma: Dma
    """What moves data into the scratchpad and out of it."""
    tcdm: Tcdm
    """The scratchpad."""
    x_layout: XLayout = "token_major"
    """How the input X of an adapter arrives in the TCDM: one row per token (``token_major``), or
    one row per feature with the tokens of a batch side by side (``feature_major``), which is X^T.
    A product in the other layout makes the cores turn X first. Y and Z are token-major."""
    offload: Offload
    """How cores meet, sleep and wake, and program the engine."""
    kernel_costs: KernelCosts | None = None
    """Costs of digital kernels as data, or null for the models of cores and matrix engine."""

    @field_validator("matrix_engine", "row_unit", mode="before")
    @classmethod
    def _from_outside(cls, given: Any, info: ValidationInfo) -> Any:
        base: type[OutsidePart] = GemmUnit if info.field_name == "matrix_engine" else RowUnit
        if not names_a_part(given):
            return given
        try:
            return part_of(given, base)
        except InputError as error:
            raise PlacedError("", str(error)) from None

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the unit that most clusters lack."""
        text: dict[str, Any] = handler(self)
        if self.row_unit is None:
            text.pop("row_unit", None)
        return text

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

    def row_unit_for(self, kernel: str) -> RowUnit | None:
        """Return the unit that takes a kernel of rows from the cores, or None where they do it."""
        unit = self.row_unit
        return unit if unit is not None and kernel in unit.takes else None

    @property
    def engine(self) -> MatrixEngine | GemmUnit:
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
            return larger(work.shape[0].time_ps(self), 1)
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

    count: Parts
    """Chips in a row."""
    link: ChipLink
    """What leads from each chip to the next, and back: one link per direction."""


class Machine(Spec):
    """A hybrid machine: static weights on tiles, adapters and all that is dynamic on clusters."""

    name: str
    """What results call the machine."""
    description: str
    """What it is, for people."""
    tile: TileArray
    """The analog tiles, and how many there are: the usual ones, where there are several kinds."""
    tiles: differences("TileArray") = Field(default={})  # type: ignore[valid-type]
    """Further kinds of tiles beside the usual ones, by name: each says what differs from ``tile``,
    and is else as that (``{big: {rows: 1024, count: 8}}``)."""
    cluster: Cluster | None
    """The clusters, or null for a machine that is analog only: the usual ones, which compute all
    that no rule gives to others, where there are several kinds."""
    clusters: differences("Cluster") = Field(default={})  # type: ignore[valid-type]
    """Further kinds of clusters, by name: each says what differs from ``cluster``."""
    link: Link
    """What transfers between tiles, clusters and memory cross."""
    mapping: MappingRules = MappingRules()
    """How weights are laid on the tiles; left out where each lies there once."""
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

    @model_validator(mode="after")
    def _kinds_are_whole(self) -> Self:
        """Refuse kinds of parts that are none, and rules of kinds that are not there."""
        check_kinds(self)
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the parts that most machines lack."""
        text: dict[str, Any] = handler(self)
        for name in ("network_on_chip", "chips", "tiles", "clusters"):
            if not text.get(name):
                text.pop(name, None)
        if self.mapping == MappingRules():
            text.pop("mapping", None)
        return text

    def __str__(self) -> str:
        """Return what the machine is, a line for each of its parts."""
        text = self.to_text()
        head = f"Machine {text.pop('name')}: {text.pop('description')}"
        facts = {
            part: ", ".join(f"{path} {value}".strip() for path, value in flat(below))
            for part, below in text.items()
        }
        return lines(head, facts.items())

    def __repr__(self) -> str:
        return f"<Machine {self.name}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: every value that is there."""
        text = self.to_text()
        head = f"{text.pop('name')}: {text.pop('description')}"
        return html(head, ("field", "value"), flat(text))

    def time_ps(self, work: Work) -> Any:
        """Return how long a work takes on the part that does it [ps].

        Raises:
            UnsupportedError: The machine lacks the part, or that does not know the work.
        """
        if work.part == "delay":
            return work.shape[0]
        if work.sort:
            own = (work.sort, "") if work.part in OF_TILES else ("", work.sort)
            return self.seen(*own).time_ps(replace(work, sort=""))
        if work.kind == "transfer" and self.cluster is not None:
            return self.transfer_ps(work.shape[0])
        if work.kind == "write":
            return self.writing_ps(*work.shape)
        part = self._part(work.part)
        if part is None:
            raise no_price(work, self.name)
        return part.time_ps(work)

    def transfer_ps(self, size: IntLike) -> IntLike:
        """Return the time of a DMA transfer over the link: as long as the slower of both [ps].

        Raises:
            UnsupportedError: There is no cluster.
        """
        return larger(*self.transfer_parts_ps(size))

    def transfer_parts_ps(self, size: IntLike) -> tuple[IntLike, IntLike]:
        """Return what the DMA and what the link take for a transfer, each by itself [ps].

        Raises:
            UnsupportedError: There is no cluster.
        """
        if self.cluster is None:
            raise UnsupportedError(f"{self.name} has no cluster whose DMA could move anything")
        dma = self.cluster.to_ps(self.cluster.dma.transfer_cycles(size))
        return dma, self.link.transfer_ps(size)

    def writing_ps(self, rows: int, size: int, sequences: int, live: int) -> Any:
        """Return what each of some sequences bears of writing tiles anew [ps].

        Rows of a tile are written one after the other while weights of ``size`` bytes come from
        the external memory, if the machine has any: as long as the slower of both takes, shared by
        all sequences. ``live`` bytes of each sequence go out to that memory and come back.

        Raises:
            UnsupportedError: Nothing is known of what writing takes.
        """
        if self.tile.programming is None:
            raise UnsupportedError(
                f"{self.name} does not say what writing weights takes; give it tile.programming, "
                "or write mapping.overflow=refuse"
            )
        time: Any = self.tile.programming.crossbar_ps(rows)
        moved: Any = 0
        if self.memory is not None and self.memory.dram is not None:
            time = larger(time, self.memory.dram.transfer_ps(size))
            moved = self.memory.dram.transfer_ps(2 * live)
        return larger(ceil_div(time, sequences) + moved, 1)

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
    def several(self) -> bool:
        """Whether there are several kinds of tiles or of clusters."""
        return bool(self.tiles or self.clusters)

    def tile_of(self, sort: str) -> TileArray:
        """Return a kind of tiles, "" for the usual one."""
        return kind_of(self.tile, self.tiles, sort, "tiles")

    def cluster_of(self, sort: str) -> Cluster | None:
        """Return a kind of clusters, "" for the usual one."""
        if self.cluster is None:
            return None
        return kind_of(self.cluster, self.clusters, sort, "clusters")

    def seen(self, tile: str = "", cluster: str = "") -> "Machine":
        """Return the machine as if it had one kind of tiles and one of clusters alone."""
        machine: Machine = seen(self, tile, cluster)
        return machine

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

    def bytes_of(self, elements: IntLike) -> IntLike:
        """Return what so many elements take between tiles, clusters and memory [bytes]."""
        return bytes_of(elements, self.activation_bits)
