"""How tokens are cut into chunks that go from op to op."""

from dataclasses import dataclass

from hybridsim.units import ceil_div


@dataclass(frozen=True, slots=True)
class Chunks:
    """The chunks that tokens are cut into: all alike, but maybe the last one."""

    full: int
    """Rows of a chunk."""
    last: int
    count: int

    @classmethod
    def of(cls, tokens: int, batch: int | None) -> "Chunks":
        """Return the chunks of some tokens; the last one takes what is left."""
        full = min(batch or tokens, tokens)
        count = ceil_div(tokens, full)
        return cls(full, tokens - (count - 1) * full, count)
