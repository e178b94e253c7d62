"""How tokens are cut into batches, and where the batches that an op makes lie in a plan."""

from dataclasses import dataclass
from typing import Literal

from hybridsim.plan import Need, Within
from hybridsim.units import ceil_div

Needs = list[Need | Within]
Cut = Literal["", "rows", "columns"]


@dataclass(frozen=True, slots=True)
class Batches:
    """The batches that tokens are cut into: all alike, but maybe the last one."""

    full: int
    """Rows of a batch."""
    last: int
    count: int

    @classmethod
    def of(cls, tokens: int, batch: int | None) -> "Batches":
        """Return the batches of some tokens; the last one takes what is left."""
        full = min(batch or tokens, tokens)
        count = ceil_div(tokens, full)
        return cls(full, tokens - (count - 1) * full, count)


@dataclass(frozen=True, slots=True)
class Output:
    """Where the output of an op is: piece p of batch i is task ``first + p + stride * i``."""

    first: int
    stride: int
    count: int
    pieces: int
    width: int
    """Elements of a token's vector, all pieces together."""
    cut: Cut = ""
    """What the pieces of a batch share out."""

    def later(self, shift: int) -> "Output":
        """Return the same output of a copy of its tasks, ``shift`` tasks later."""
        first = self.first + shift
        return Output(first, self.stride, self.count, self.pieces, self.width, self.cut)

    def ready(self, count: int) -> Needs:
        """Return what batch i of a reader with ``count`` batches waits for.

        A reader of fewer batches reads the first token alone; one of more batches (its tokens are
        one more) waits for all.
        """
        if count == self.count:
            return [Need(self.first + piece, self.stride) for piece in range(self.pieces)]
        if count < self.count:
            return [Need(self.first + piece) for piece in range(self.pieces)]
        return self.last()

    def last(self) -> Needs:
        """Return the pieces of the last batch."""
        behind = self.first + self.stride * (self.count - 1)
        return [Need(behind + piece) for piece in range(self.pieces)]
