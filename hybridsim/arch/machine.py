"""A machine: tiles, clusters and the link between them, checked as a whole."""

from typing import Literal, Self

from pydantic import model_validator

from hybridsim.components.aimc_tile import AimcTile
from hybridsim.components.core_kernels import Precision
from hybridsim.components.cores import Cores
from hybridsim.components.dma import Dma
from hybridsim.components.interconnect import Link
from hybridsim.components.matrix_engine import MatrixEngine
from hybridsim.components.offload import Offload
from hybridsim.components.tcdm import Tcdm
from hybridsim.spec_files import PlacedError
from hybridsim.units import Clock, Count, IntLike, Spec


class TileArray(AimcTile):
    """The tiles of a machine: all alike, and how layers share them."""

    count: Count | Literal["as_needed"]
    """Tiles on the machine; ``as_needed`` gives each network the tiles that it asks for."""
    sharing: Literal["exclusive", "packed"]
    """Whether a crossbar holds blocks of one layer only, or as many blocks as fit."""

    @property
    def crossbars(self) -> int | None:
        """Crossbars on the machine, or None if there are as many as needed."""
        return None if self.count == "as_needed" else self.count * self.tiers


class Cluster(Spec):
    """A programmable multi-core accelerator (PMCA): cores, engine, DMA and scratchpad."""

    count: Count
    """Clusters on the machine, all alike."""
    clock: Clock
    precision: Precision
    """Number format in which adapters are held and computed."""
    cores: Cores
    matrix_engine: MatrixEngine | None
    """The GEMM accelerator beside the cores, or null for a cluster without one."""
    dma: Dma
    tcdm: Tcdm
    offload: Offload

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


class Machine(Spec):
    """A hybrid machine: static weights on tiles, adapters and all that is dynamic on clusters."""

    name: str
    description: str
    tile: TileArray
    cluster: Cluster | None
    """The clusters, or null for a machine that is analog only."""
    link: Link
    """What transfers between tiles, clusters and memory cross."""
