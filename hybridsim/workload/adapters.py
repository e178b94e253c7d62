"""Which linear layers carry a LoRA adapter, and of what size."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, Field

from hybridsim.specs import PlacedError
from hybridsim.units import Count, Spec
from hybridsim.workload.ops import MOST, Linear


def _rank(rank: int) -> int:
    if not 1 <= rank <= MOST:
        raise ValueError(
            f"found rank {rank}; 1 to {MOST} would do (leave adapters out for none at all)"
        )
    return rank


Pattern = Annotated[str, Field(min_length=1, max_length=200)]
Patterns = Annotated[tuple[Pattern, ...], Field(min_length=1, max_length=1000)]


class AdapterSpec(Spec):
    """LoRA adapters of one rank on the static linear layers whose names match a pattern.

    Patterns are those of the shell: ``*`` any text, ``?`` one character, ``[ab]`` one of these.
    Source of the method: Hu et al., LoRA, ICLR 2022.
    """

    rank: Annotated[int, Field(strict=True), AfterValidator(_rank)]
    """Inner dimension of each adapter."""
    alpha: Count = 32
    """The adapter's output is scaled by alpha / rank; no influence on time. The default is the
    value of the published AHWA-LoRA training (its question answering script, rank 8)."""
    targets: Patterns = ("*",)
    """Patterns of layer names; by default every static linear layer."""
    exclude: Annotated[tuple[Pattern, ...], Field(max_length=1000)] = ()
    """Patterns of layer names that carry no adapter although they match a target."""

    def choose(self, layers: Sequence[Linear]) -> tuple[Linear, ...]:
        """Return the layers that carry an adapter, in their order.

        Raises:
            PlacedError: A pattern matches no layer, no layer is left, or the rank is larger than
                both sizes of a chosen layer, so that the adapter outgrows what it adapts. A rank
                between the two sizes is allowed: the published count of MobileBERT has rank 8
                on a head of 512 x 2.
        """
        wanted = _matched(self.targets, "targets", layers)
        unwanted = _matched(self.exclude, "exclude", layers)
        chosen = tuple(op for op in layers if op.name in wanted and op.name not in unwanted)
        if not chosen:
            problem = "leaves no layer with an adapter; leave adapters out for none at all"
            raise PlacedError("adapters.exclude", problem)
        for op in chosen:
            if self.rank > max(op.in_features, op.out_features):
                problem = (
                    f"rank {self.rank} is larger than both sizes of layer {op.name!r} "
                    f"({op.in_features} x {op.out_features}); a lower rank or an exclude would do"
                )
                raise PlacedError("adapters.rank", problem)
        return chosen


def _matched(patterns: Sequence[str], field: str, layers: Sequence[Linear]) -> set[str]:
    """Return the names that match any of the patterns."""
    matched: set[str] = set()
    for i, pattern in enumerate(patterns):
        names = [op.name for op in layers if fnmatchcase(op.name, pattern)]
        if not names:
            raise PlacedError(f"adapters.{field}[{i}]", _no_match(pattern, layers))
        matched.update(names)
    return matched


def _no_match(pattern: str, layers: Sequence[Linear]) -> str:
    names, wider = [op.name for op in layers], f"*{pattern}*"
    near = [name for name in names if fnmatchcase(name, wider)]
    hint = f"{wider!r} would match" if near else "there is"
    shown = near or names
    listed = ", ".join(shown[:3]) or "none"
    more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
    return f"{pattern!r} matches no static linear layer; {hint} {listed}{more}"


@dataclass(frozen=True, slots=True)
class Adapter:
    """The adapter of one linear layer: A (in, rank), B (rank, out) and a scale."""

    layer: str
    """Name of the linear layer it adapts."""
    in_features: int
    """Length of the input vector [elements]."""
    out_features: int
    """Length of the output vector [elements]."""
    rank: int
    """Inner dimension."""
    alpha: int
    """The output is scaled by alpha / rank."""

    @property
    def scale(self) -> Fraction:
        """The factor of the output: alpha / rank."""
        return Fraction(self.alpha, self.rank)

    @property
    def parameters(self) -> int:
        """Trained numbers: rank * (in + out)."""
        return self.rank * (self.in_features + self.out_features)
