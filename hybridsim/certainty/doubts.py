"""Doubts: by how many cycles a kernel of a cluster may be wrong, and what no row says of it."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import field, replace
from functools import lru_cache
from typing import Any, Literal

from hybridsim.arch import Cluster
from hybridsim.certainty.regimes import (
    CONSTANTS,
    STARTS,
    Regime,
    engine_regime,
    gemm_regime,
    norm_regime,
    transfer_regime,
)
from hybridsim.components.core_kernels import GEMMS, LAYERNORMS, VECTOR_ADDS
from hybridsim.components.matrix_engine import MatrixEngine
from hybridsim.records import record
from hybridsim.work import Work

Unit = Literal["matrix_engine", "cores", "dma"]
"""The unit of a cluster whose time is in doubt."""

_UNPADDED = tuple(name for name in GEMMS if name != "gemm_ssr_frep")
"""Kernels for rows as the DMA leaves them."""


@record(frozen=True, slots=True)
class Doubt:
    """A kernel whose cycles are known but for a score of its regime."""

    regime: str
    key: Hashable
    """Which kernel it is, by its shape: what is wrong with it is wrong wherever it runs."""
    cycles: float
    """What a score of one adds, all runs of the kernel in the work together [cycles]."""
    unit: Unit
    """Which unit of a cluster works for longer or shorter."""


@record(frozen=True, slots=True)
class Doubts:
    """What is in doubt in a work."""

    found: tuple[Doubt, ...] = ()
    unmeasured: frozenset[str] = field(default_factory=frozenset)
    """What of it no row of RTL says anything about, by name."""

    def __add__(self, other: "Doubts") -> "Doubts":
        return Doubts(self.found + other.found, self.unmeasured | other.unmeasured)

    def times(self, count: float) -> "Doubts":
        """Return the doubts of so many runs of the same."""
        if count == 1:
            return self
        return replace(self, found=tuple(replace(d, cycles=d.cycles * count) for d in self.found))

    @property
    def together(self) -> "Doubts":
        """The same with each kernel named once."""
        sums: dict[tuple[str, Hashable, Unit], float] = {}
        for each in self.found:
            place = each.regime, each.key, each.unit
            sums[place] = sums.get(place, 0.0) + each.cycles
        found = tuple(Doubt(r, key, cycles, unit) for (r, key, unit), cycles in sums.items())
        return replace(self, found=found)


def unmeasured(*names: str) -> Doubts:
    """Return that nothing was measured of what these names say."""
    return Doubts((), frozenset(names))


def all_of(parts: Iterable[Doubts]) -> Doubts:
    """Return the doubts of several things, one after the other."""
    total = Doubts()
    for part in parts:
        total = total + part
    return total


def moved(way: str, size: int) -> Doubts:
    """Return the doubts of a contiguous transfer of a DMA: ``load``, ``store`` or ``inside``."""
    return _one(transfer_regime(way), ("dma", way, size), "dma")


def kernel_doubts(work: Work, cluster: Cluster) -> Doubts:
    """Return the doubts of a kernel of a unit of a cluster, as its works tell it."""
    find = _KERNELS.get((work.part, work.kind))
    if find is None:
        return unmeasured(f"{work.label} on {work.part.replace('_', ' ')}")
    return find(cluster, *work.shape) if work.shape[0] else Doubts()


def _one(regime: Regime, key: Hashable, unit: Unit) -> Doubts:
    return Doubts((Doubt(regime.name, key, float(regime.unit), unit),))


@lru_cache(maxsize=4096)
def engine_gemm(cluster: Cluster, m: int, n: int, k: int) -> Doubts:
    """Return the doubts of a product on the matrix engine, and of the cores that start it."""
    engine = cluster.engine
    if not isinstance(engine, MatrixEngine):
        return unmeasured(f"products on {engine.part}")
    padded = tuple(int(size) for size in engine.padded(m, n, k))
    job = _one(engine_regime(engine, *padded), ("engine", *padded), "matrix_engine")
    return job + _one(CONSTANTS, ("engine is programmed",), "cores")


@lru_cache(maxsize=4096)
def cores_gemm(
    cluster: Cluster, m: int, n: int, k: int, aligned: bool = True, adds: bool = False
) -> Doubts:
    """Return the doubts of a product on the cores, in the fastest kernel for unpadded rows."""
    cores, precision = cluster.cores, cluster.precision
    if precision == "int8":
        return unmeasured("kernels in int8")
    costs = cores.gemm_kernels(m, n, k, precision, aligned=aligned)
    kernel = min((name for name in _UNPADDED if name in costs), key=lambda name: costs[name])
    key = ("cores", kernel, m, n, k, precision)
    product = _one(gemm_regime(cores, m, n, k, precision, kernel), key, "cores")
    return product + vector_add(cluster, m * k) if adds else product


def vector_add(cluster: Cluster, elements: int) -> Doubts:
    """Return the doubts of a sum, or a product, of two vectors on the cores."""
    cores, precision = cluster.cores, cluster.precision
    if precision == "int8":
        return unmeasured("kernels in int8")
    names = [n for n, p in VECTOR_ADDS.items() if all(getattr(cores, x) for x in p.needs)]
    costs = {n: int(cores.vector_add_cycles(elements, precision, n)) for n in names}
    kernel = min(names, key=lambda name: costs[name])
    return _one(STARTS, ("cores", kernel, elements, precision), "cores")


def layer_norm(cluster: Cluster, rows: int, columns: int) -> Doubts:
    """Return the doubts of a layer normalisation on the cores; it was measured in fp32 alone."""
    cores = cluster.cores
    if cluster.precision != "fp32":
        return unmeasured(f"layer norms in {cluster.precision}")
    names = [n for n, p in LAYERNORMS.items() if all(getattr(cores, x) for x in p.needs)]
    costs = {n: int(cores.layernorm_cycles(rows, columns, "fp32", n)) for n in names}
    kernel = min(names, key=lambda name: costs[name])
    regime = norm_regime(cores, rows, columns, "fp32", kernel)
    return _one(regime, ("cores", kernel, rows, columns), "cores")


def softmax(cluster: Cluster) -> Doubts:
    """Return the doubts of a softmax: none of its kernels in the formats of networks is measured.

    The rows of RTL are a scalar program in fp32.
    """
    unit = cluster.row_unit_for("softmax")
    return unmeasured(f"softmax on {unit.part}" if unit else f"softmax in {cluster.precision}")


def _zero(cluster: Cluster, rows: int, columns: int) -> Doubts:
    size = int(cluster.engine.buffer_rows(rows)) * columns * cluster.element_bytes
    return moved("load", size)


_KERNELS: dict[tuple[str, str], Callable[..., Any]] = {
    ("matrix_engine", "gemm"): engine_gemm,
    ("cores", "gemm"): cores_gemm,
    ("cores", "add"): vector_add,
    ("cores", "transpose"): lambda cluster, elements: unmeasured("transposes on cores"),
    ("dma", "zero"): _zero,
}
"""How the doubts of each kernel are found, by unit and kind of its work."""
