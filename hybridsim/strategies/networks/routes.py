"""How an operand gets from where it is made to where it is read: links, networks, chips."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from hybridsim.components.interconnect import PORT, Flow, Passage, spread
from hybridsim.plan import Mostly, Need, Step, Within
from hybridsim.records import record
from hybridsim.strategies.networks.dataflow import Batches
from hybridsim.strategies.networks.resources import ChipResources
from hybridsim.strategies.networks.structure import NetworkStructure
from hybridsim.work import NOTHING, Work


def per_batch(batches: Batches, make: Callable[[int], Work]) -> Work | Mostly:
    """Return the works of batches of so many rows each: all alike, but maybe the last one."""
    if batches.full == batches.last:
        return make(batches.full)
    return Mostly(make(batches.full), (make(batches.last),))


def fetch(kind: str, label: str, size: int) -> Work:
    """Return a transfer of ``size`` bytes of the external memory."""
    return Work("dram", kind, label, (size,))


@dataclass(slots=True, eq=False)  # frozen ones take three times as long to make
class Moved:
    """What is moved for each batch."""

    kind: str
    """As links and networks know it: ``move``, ``keep`` or ``weights``."""
    label: str
    batches: Batches
    size: Callable[[int], int]
    """Rows of a batch -> bytes of one of its pieces."""
    pieces: int = 1
    tell: bool = False
    """Whether a work tells the bytes, as that of an adapter's operands."""
    told: int | None = None
    """The bytes that are told where they are not those of a batch."""

    def works(self, part: str, *more: Hashable) -> Work | Mostly:
        """Return the works that move the batches over a part; ``more`` ends their shape."""

        def make(rows: int) -> Work:
            size = self.size(rows)
            told = (size if self.tell else NOTHING) if self.told is None else self.told
            return Work(part, self.kind, self.label, (size, self.pieces, *more), rows, told)

        return per_batch(self.batches, make)

    def hops(self) -> Work | Mostly:
        """Return the works that move the batches from one chip to the next."""
        pieces = self.pieces
        return per_batch(
            self.batches,
            lambda rows: Work("chip_link", "hop", "hop", (pieces * self.size(rows),), rows),
        )


def once(
    kind: str, label: str, size: int, tokens: int = NOTHING, told: int | None = None
) -> Moved:
    """Return a single move of ``size`` bytes."""
    return Moved(kind, label, Batches(tokens, tokens, 1), lambda _: size, told=told)


@record(frozen=True, slots=True)
class Place:
    """Where an operand is made or read."""

    chip: int = 0
    nodes: tuple[int, ...] = ()
    """Nodes of the network on chip; none where the chip has a link instead."""


@dataclass
class Routes:
    """The transfers of one layout.

    On one chip a transfer crosses the link, or the edges of the network on chip between all nodes
    that make the operand and all that read it: each maker sends an equal share to every reader
    (assumed). Between chips it leaves over the link of its own, crosses the links in the row one
    after the other, and enters over the link of the other chip: stored and forwarded batch by
    batch (assumed).
    """

    structure: NetworkStructure
    resources: ChipResources
    passages: dict[tuple[int, ...], Passage] = field(default_factory=dict)
    """Edges held -> what one byte to each reader crosses, all makers together."""
    _passages: dict[tuple[tuple[int, ...], tuple[int, ...]], Passage] = field(default_factory=dict)
    _turn: dict[int, int] = field(default_factory=dict)
    _known: dict[tuple[Hashable, ...], Work | Mostly] = field(default_factory=dict)

    def of_tiles(self, name: str) -> Place:
        """Return the place of a layer's weights."""
        layer, network = self.structure.layers[name], self.structure.machine.network
        if network is None:
            return Place(layer.chip)
        count = self.structure.tiles_per_chip
        return Place(layer.chip, spread(network, [t % count for t in layer.tiles], count))

    def of_memory(self, chip: int) -> Place:
        """Return the place where a chip's memory is attached."""
        return Place(chip, (PORT,) if self.structure.machine.network else ())

    def of_clusters(self, name: str, pieces: int) -> Place:
        """Return the place of the clusters that share a work.

        Which clusters are free shows only in the run; distances are counted to clusters that are
        taken in turn (assumed).
        """
        chip = self.structure.chips[name]
        network, count = self.structure.machine.network, self.structure.machine.all_clusters
        if network is None or not count:
            return Place(chip)
        first = self._turn.get(chip, 0)
        self._turn[chip] = (first + pieces) % count
        taken = [(first + piece) % count for piece in range(pieces)]
        return Place(chip, spread(network, taken, count))

    def steps(
        self, way: tuple[Place, Place], moved: Moved, needs: Sequence[Need | Within], at: int = 0
    ) -> list[Step]:
        """Return the steps of a transfer from one place to another; the last one brings it.

        ``at`` is where the first step stands in its loop.
        """
        source, target = way
        if source.chip == target.chip:
            return [self._on_chip(source, target, moved, tuple(needs))]
        port = self.of_memory(source.chip)
        found = [self._on_chip(source, port, moved, tuple(needs))]
        step = 1 if target.chip > source.chip else -1
        for chip in range(source.chip, target.chip, step):
            uses = (self.resources.chip_links[chip, chip + step],)
            found.append(Step(moved.hops(), uses, (Within(at + len(found) - 1),)))
        last = (Within(at + len(found) - 1),)
        port = self.of_memory(target.chip)
        found.append(self._on_chip(port, target, moved, last))
        return found

    def _on_chip(
        self, source: Place, target: Place, moved: Moved, needs: tuple[Need | Within, ...]
    ) -> Step:
        own, network = self.resources.chips[target.chip], self.structure.machine.network
        if network is None:
            return Step(self._over_link(moved), (own.link,), needs)
        key = (source.nodes, target.nodes)
        if key not in self._passages:
            flows = [Flow(node, target.nodes, 1) for node in source.nodes]
            self._passages[key] = network.passage(flows)
        passage = self._passages[key]
        uses = tuple(own.edges + edge for edge in passage.edges)
        known = self.passages.get(uses)
        if known is None or passage.crossed * known.busiest > known.crossed * passage.busiest:
            self.passages[uses] = passage
        return Step(moved.works("edge", len(source.nodes), passage), uses, needs)

    def _over_link(self, moved: Moved) -> Work | Mostly:
        """Return the works that move batches over a link; equal ones are the very same."""
        batches, size = moved.batches, moved.size
        told = moved.kind, moved.label, moved.pieces, moved.tell, moved.told
        key = (*told, batches.full, batches.last, size(batches.full), size(batches.last))
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = moved.works("link")
        return found
