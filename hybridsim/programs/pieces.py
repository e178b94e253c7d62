"""Norms, activations and sums on a cluster, cut into pieces that fit its scratchpad."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from hybridsim.arch import Cluster
from hybridsim.components.kernel_costs import millicycles_to_ps
from hybridsim.errors import CapacityError
from hybridsim.records import record
from hybridsim.units import Ints, ceil_div, format_bytes
from hybridsim.workload import Op
from hybridsim.workload.ops import (
    Activation,
    Add,
    Combine,
    Depthwise,
    Norm,
    Pool,
    Rotary,
    Scan,
    Select,
)

_GATED = ("swiglu", "geglu")
_SUMS = ("add", "no_norm", "scale", "combine", "depthwise", "pool", "scan")
"""Functions that are sums and products of vectors."""
_NORMS = ("layer_norm", "rms_norm", "no_norm", "scale", "select")


@record(frozen=True, slots=True)
class Piece:
    """A norm, an activation or a sum over ``rows`` vectors of ``columns`` elements.

    On a machine with kernel costs, layer and RMS norms and functions of one vector take what those
    say, with their transfers. Otherwise a piece is loaded, computed and stored, one after the
    other, as nothing else keeps the cluster busy meanwhile.
    """

    function: str
    """``add``, ``rotary``, or the function of a norm or an activation."""
    operands: int
    """Vectors that make one."""
    rows: int
    columns: int
    terms: int = 1
    """Products that are summed up for each element: weights of a channel, states of a scan."""

    @classmethod
    def of(cls, op: Op, rows: int, columns: int) -> "Piece":
        """Return a piece of an op."""
        if isinstance(op, Add):
            return cls("add", max(2, len(op.inputs)), rows, columns)
        if isinstance(op, Rotary):
            return cls("rotary", 1, rows, columns)
        if isinstance(op, Combine):
            return cls("combine", op.active, rows, columns, op.active)
        if isinstance(op, Select):
            return cls("select", 1, rows, columns, op.active)
        if isinstance(op, Depthwise):
            return cls("depthwise", 1, rows, columns, op.kernel)
        if isinstance(op, Pool):
            return cls("pool", 1, rows, columns, op.kernel)
        if isinstance(op, Scan):
            return cls("scan", 2, rows, columns, op.state)
        if isinstance(op, Norm) and op.parts > 1:
            return cls(op.function, 1, rows * op.parts, columns // op.parts)
        assert isinstance(op, Norm | Activation)
        return cls(op.function, 2 if op.function in _GATED else 1, rows, columns)

    def cost_from(self, cluster: Cluster) -> str:
        """Return where the cost comes from: ``row_unit``, ``kernel_costs`` or ``model``."""
        if cluster.row_unit_for(self.function) is not None:
            return "row_unit"
        return "kernel_costs" if self._known(cluster) is not None else "model"

    def tcdm_bytes(self, cluster: Cluster, rows: int, columns: int) -> int:
        """Return what a part takes: its operands, computed in place.

        Source: HARP, M N x 2 B for one operand (IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975).
        """
        return self.operands * rows * columns * cluster.element_bytes

    def parts(self, cluster: Cluster, name: str = "op") -> tuple[int, int, int]:
        """Return how many parts run one after the other, and rows and columns of each.

        Rows are halved until a part fits (HARP); a single row of an element-wise kernel is halved
        by columns then.

        Raises:
            CapacityError: One row of a norm, of the op called ``name``, does not fit.
        """
        rows, columns, count = self.rows, self.columns, 1
        while not cluster.tcdm.fits(self.tcdm_bytes(cluster, rows, columns)):
            if rows > 1:
                rows, count = ceil_div(rows, 2), count * 2
            elif self.function not in _NORMS and columns > 1:
                columns, count = ceil_div(columns, 2), count * 2
            else:
                raise CapacityError(
                    f"{name}: one vector of {columns} elements needs "
                    f"{format_bytes(self.tcdm_bytes(cluster, 1, columns))} of TCDM; a cluster has "
                    f"{format_bytes(cluster.tcdm.size)}; raise cluster.tcdm.size"
                )
        return count, rows, columns

    def time_ps(self, cluster: Cluster) -> Any:
        """Return the time of the piece on one cluster [ps].

        Raises:
            CapacityError: One row of a norm does not fit.
        """
        count, rows, columns = self.parts(cluster)
        return count * self._part_ps(cluster, rows, columns)

    def times_ps(self, cluster: Cluster) -> Ints:
        """Return the times of pieces of 0, 1, 2, ... and so many rows on one cluster [ps].

        0 where they do not fit.
        """
        found = np.zeros(self.rows + 1, np.int64)
        whole = cluster.tcdm.fits(self.tcdm_bytes(cluster, self.rows, self.columns))
        if whole and self.cost_from(cluster) == "model":  # equations, which take columns
            found[1:] = self._part_ps(cluster, np.arange(1, len(found)), self.columns)
            return found
        for rows in range(1, len(found)):
            try:
                found[rows] = replace(self, rows=rows).time_ps(cluster)
            except CapacityError:
                break
        return found

    def _part_ps(self, cluster: Cluster, rows: Any, columns: int) -> Any:
        """Return the time of a part that fits, or of parts of so many rows each [ps]."""
        known = self._known(cluster)
        if known is not None:
            return millicycles_to_ps(cluster.clock, known(rows, columns))
        elements = rows * columns
        dma, size = cluster.dma, elements * cluster.element_bytes
        moved = self.operands * dma.transfer_cycles(size)
        stored = dma.transfer_cycles(size, source="tcdm")
        return cluster.to_ps(moved + self._kernel_cycles(cluster, rows, columns) + stored)

    def _known(self, cluster: Cluster) -> Callable[[Any, int], int] | None:
        """Return the machine's own cost of this kernel, or None."""
        costs, function = cluster.kernel_costs, self.function
        if (
            costs is None
            or cluster.row_unit_for(function)
            or function in ("rotary", "relu", "select", *_SUMS, *_GATED)
        ):
            return None
        return costs.norm.of if function in _NORMS else costs.activation.of

    def _kernel_cycles(self, cluster: Cluster, rows: Any, columns: int) -> Any:
        """Cycles on the cores, or on the unit that takes the function from them.

        Assumed: silu and tanh as gelu, whose kernel is x sigmoid(c x); a gated function as its
        function and a product; scale and shift (``no_norm``) as one addition, as a scale alone.
        A weighted sum of experts, a convolution of one channel and the mean or the largest of
        neighbours take an addition for each term (multiply-accumulates, assumed), a scan three:
        its state times a decay, plus what enters, and what leaves it.
        """
        cores, precision, function = cluster.cores, cluster.precision, self.function
        if (unit := cluster.row_unit_for(function)) is not None:
            return unit.cycles(function, rows, columns)
        elements = rows * columns
        if function == "layer_norm":
            return cores.layernorm_cycles(rows, columns, precision)
        if function == "rms_norm":
            return cores.rmsnorm_cycles(rows, columns, precision)
        if function == "select":  # assumed: the choice passes the scores once for each expert
            chosen = self.terms * cores.vector_add_cycles(elements, precision)
            return cores.softmax_cycles(rows, columns, precision) + chosen
        if function in _SUMS:
            sums = {
                "add": self.operands - 1, "no_norm": 1, "scale": 1, "scan": 3 * self.terms,
            }.get(function, self.terms)  # fmt: skip
            return sums * cores.vector_add_cycles(elements, precision)
        if function == "rotary":
            return cores.rotary_cycles(elements, precision)
        if function == "relu":
            return cores.relu_cycles(elements, precision)
        gate = cores.vector_add_cycles(elements, precision) if function in _GATED else 0
        return cores.gelu_cycles(elements, precision) + gate
