"""Interconnect: links and networks on a chip, and the links between chips."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hybridsim.components.core_kernels import larger
from hybridsim.records import record
from hybridsim.specs import PlacedError
from hybridsim.units import (
    BytesPerCycle,
    BytesPerSecond,
    Clock,
    Count,
    Cycles,
    Duration,
    IntLike,
    Parts,
    Spec,
    at_most,
    ceil_div,
    in_whole_ps,
)
from hybridsim.work import Work, no_price

MOVES = ("move", "weights", "keep")
"""Kinds of works that bring something over a link or a network on chip: operands, A and B of an
adapter, and keys and values that were kept."""


class Link(Spec):
    """A shared link that moves one transfer at a time.

    A transfer of *n* bytes takes latency + ceil(n / width) cycles. Source of the form: HARP,
    "one shared link, one transfer at a time", ceil(bits / 512) cycles
    (IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975). For hops and contention inside a network on
    chip see :class:`Mesh` and :class:`Tree`.
    """

    clock: Clock
    """Of the link."""
    width: BytesPerCycle
    """Bytes moved per cycle."""
    latency: Cycles
    """Cycles from the start of a transfer to its first byte."""
    count: Parts
    """Links side by side; each carries one transfer at a time."""

    def transfer_cycles(self, size: IntLike) -> IntLike:
        """Return the link cycles that a transfer of ``size`` bytes takes."""
        return self.latency + ceil_div(size, self.width)

    def transfer_ps(self, size: IntLike) -> IntLike:
        """Return the time that a transfer of ``size`` bytes takes [ps]."""
        return self.clock.to_ps(self.transfer_cycles(size))

    def time_ps(self, work: Work) -> Any:
        """Return how long a move of (bytes, pieces) takes, piece after piece [ps].

        Raises:
            UnsupportedError: The link does not know the work.
        """
        if work.kind not in MOVES:
            raise no_price(work, "the link")
        size, pieces = work.shape
        return pieces * self.transfer_ps(size)

    def carried_bytes(self, work: Work) -> Any:
        """Return the bytes that fit the beats of a move, from the first byte to the last.

        Whole beats: sizes are rounded up to the width of the link, piece by piece.
        """
        size, pieces = work.shape
        return (pieces * self.transfer_cycles(size) - self.latency) * self.width


class ChipLink(Spec):
    """The link from one chip to the next in the row, which moves one transfer at a time.

    A transfer of *n* bytes takes latency + n / bandwidth.
    """

    bandwidth: BytesPerSecond
    """Bytes moved per second, in one direction."""
    latency: Duration
    """From the first byte that leaves a chip to its arrival [ps]."""

    def transfer_ps(self, size: IntLike) -> IntLike:
        """Return the time that a transfer of ``size`` bytes takes [ps], rounded up."""
        return self.latency + ceil_div(size * 10**12, self.bandwidth)

    def time_ps(self, work: Work) -> Any:
        """Return how long a hop of (bytes,) takes [ps].

        Raises:
            UnsupportedError: The link does not know the work.
        """
        if work.kind != "hop":
            raise no_price(work, "the link between chips")
        return self.transfer_ps(work.shape[0])

    def carried_bytes(self, work: Work) -> Any:
        """Return the bytes that fit the whole picoseconds of a hop, beside its latency."""
        return in_whole_ps(work.shape[0], self.bandwidth)


PORT = 0
"""The node of a network at which memory and neighbouring chips are attached (assumed)."""


@record(frozen=True, slots=True)
class Flow:
    """Bytes that go from one node to one or several others, copied where the ways part."""

    source: int
    targets: tuple[int, ...]
    size: int
    """Bytes that each target receives."""


@dataclass(frozen=True, slots=True)
class Passage:
    """What a transfer of several flows takes of a network on chip."""

    edges: tuple[int, ...]
    """The edges and ports that it holds, in increasing order; none where nothing leaves its
    node."""
    hops: int
    """Edges on the longest of its ways."""
    busiest: int
    """Bytes that cross the edge or port with the most of them."""
    crossed: int = 0
    """Bytes that cross each edge, over all edges, without ports."""
    sent: int = 0
    """Bytes that leave all sources, each flow once."""


class _Network(Spec):
    """A network of routers, each with an edge per direction to its neighbours.

    A transfer takes hop x hops + ceil(busiest / width) cycles, and holds all its edges, and the
    ports through which it enters and leaves, for so long: ways are reserved as a whole, and flows
    of one transfer share the edges that both cross (assumed; routers that let packets of two
    transfers alternate would finish no sooner).
    """

    clock: Clock
    """Of the routers."""
    width: BytesPerCycle
    """Bytes that cross an edge per cycle."""
    hop: Cycles
    """Cycles from router to router."""

    @property
    def nodes(self) -> int:
        """Places to which tiles, clusters and memory are attached."""
        raise NotImplementedError

    @property
    def edges(self) -> int:
        """Edges, each direction for itself."""
        raise NotImplementedError

    @property
    def ports(self) -> int:
        """Ports of nodes beside the edges, as wide as these; they are numbered behind them."""
        return 0

    def ends(self, source: int, target: int) -> tuple[int, ...]:
        """Return the ports through which a transfer enters at one node and leaves at another."""
        return ()

    def route(self, source: int, target: int) -> tuple[int, ...]:
        """Return the edges from one node to another, in their order."""
        raise NotImplementedError

    def passage(self, flows: Iterable[Flow]) -> Passage:
        """Return what flows that start together take."""
        load: dict[int, int] = {}
        hops = sent = 0
        for flow in flows:
            sent += flow.size
            crossed: set[int] = set()
            for target in flow.targets:
                way = self.route(flow.source, target)
                hops = max(hops, len(way))
                crossed.update(way, self.ends(flow.source, target) if way else ())
            for edge in crossed:
                load[edge] = load.get(edge, 0) + flow.size
        busiest = max(load.values(), default=0)
        over_all = sum(size for edge, size in load.items() if edge < self.edges)
        return Passage(tuple(sorted(load)), hops, busiest, over_all, sent)

    def time_ps(self, work: Work) -> Any:
        """Return how long a move of (bytes, pieces, sources, passage) takes [ps].

        ``sources`` nodes send equal shares of the bytes; ``passage`` is what one byte from each
        of them takes.

        Raises:
            UnsupportedError: The network does not know the work.
        """
        if work.kind not in MOVES:
            raise no_price(work, "the network on chip")
        passage = work.shape[3]
        return self.clock.to_ps(self._cycles(work)) + (0 if passage.edges else 1)

    def carried_bytes(self, work: Work, way: Passage) -> Any:
        """Return the bytes that fit the beats of a move on the busiest edge of its ``way``."""
        return larger(self._cycles(work) - self.hop * way.hops, 0) * self.width

    def _cycles(self, work: Work) -> Any:
        size, pieces, sources, passage = work.shape
        busiest = ceil_div(pieces * size * passage.busiest, max(1, sources))
        return self.hop * passage.hops + ceil_div(busiest, self.width)

    def place(self, part: int, parts: int) -> int:
        """Return the node of one of ``parts`` equal parts that are spread evenly."""
        return part * self.nodes // parts


Side = Annotated[Count, at_most(64, "no chip has a network of more routers")]


class Mesh(_Network):
    """Routers in a grid. A transfer goes along its row first, then along the column.

    What is attached to a node shares one port into the network and one out of it, each as wide as
    an edge: what many nodes send to one arrives as fast as a port takes it, over however many
    edges it comes. Node (row, column) is row x columns + column. Source of the routing: dimension
    order, as in Dally and Towles, Principles and Practices of Interconnection Networks, 2004,
    Sec. 8.
    """

    kind: Literal["mesh"]
    """A mesh."""
    rows: Side
    """Routers from top to bottom."""
    columns: Side
    """Routers from left to right."""

    @property
    def nodes(self) -> int:
        """Rows x columns."""
        return self.rows * self.columns

    @property
    def edges(self) -> int:
        """East, west, south and north of every node; those of the rim lead nowhere."""
        return 4 * self.nodes

    @property
    def ports(self) -> int:
        """A port into the network and one out of it at every node."""
        return 2 * self.nodes

    def ends(self, source: int, target: int) -> tuple[int, ...]:
        """Return the port in at one node and the port out at another: edges + 2 x node, and 1."""
        return (self.edges + 2 * source, self.edges + 2 * target + 1)

    def route(self, source: int, target: int) -> tuple[int, ...]:
        """Return the edges from one node to another: 4 x node + direction, in their order."""
        (row, column), (to_row, to_column) = (divmod(n, self.columns) for n in (source, target))
        way = []
        step, direction = (1, 0) if to_column > column else (-1, 1)
        while column != to_column:
            way.append(4 * (row * self.columns + column) + direction)
            column += step
        step, direction = (1, 2) if to_row > row else (-1, 3)
        while row != to_row:
            way.append(4 * (row * self.columns + column) + direction)
            row += step
        return tuple(way)


MOST_LEAVES = 4096
"""The most leaves of a tree, as many nodes as the largest mesh has."""


class Tree(_Network):
    """Routers in a tree whose leaves are the nodes; every edge is as wide as the others.

    The edges of a leaf are its ports.
    """

    kind: Literal["tree"]
    """A tree."""
    arity: Annotated[int, Field(strict=True, ge=2, le=64)]
    """Children of each router."""
    levels: Annotated[Count, at_most(16, "no network on chip is deeper")]
    """Edges between a leaf and the root."""

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        if self.nodes > MOST_LEAVES:
            problem = f"found {self.arity} with {self.levels} levels; at most {MOST_LEAVES} leaves"
            raise PlacedError("arity", f"{problem} would do")
        return self

    @property
    def nodes(self) -> int:
        """Leaves: arity to the power of levels."""
        return int(self.arity**self.levels)

    @property
    def edges(self) -> int:
        """An edge up and one down between each node or router and the one above it."""
        return 2 * sum(int(self.arity**level) for level in range(1, self.levels + 1))

    def route(self, source: int, target: int) -> tuple[int, ...]:
        """Return the edges up to the common ancestor and down again, in their order."""
        up, down = [], []
        first = 0
        while source != target:
            up.append(2 * (first + source))
            down.append(2 * (first + target) + 1)
            level = len(up)
            first += self.arity ** (self.levels - level + 1)
            source, target = source // self.arity, target // self.arity
        return (*up, *reversed(down))


OnChip = Annotated[Mesh | Tree, Field(discriminator="kind")]
"""A network on chip; ``kind`` says which."""


def spread(network: Mesh | Tree, parts: Sequence[int], count: int) -> tuple[int, ...]:
    """Return the nodes of some of ``count`` equal parts, each once, in increasing order."""
    return tuple(sorted({network.place(part, count) for part in parts}))
