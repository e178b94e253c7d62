"""What every op of a network is: names, sizes, and the base of all kinds."""

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from hybridsim.units import Spec

MOST = 2**20
"""The largest size of a vector, a table or a sequence: products of three still fit 64 bits."""

MOST_INPUTS = 512
"""The most inputs of an op: a part that all heads share is read once for each of them."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,199}")


def _op_name(name: str) -> str:
    """Refuse what a pattern, a table or a page could misread."""
    if not _NAME.fullmatch(name):
        shown = repr(name[:60]) + ("..." if len(name) > 60 else "")
        raise ValueError(
            f"found {shown}; 1 to 200 of the letters A to Z, digits, '_', '.' and '-' would do"
        )
    return name


Name = Annotated[str, AfterValidator(_op_name)]
"""The name of an op or a network: plain characters only, as it is matched and printed."""
Features = Annotated[int, Field(strict=True, gt=0, le=MOST)]
"""The number of elements of a vector, at most :data:`MOST`."""
Rows = Annotated[int, Field(strict=True, gt=0, le=MOST)]
"""The number of rows of a table, at most :data:`MOST`."""
Tokens = Annotated[int, Field(strict=True, gt=0, le=MOST)]
"""A number of tokens, at most :data:`MOST`."""
Given = Tokens | Literal["source"]
"""A number of tokens that is not that of the sequence: a fixed one, or that of the source
sequence, which an encoder reads for its decoder (:attr:`Network.source_length`)."""
Flag = Annotated[bool, Field(strict=True)]
"""True or false, and nothing that could be taken for it."""


class OpBase(Spec):
    """What every op has: a name, the ops it reads, and the transformer block it belongs to."""

    name: Name
    """The name, unique in the network."""
    inputs: tuple[Name, ...] = Field(default=(), max_length=MOST_INPUTS)
    """The names of the earlier ops that it reads; none means the input of the network."""
    block: Annotated[int, Field(strict=True, ge=0)] | None = None
    """The index of the transformer block it belongs to, from 0; None outside the blocks."""

    @property
    def parameters(self) -> int:
        """How many trained numbers it holds: weights, biases, scales, table entries."""
        return 0


class OneSize(OpBase):
    """An op whose vectors, in and out, have ``features`` elements, unless it says otherwise."""

    if TYPE_CHECKING:  # told by each op, among its own fields
        features: int

    @property
    def takes(self) -> tuple[int, ...]:
        """The size of each input [elements]."""
        return (self.features,)

    @property
    def out_features(self) -> int:
        """Length of the output vector [elements]."""
        return self.features
