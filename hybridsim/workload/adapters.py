"""Which linear layers carry a LoRA adapter, of what size, and what a task has besides."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from hybridsim.records import record
from hybridsim.specs import PlacedError, shown
from hybridsim.units import Count, Spec
from hybridsim.workload.ops import MOST, Linear, Name


def _rank(rank: int) -> int:
    if not 1 <= rank <= MOST:
        raise ValueError(
            f"found rank {rank}; 1 to {MOST} would do (leave adapters out for none at all)"
        )
    return rank


def _alpha(alpha: object) -> object:
    number = isinstance(alpha, int | float) and not isinstance(alpha, bool)
    if not number or not 0 < alpha < 2**31:  # type: ignore[operator]
        raise ValueError(f"found {shown(alpha)}; a number above 0 would do")
    return alpha


Rank = Annotated[int, Field(strict=True), AfterValidator(_rank)]
Alpha = Annotated[int | float, BeforeValidator(_alpha)]
Pattern = Annotated[str, Field(min_length=1, max_length=200)]
Patterns = Annotated[tuple[Pattern, ...], Field(min_length=1, max_length=20_000)]


class OwnSize(Spec):
    """Layers whose adapters have another rank or alpha than the rest."""

    targets: Patterns
    """Patterns of their names."""
    rank: Rank
    """Inner dimension of each of these adapters."""
    alpha: Alpha
    """The output of these adapters is scaled by alpha / rank; no influence on time."""


class Besides(Spec):
    """A tensor that is trained for a task besides A and B: a swap brings it, it takes no time."""

    tensor: Annotated[str, Field(min_length=1, max_length=400)]
    """Its name in the adapter's file."""
    what: Annotated[str, Field(min_length=1, max_length=200)]
    """What it is, and what of it is not modelled."""
    numbers: Count
    """Its elements."""
    stored_bytes: Count
    """Its bytes in the adapter's file."""
    layer: Name | None = None
    """The static linear layer that it belongs to, None for what belongs to none."""


class AdapterSpec(Spec):
    """LoRA adapters of one rank on the static linear layers whose names match a pattern.

    Patterns are those of the shell: ``*`` any text, ``?`` one character, ``[ab]`` one of these.
    Source of the method: Hu et al., LoRA, ICLR 2022.
    """

    rank: Rank
    """Inner dimension of each adapter."""
    alpha: Alpha = 32
    """The adapter's output is scaled by alpha / rank; no influence on time. The default is the
    value of the published AHWA-LoRA training (its question answering script, rank 8)."""
    targets: Patterns = ("*",)
    """Patterns of layer names. ``*``, the default, is all that PEFT adapts as ``all-linear``:
    every static linear layer, no convolution, and what the family says of its experts."""
    exclude: Annotated[tuple[Pattern, ...], Field(max_length=20_000)] = ()
    """Patterns of layer names that carry no adapter although they match a target."""
    own: Annotated[tuple[OwnSize, ...], Field(max_length=1000)] = ()
    """Sizes of single layers; the first that matches a name counts."""
    besides: Annotated[tuple[Besides, ...], Field(max_length=200_000)] = ()
    """What is trained for the task besides A and B."""

    @model_serializer(mode="wrap")
    def _without_what_is_rare(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what most adapters do not have, so that their text is as it was."""
        written: dict[str, Any] = write(self)
        return {k: v for k, v in written.items() if v or k not in ("own", "besides")}

    @property
    def numbers_besides(self) -> int:
        """Trained numbers besides A and B."""
        return sum(tensor.numbers for tensor in self.besides)

    def of(self, layers: Sequence[Linear]) -> dict[str, "Adapter"]:
        """Return the adapters of the layers that carry one, in their order.

        Raises:
            PlacedError: A pattern matches no layer, no layer is left, or the rank is larger than
                both sizes of a chosen layer, so that the adapter outgrows what it adapts. A rank
                between the two sizes is allowed: the published count of MobileBERT has rank 8
                on a head of 512 x 2.
        """
        chosen = self.choose(layers)
        own = self._own(chosen)
        return {
            op.name: Adapter(op.name, *op.matrices[1:], *own[op.name], op.matrices[0])
            for op in chosen
        }

    def choose(self, layers: Sequence[Linear]) -> tuple[Linear, ...]:
        """Return the layers that carry an adapter, in their order; raises as :meth:`of`."""
        wanted = _matched(self.targets, "targets", layers)
        unwanted = _matched(self.exclude, "exclude", layers)
        chosen = tuple(op for op in layers if op.name in wanted and op.name not in unwanted)
        if not chosen:
            problem = "leaves no layer with an adapter; leave adapters out for none at all"
            raise PlacedError("adapters.exclude", problem)
        own = self._own(chosen)
        for op in chosen:
            rank, _ = own[op.name]
            if rank // max(1, op.all_linear) > max(op.in_features, op.out_features):
                problem = (
                    f"rank {rank} is larger than both sizes of layer {op.name!r} "
                    f"({op.in_features} x {op.out_features}); a lower rank or an exclude would do"
                )
                raise PlacedError("adapters.rank", problem)
        return chosen

    def _own(self, chosen: Sequence[Linear]) -> dict[str, tuple[int, int | float]]:
        """Return rank and alpha of each layer."""
        found: dict[str, tuple[int, int | float]] = {}
        for i, size in enumerate(self.own):
            for name in _matched(size.targets, f"own[{i}].targets", chosen):
                found.setdefault(name, (size.rank, size.alpha))
        for op in chosen:
            times = max(1, op.all_linear)
            found.setdefault(op.name, (self.rank * times, self.alpha * times))
        return found


def _matched(patterns: Sequence[str], field: str, layers: Sequence[Linear]) -> set[str]:
    """Return the names that match any of the patterns; ``*`` means what PEFT's all-linear does."""
    matched: set[str] = set()
    every = {op.name for op in layers}
    for i, pattern in enumerate(patterns):
        if pattern == "*":
            names = [op.name for op in layers if op.all_linear]
        elif pattern in every:  # a name has no character that means something in a pattern
            names = [pattern]
        else:
            names = [name for name in every if fnmatchcase(name, pattern)]
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


@record(frozen=True, slots=True)
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
    alpha: int | float
    """The output is scaled by alpha / rank."""
    copies: int = 1
    """How many there are, each of these sizes, where a layer has several matrices."""

    @property
    def scale(self) -> Fraction:
        """The factor of the output: alpha / rank."""
        return Fraction(self.alpha) / self.rank

    @property
    def parameters(self) -> int:
        """Trained numbers: rank * (in + out), for each matrix."""
        return self.copies * self.rank * (self.in_features + self.out_features)
