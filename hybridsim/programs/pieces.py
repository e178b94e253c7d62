"""Norms, activations and sums on a cluster, cut into pieces that fit its scratchpad."""

from collections.abc import Callable
from dataclasses import dataclass

from hybridsim.arch import Cluster
from hybridsim.components.kernel_costs import millicycles_to_ps
from hybridsim.errors import CapacityError
from hybridsim.units import ceil_div, format_bytes
from hybridsim.workload import Op
from hybridsim.workload.ops import Activation, Add, Norm, Rotary

_GATED = ("swiglu", "geglu")


@dataclass(frozen=True)
class PieceWork:
    """A piece as a work of a cluster."""

    op: Op
    """The op without its name and its place in the network."""
    rows: int
    columns: int

    @classmethod
    def of(cls, op: Op, rows: int, columns: int) -> "PieceWork":
        """Return a piece of an op."""
        inputs = ("_",) * len(op.inputs)
        alike = op.model_copy(update={"name": "_", "inputs": inputs, "block": None})
        return cls(alike, rows, columns)

    def time_ps(self, cluster: Cluster) -> int:
        """Return the time of the piece on one cluster [ps]."""
        return Piece(cluster, self.op, self.rows, self.columns).duration_ps()


@dataclass(frozen=True)
class Piece:
    """A norm, an activation or a sum over ``rows`` vectors of ``columns`` elements.

    On a machine with kernel costs, layer and RMS norms and functions of one vector take what those
    say, with their transfers. Otherwise a piece is loaded, computed and stored, one after the
    other, as nothing else keeps the cluster busy meanwhile.
    """

    cluster: Cluster
    op: Op
    rows: int
    columns: int

    @property
    def cost_from(self) -> str:
        """Where the cost comes from: ``kernel_costs`` or ``model``."""
        return "kernel_costs" if self._known() is not None else "model"

    def tcdm_bytes(self, rows: int, columns: int) -> int:
        """Return what a part takes: its operands, computed in place.

        Source: HARP, M N x 2 B for one operand (IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975).
        """
        return self._operands * rows * columns * self.cluster.element_bytes

    def parts(self) -> tuple[int, int, int]:
        """Return how many parts run one after the other, and rows and columns of each.

        Rows are halved until a part fits (HARP); a single row of an element-wise kernel is halved
        by columns then.

        Raises:
            CapacityError: One row of a norm does not fit.
        """
        rows, columns, count = self.rows, self.columns, 1
        while not self.cluster.tcdm.fits(self.tcdm_bytes(rows, columns)):
            if rows > 1:
                rows, count = ceil_div(rows, 2), count * 2
            elif not isinstance(self.op, Norm) and columns > 1:
                columns, count = ceil_div(columns, 2), count * 2
            else:
                raise CapacityError(
                    f"{self.op.name}: one vector of {columns} elements needs "
                    f"{format_bytes(self.tcdm_bytes(1, columns))} of TCDM; a cluster has "
                    f"{format_bytes(self.cluster.tcdm.size)}; raise cluster.tcdm.size"
                )
        return count, rows, columns

    def duration_ps(self) -> int:
        """Return the time of the piece on one cluster [ps]."""
        count, rows, columns = self.parts()
        known = self._known()
        if known is not None:
            return count * millicycles_to_ps(self.cluster.clock, known(rows, columns))
        elements = rows * columns
        dma, size = self.cluster.dma, elements * self.cluster.element_bytes
        moved = self._operands * dma.transfer_cycles(size)
        stored = dma.transfer_cycles(size, source="tcdm")
        return count * self.cluster.to_ps(moved + self._kernel_cycles(rows, columns) + stored)

    @property
    def _operands(self) -> int:
        if isinstance(self.op, Add):
            return max(2, len(self.op.inputs))
        return 2 if isinstance(self.op, Activation) and self.op.function in _GATED else 1

    def _known(self) -> Callable[[int, int], int] | None:
        """Return the machine's own cost of this kernel, or None."""
        costs, op = self.cluster.kernel_costs, self.op
        if costs is None:
            return None
        if isinstance(op, Norm) and op.function != "no_norm":
            return costs.norm.of
        if isinstance(op, Activation) and op.function not in ("relu", *_GATED):
            return costs.activation.of
        return None

    def _kernel_cycles(self, rows: int, columns: int) -> int:
        """Cycles on the cores.

        Assumed: silu and tanh as gelu, whose kernel is x sigmoid(c x); a gated function as its
        function and a product; scale and shift (``no_norm``) as one addition.
        """
        cores, precision, op = self.cluster.cores, self.cluster.precision, self.op
        elements = rows * columns
        if isinstance(op, Norm):
            if op.function == "layer_norm":
                return cores.layernorm_cycles(rows, columns, precision)
            if op.function == "rms_norm":
                return cores.rmsnorm_cycles(rows, columns, precision)
            return cores.vector_add_cycles(elements, precision)
        if isinstance(op, Add):
            return (self._operands - 1) * cores.vector_add_cycles(elements, precision)
        if isinstance(op, Rotary):
            return cores.rotary_cycles(elements, precision)
        assert isinstance(op, Activation)
        if op.function == "relu":
            return cores.relu_cycles(elements, precision)
        gate = cores.vector_add_cycles(elements, precision) if op.function in _GATED else 0
        return cores.gelu_cycles(elements, precision) + gate
