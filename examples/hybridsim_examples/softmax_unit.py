"""A part of one's own: a unit for softmax, GELU and layer norms beside the cores of a cluster."""

from typing import ClassVar

from hybridsim.components.parts import RowUnit
from hybridsim.units import Count, Cycles, ceil_div


class SoftmaxUnit(RowUnit):
    """A pipeline that takes ``lanes`` elements per cycle once it is full.

    Source of form and numbers: the special function unit (DA0) of HARP, Ferro, Benmeziane,
    Boybat, IEEE TPDS 37(9) 2026, DOI 10.1109/TPDS.2026.3706975, at commit c19a799: a softmax of
    M x N takes 3 + ceil(M N / 32) - 1 cycles, a GELU 8 + ceil(M N / 32) - 1, a layer norm
    ceil(M N / 512) x ceil(192 / 4 + 2); 0.16 W. No published platform of HARP has one.
    """

    takes: ClassVar[tuple[str, ...]] = ("softmax", "gelu", "layer_norm")
    lanes: Count = 32
    """Elements per cycle of softmax and GELU."""
    softmax_fill: Cycles = 3
    """Cycles until the first element of a softmax is out."""
    gelu_fill: Cycles = 8
    """Cycles until the first element of a GELU is out."""
    norm_elements: Count = 512
    """Elements of a layer norm that pass together."""
    norm_pass: Cycles = 50
    """Cycles of one such pass: 192 / 4 + 2."""

    def kernel_cycles(self, kernel: str, rows: int, columns: int) -> int:
        """Return the cycles of a kernel on so many rows of so many elements."""
        elements = rows * columns
        if kernel == "layer_norm":
            return ceil_div(elements, self.norm_elements) * self.norm_pass
        fill = self.softmax_fill if kernel == "softmax" else self.gelu_fill
        return fill + ceil_div(elements, self.lanes) - 1
