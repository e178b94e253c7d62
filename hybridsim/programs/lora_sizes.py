"""What a program for an adapter is for: features, rank and tokens, and how these are cut."""

from dataclasses import replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from hybridsim.components.core_kernels import smaller
from hybridsim.errors import UnsupportedError
from hybridsim.programs.lora_choices import LoraChoice
from hybridsim.records import record
from hybridsim.units import ceil_div


@record(frozen=True)
class LoraSizes:
    """Sizes of what adapts one batch of tokens, the unit and order of its products, and its cuts.

    Sizes are integers; int64 arrays of one shape, which all cut into as many slices, give arrays.
    """

    in_features: int
    out_features: int
    rank: int
    tokens: int
    choice: LoraChoice
    slice_columns: int | None = None
    """Columns of Y that are adapted at a time, slice by slice; None takes all of them at once."""
    slice_inputs: int | None = None
    """Columns of X that are multiplied at a time; their products add up in U. A and B then pass
    through the scratchpad slice by slice, for every batch. None holds A and B whole."""
    shares: tuple[int, int] | None = None
    """Rows of U = X A and of U B that the matrix engine computes where both units multiply; None
    where one unit does, or where they are not found yet."""

    def of_tokens(self, tokens: int) -> Self:
        """Return the same program for another number of tokens, its rows not yet shared."""
        return replace(self, tokens=tokens, shares=None)

    @property
    def sizes(self) -> dict[str, Any]:
        """What of it can be columns, but for the shares; sizes that are not given are left out."""
        names = ("in_features", "out_features", "rank", "tokens", "slice_columns")
        named = {name: getattr(self, name) for name in names}
        return {name: size for name, size in named.items() if size is not None}

    def taken(self, index: Any) -> Self:
        """Return the program with some entries of each column, its rows not yet shared."""
        sizes = self.sizes.items()
        some = {name: own[index] for name, own in sizes if isinstance(own, np.ndarray)}
        return replace(self, **some, shares=None)

    @cached_property
    def input_slices(self) -> tuple[int, ...]:
        """The columns of X in each slice; the last one may have fewer than the others."""
        return _cut(self.in_features, self.slice_inputs)

    @cached_property
    def slices(self) -> tuple[int, ...]:
        """The columns of each slice; the last one may have fewer than the others."""
        return _cut(self.out_features, self.slice_columns)

    @property
    def widest(self) -> int:
        """The columns of a full slice."""
        if self.slice_columns is None:
            return self.out_features
        return smaller(self.slice_columns, self.out_features)

    def check_balanced(self) -> None:
        """Refuse what no program with balanced products can do.

        Raises:
            UnsupportedError: It is to add on the cores, or to take inputs slice by slice.
        """
        if self.choice.add == "separate":
            raise UnsupportedError("unit=balanced adds on the engine; choose add=fused")
        if self.slice_inputs is not None:
            raise UnsupportedError("unit=balanced takes all inputs at once; choose unit=both")


def _cut(whole: int, width: int | None) -> tuple[int, ...]:
    """Return the widths of slices; arrays all cut into as many."""
    if width is None:
        return (whole,)
    count: Any = ceil_div(whole, width)
    number = int(count.flat[0]) if isinstance(count, np.ndarray) else count
    # all but the last one are full
    return (*((0 * whole + width,) * (number - 1)), smaller(width, whole - (number - 1) * width))
