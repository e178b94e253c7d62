"""What a machine's file says of where weights lie: on which kinds of parts, how often, and what is
done if there is no room."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Discriminator, Field, SerializerFunctionWrapHandler, Tag, model_serializer

from hybridsim.described import bare_fields
from hybridsim.units import Count, Spec, at_most

T = TypeVar("T")
USUAL_TILE, USUAL_CLUSTER = "tile", "cluster"
"""What rules call the usual kinds, those that have no name of their own."""
MOST_COPIES = 1024
"""The most sets of tiles that a layer is on."""

Patterns = Annotated[dict[str, str], Field(max_length=1000)]
Copies = Annotated[Count, at_most(MOST_COPIES, "more never waited for each other's tokens")]


def _tag(given: object) -> str:
    if isinstance(given, str):
        return "balanced"
    return "patterns" if isinstance(given, Mapping) else "number"


AnyCopies = Annotated[
    Annotated[Copies, Tag("number")]
    | Annotated[Literal["balanced"], Tag("balanced")]
    | Annotated[dict[str, Copies], Field(max_length=1000), Tag("patterns")],
    Discriminator(_tag),
]
"""A number of copies for all layers, one for each pattern, or ``balanced``."""


class MappingRules(Spec):
    """How weights are laid on tiles, beyond which layers may share a crossbar."""

    layers: Patterns = Field(default={})
    """Kind of part that holds the weights of a layer, by patterns of names, with or without the
    block, of which the last that fits counts (``{"*.up": big}``): one of ``tiles``, or ``tile``
    for the usual ones; one of ``clusters``, or ``cluster``, computes the layer without any tile,
    and its adapter. Layers that none fits go where ``objective`` says."""
    adapters: Patterns = Field(default={})
    """Kind of clusters that computes and keeps the adapter of a layer, by such patterns: one of
    ``clusters``, or ``cluster`` for the usual ones."""
    objective: Literal["latency", "tiles"] = "latency"
    """What layers and adapters go by that no pattern fits, one after the other in the order of the
    network, among the kinds that have room for its crossbars unshared. A layer goes to the kind of
    tiles on which a vector takes the least time (``latency``) or that holds it in the fewest
    (``tiles``); of equal ones to that where the other is less, then to the usual one. An adapter
    goes to the kind of clusters whose products of 64 tokens, A and B included, take the least time
    in all of its clusters (``latency``), or to the usual one (``tiles``)."""

    copies: AnyCopies = 1
    """Sets of tiles that hold a layer, which take its tokens in turn: a number for all layers, or
    one for each pattern of names, with or without the block, of which the last that fits counts
    (``{"*.up": 4}``; 1 for the others); ``balanced`` gives tiles to the layers whose MVMs take
    longest."""
    tiles: Annotated[Count, at_most(10**6, "no system has more tiles")] | None = None
    """Tiles that ``balanced`` may take in all; null for all that the machine has."""
    overflow: Literal["any", "share", "digital", "refuse"] = "any"
    """What is done with a network that is larger than the chip: its layers ``share`` tiles in
    time, written one partition after the other; those for which there is no room are computed by
    clusters (``digital``); or it is refused. ``any`` shares where ``tile.programming`` says what
    that takes, and is digital otherwise."""
    sequences: Annotated[Count, at_most(10**6, "more hardly lower what each bears")] = 1
    """Sequences for which tiles that layers share in time are written once, each partition for all
    of them; each sequence bears its share of that."""
    floor: Literal["spread", "short"] = "spread"
    """Which tiles of the floor hold what, where a network on chip leads to them: ``spread`` in the
    order of the network, or exchanged so that few bytes cross few edges (``short``)."""
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**32)] = 0
    """Seed of the search for short ways."""

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is as it is without any rule."""
        text: dict[str, Any] = handler(self)
        fields = bare_fields(type(self))
        return {k: v for k, v in text.items() if getattr(self, k) != fields[k].default}


def ruled(rules: Mapping[str, T], name: str, in_block: str) -> T | None:
    """Return what the last pattern says that fits a name, with or without its block, or None."""
    found = None
    for pattern, kind in rules.items():
        if fnmatchcase(name, pattern) or fnmatchcase(in_block, pattern):
            found = kind
    return found
