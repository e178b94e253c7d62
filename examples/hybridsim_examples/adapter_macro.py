"""A part of one's own: a digital in-memory macro that multiplies in place of the matrix engine."""

from hybridsim.components.parts import GemmUnit
from hybridsim.units import Count, Width, ceil_div


class AdapterMacro(GemmUnit):
    """SRAM with adder trees below it: W lies in it, and the bits of X come in one by one.

    W (n x k) is cut into blocks of ``rows`` x ``columns``. A block is written row by row through a
    port of ``port_width``; then each of the m vectors takes a cycle per bit, all rows and columns
    at once. A job writes W anew, as adapters change from layer to layer.

    Source of the place: HaLoRA (ACM TODAES 2026) and PRIMAL (arXiv 2601.13628) keep adapters in
    digital in-memory macros beside analog tiles. Source of the form: bit-serial inputs and adder
    trees, Chih et al., ISSCC 2021, 256 rows. Columns for fp16, its bits and the port are assumed.
    """

    rows: Count = 256
    """Elements of an input vector that are multiplied at once."""
    columns: Count = 64
    """Elements of an output vector that are made at once."""
    input_bits: Count = 16
    """Cycles that a vector takes: bits of one of its elements."""
    weight_width: Width = 16
    """Bits of an element of W."""
    port_width: Width = 512
    """Bits of W that are written per cycle."""

    @property
    def macs_per_cycle(self) -> int:
        """Multiply-accumulates per cycle when a whole block works."""
        return self.rows * self.columns // self.input_bits

    def product_cycles(self, m: int, n: int, k: int) -> int:
        """Return the cycles of Z (m x k) += X (m x n) W (n x k): write W, then stream X."""
        row_blocks, column_blocks = ceil_div(n, self.rows), ceil_div(k, self.columns)
        row = ceil_div(min(k, self.columns) * self.weight_width, self.port_width)
        written = column_blocks * n * row
        return written + row_blocks * column_blocks * m * self.input_bits
