"""The heads of one cluster: what their steps cost, and how many queries fit at a time.

For each batch of queries and head: load Q and K, Q K^T on the matrix engine, softmax on the cores,
load V, scores x V on the matrix engine, store. Source of the forms: HARP (IEEE TPDS 2026, DOI
10.1109/TPDS.2026.3706975); FlashAttention (Dao et al., NeurIPS 2022) for the one over warps.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

from hybridsim.arch import Cluster
from hybridsim.components.kernel_costs import millicycles_to_ps
from hybridsim.errors import CapacityError, InputError, UnsupportedError
from hybridsim.records import record
from hybridsim.units import ceil_div, format_bytes
from hybridsim.work import Work, no_price

Form = Literal["sequential", "pipelined", "flash"]
"""One kernel after the other; transfers, products and softmax side by side; or the same over
warps of keys, so that no row of scores has to fit."""
KeysValues = Literal["reread", "resident"]
"""Whether K and V are fetched for every batch of queries, or once and kept."""

_LEAST_BATCH = 8
"""The smallest batch of queries that a search tries. Source: HARP, {8, 16, 32, ..., all}."""


@record(frozen=True)
class Attention:
    """The heads of one cluster, and how they are computed.

    Raises:
        InputError: A size is below 1.
    """

    cluster: Cluster
    tokens: int
    """Queries."""
    keys: int
    """Tokens attended to; a causal mask saves nothing (assumed, as HARP does)."""
    head_dim: int
    heads: int
    """Heads that this cluster computes."""
    form: Form = "sequential"
    keys_values: KeysValues = "reread"
    has_engine: bool = True
    """Whether the products run on the matrix engine; on the cores otherwise."""
    most_warp: int | None = None
    """Keys that the flash form takes at a time; as many as fit unless given."""
    in_turn: bool = False
    """Whether the flash form does one thing after the other, as the sequential form."""

    def __post_init__(self) -> None:
        for name in ("tokens", "keys", "head_dim", "heads"):
            if getattr(self, name) < 1:
                raise InputError(f"attention: {name}: found {getattr(self, name)}; give 1 or more")
        if self.form == "flash" and self.keys_values == "resident":
            raise UnsupportedError(
                "attention: the flash form reads keys and values in warps; choose reread"
            )

    def time_ps(self, work: Work) -> Any:
        """Return how long a work of its plan takes [ps].

        ``rows`` and ``store`` (rows, ...): one transfer of so many rows of each matrix.
        ``product`` (which, rows, keys): Q K^T or scores x V. ``softmax`` and ``partial softmax``
        (rows, keys). ``scale`` (rows,): the rows of an output.

        Raises:
            UnsupportedError: It is another work.
        """
        if work.kind in ("rows", "store"):
            return self.transfer_ps(*work.shape)
        if work.kind == "product":
            which, rows, keys = work.shape
            return self.products_ps(rows, keys)[which]
        if work.kind == "softmax":
            return self.softmax_ps(*work.shape)
        if work.kind == "partial softmax":
            return self.partial_softmax_ps(*work.shape)
        if work.kind == "scale":
            return self.scale_ps(*work.shape)
        raise no_price(work, "attention")

    def partial_softmax_ps(self, rows: int, keys: int) -> Any:
        """Return the time of a softmax that goes on from warp to warp [ps].

        Assumed: that of a softmax, times (4 M K + 4 M + (K - 1) M) / (M (6 K - 1)), the operations
        of the one over those of the other. Source of the counts: HARP.
        """
        whole, partial = 6 * keys - 1, 4 * keys + 4 + (keys - 1)
        return ceil_div(self.softmax_ps(rows, keys) * partial, whole)

    def scale_ps(self, rows: int) -> int:
        """Return the time of scaling the rows of an output; assumed, as an addition of vectors."""
        cluster = self.cluster
        elements = rows * self.head_dim
        return cluster.to_ps(cluster.cores.vector_add_cycles(elements, cluster.precision))

    def fitting(self) -> "Attention":
        """Return the same heads, in the flash form where not one query fits in this one.

        Keys and values that are asked to stay do not become others.
        """
        if self.form == "flash" or self.keys_values == "resident" or self.buffers(1):
            return self
        return self.in_warps()

    def in_warps(self) -> "Attention":
        """Return the same heads over warps of keys; what ran side by side still does."""
        if self.form == "flash":
            return self
        return replace(self, form="flash", in_turn=self.form == "sequential")

    def tcdm_bytes(self, rows: int, buffers: int = 1) -> int:
        """Return the scratchpad that ``rows`` of queries at a time need.

        (Q + K + scores) per buffer; V takes the place of K. Source: HARP. Resident: K and V of
        all heads, and (Q + scores) per buffer, the output in the place of Q. Flash: (Q + K +
        two buffers of scores + 3 statistics per row) over a warp of keys; the output beside it.
        """
        dim, keys = self.head_dim, self.keys
        if self.keys_values == "resident":
            elements = 2 * self.heads * keys * dim + buffers * rows * (dim + keys)
        elif self.form == "flash":
            warp = self.warp(rows)
            elements = buffers * warp * dim + rows * (2 * dim + 2 * warp + 3)
        else:
            elements = buffers * (rows * dim + keys * dim + rows * keys)
        return elements * self.cluster.element_bytes

    def buffers(self, rows: int) -> int:
        """Return how many batches the scratchpad holds: 2, 1, or 0 if not even one fits."""
        size = self.cluster.tcdm.size
        wanted = 1 if self.form == "sequential" else 2
        return next((n for n in range(wanted, 0, -1) if self.tcdm_bytes(rows, n) <= size), 0)

    def warp(self, rows: int) -> int:
        """Return how many keys the flash form takes at a time: as many as fit, a power of two.

        At most :attr:`most_warp`, where that is given.
        """
        room = self.cluster.tcdm.size // self.cluster.element_bytes
        room -= rows * (2 * self.head_dim + 3)
        most = max(1, room // (2 * self.head_dim + 2 * rows))
        return min(self.keys, self.most_warp or self.keys, 1 << (most.bit_length() - 1))

    # --- costs ------------------------------------------------------------------------------

    def products_ps(self, rows: Any, keys: int) -> tuple[Any, Any]:
        """Return the times of Q K^T and of scores x V for ``rows`` queries of one head [ps].

        ``rows`` may be a column, here and below, where no costs are data.
        """
        costs, cluster = self.cluster.kernel_costs, self.cluster
        if costs is not None and self.has_engine:
            gemm = millicycles_to_ps(
                cluster.clock, costs.attention.of(rows, keys, self.head_dim)[0]
            )
            return gemm, gemm
        return (
            cluster.to_ps(self._gemm_cycles(rows, self.head_dim, keys)),
            cluster.to_ps(self._gemm_cycles(rows, keys, self.head_dim)),
        )

    def softmax_ps(self, rows: Any, keys: int) -> Any:
        """Return the time of the softmax of ``rows`` rows of scores [ps].

        On the unit that takes it from the cores, where the cluster has one.
        """
        costs, cluster = self.cluster.kernel_costs, self.cluster
        if (unit := cluster.row_unit_for("softmax")) is not None:
            return cluster.to_ps(unit.cycles("softmax", rows, keys))
        if costs is not None:
            return millicycles_to_ps(
                cluster.clock, costs.attention.of(rows, keys, self.head_dim)[1]
            )
        return cluster.to_ps(cluster.cores.softmax_cycles(rows, keys, cluster.precision))

    def transfer_ps(self, *rows: Any) -> Any:
        """Return the time of one DMA task that moves matrices of so many rows of a head [ps].

        By width alone on a machine whose kernel costs are data, as those were inferred so.
        """
        cluster = self.cluster
        sizes = [each * self.head_dim * cluster.element_bytes for each in rows]
        if cluster.kernel_costs is not None:
            return cluster.to_ps(sum(cluster.dma.beats(size) for size in sizes))
        return cluster.to_ps(sum(cluster.dma.transfer_cycles(size) for size in sizes))

    def _gemm_cycles(self, m: Any, n: int, k: int) -> Any:
        """Cycles of one product without an addend.

        The engine adds onto its output buffer, so that is zeroed by the DMA first, as for the
        adapters. K is taken to lie as the product needs it (assumed).
        """
        cluster = self.cluster
        if not self.has_engine:
            kernels = cluster.cores.gemm_kernels(m, n, k, cluster.precision, aligned=True)
            return min(kernels.values())
        matrix_engine = cluster.matrix_engine
        if matrix_engine is None:
            raise UnsupportedError("the cluster has no matrix engine for attention")
        rows = matrix_engine.buffer_rows(m)
        zero = cluster.dma.transfer_cycles(rows * k * cluster.element_bytes)
        return zero + cluster.offload.program_engine_cycles() + matrix_engine.gemm_cycles(m, n, k)

    # --- cutting the queries ----------------------------------------------------------------

    def parts(self, batch: int) -> list[tuple[int, ...]]:
        """Return the rows of each part of each batch of queries.

        Raises:
            CapacityError: Not even one row fits.
        """
        whole = [min(batch, self.tokens - at) for at in range(0, self.tokens, batch)]
        largest = self._largest(whole[0])
        return [tuple(_cut(rows, largest)) for rows in whole]

    def _largest(self, rows: int) -> int:
        """Return the rows of the fewest equal parts that fit."""
        for count in range(1, rows + 1):
            part = ceil_div(rows, count)
            if self.buffers(part):
                return part
        need = format_bytes(self.tcdm_bytes(1))
        kept = self.keys_values == "resident"
        advice = "choose keys_values=reread, or " if kept else ""
        if self.form != "flash" and not kept:
            advice = "choose attention=flash, or "
        raise CapacityError(
            f"attention over {self.keys} keys of {self.head_dim} elements needs {need} of TCDM "
            f"for one query ({self.form}, {self.keys_values}); a cluster has "
            f"{format_bytes(self.cluster.tcdm.size)}; {advice}raise cluster.tcdm.size"
        )

    @cached_property
    def searched(self) -> tuple[int, ...]:
        """Batches of queries that a search tries: those that fit, of {8, 16, 32, ..., all}."""
        sizes = [8 * 2**i for i in range(20) if 8 * 2**i < self.tokens] + [self.tokens]
        return tuple(rows for rows in sizes if self.buffers(rows)) or (
            self._largest(_LEAST_BATCH),
        )


def _cut(rows: int, most: int) -> Iterator[int]:
    for at in range(0, rows, most):
        yield min(most, rows - at)
