"""Where the output of an op lies in a plan, and what its readers wait for."""

from dataclasses import dataclass
from typing import Literal

from hybridsim.plan import Need, Within

Needs = list[Need | Within]
Cut = Literal["", "rows", "columns"]


@dataclass(frozen=True, slots=True)
class Output:
    """Where the output of an op is: piece p of chunk i is task ``first + p + stride * i``."""

    first: int
    stride: int
    count: int
    pieces: int
    width: int
    """Elements of a token's vector, all pieces together."""
    cut: Cut = ""
    """What the pieces of a chunk share out."""

    def later(self, shift: int) -> "Output":
        """Return the same output of a copy of its tasks, ``shift`` tasks later."""
        first = self.first + shift
        return Output(first, self.stride, self.count, self.pieces, self.width, self.cut)

    def ready(self, count: int) -> Needs:
        """Return what chunk i of a reader with ``count`` chunks waits for.

        A reader of fewer chunks reads the first token alone; one of more chunks (its tokens are
        one more) waits for all.
        """
        if count == self.count:
            return [Need(self.first + piece, self.stride) for piece in range(self.pieces)]
        if count < self.count:
            return [Need(self.first + piece) for piece in range(self.pieces)]
        return self.last()

    def last(self) -> Needs:
        """Return the pieces of the last chunk."""
        behind = self.first + self.stride * (self.count - 1)
        return [Need(behind + piece) for piece in range(self.pieces)]
