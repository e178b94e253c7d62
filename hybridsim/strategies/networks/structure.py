"""A network on a shape of machine: all that deciding and laying out share, found once.

Nothing here knows a price, a clock or the size of a memory, so machines that differ in those alone
share it.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from operator import attrgetter
from typing import Any

from hybridsim.described import bare_fields
from hybridsim.mapping import PlacedLayer
from hybridsim.mapping.tiling import Block
from hybridsim.records import record
from hybridsim.strategies.job import Job, Structure
from hybridsim.strategies.machine_shape import MachineShape
from hybridsim.strategies.networks.dataflow import Dataflow, FlowOp, dataflow
from hybridsim.strategies.networks.resources import ChipResources
from hybridsim.units import ceil_div
from hybridsim.workload import Attention, Experts, Linear, Network, Op


@record(frozen=True)
class Together:
    """Layers that read the same input and share a tile: one task does the MVMs of all."""

    members: tuple[str, ...]
    tiles: tuple[int, ...]
    """Resources of the tiles of all members."""


@record(frozen=True, eq=False)
class NetworkStructure:
    """The works of a mapped network for some tokens, and where they can be done."""

    of: Structure
    """What it was found from."""
    flow: Dataflow

    @property
    def network(self) -> Network:
        """The network."""
        return self.of.network

    @property
    def placed(self) -> tuple[PlacedLayer, ...]:
        """The linear layers on their tiles, in the order of the network."""
        return self.of.layers

    @property
    def machine(self) -> MachineShape:
        """The machine without any price."""
        return self.of.machine

    @property
    def works(self) -> tuple[FlowOp, ...]:
        """The ops that take time, in order."""
        return self.flow.works

    @cached_property
    def by_name(self) -> dict[str, FlowOp]:
        """The works by name."""
        return {work.name: work for work in self.works}

    @cached_property
    def place(self) -> dict[str, int]:
        """Where each work is in the order."""
        return {work.name: place for place, work in enumerate(self.works)}

    @cached_property
    def layers(self) -> dict[str, PlacedLayer]:
        """Placed layers by name."""
        return {layer.name: layer for layer in self.placed}

    @cached_property
    def adapted(self) -> bool:
        """Whether any layer carries an adapter."""
        return bool(self.network.adapted_layers)

    def resources(self, homes: bool) -> ChipResources:
        """Return the resources of plans, with each cluster told apart for what it keeps or not."""
        return self._with_homes if homes else self._without_homes

    @cached_property
    def _with_homes(self) -> ChipResources:
        return ChipResources(self.placed, self.machine, True)

    @cached_property
    def _without_homes(self) -> ChipResources:
        return ChipResources(self.placed, self.machine)

    def rank(self, name: str) -> int:
        """Return the rank of the adapter of a work; 0 if it has none."""
        layer = self.layers.get(name)
        return layer.adapter.rank if layer and layer.adapter else 0

    def _copies(self, name: str) -> int:
        layer = self.layers.get(name)
        return layer.copies if layer else 1

    def _sorts(self, name: str) -> tuple[str, ...]:
        """Return the kinds of parts that a work is done by, where there are several."""
        if not self.of.spread:
            return ()
        layer = self.layers.get(name)
        if layer is not None:
            return layer.sort, layer.cluster_sort, "" if layer.tiles else "digital"
        local = self.from_tiles[name]
        return (self.layers[local].sort,) if local else ()

    def shape_of(self, name: str) -> MachineShape:
        """Return the machine as if it had the kind of clusters alone that adapts a layer."""
        return self.machine.on_clusters(self.layers[name].cluster_sort)

    @cached_property
    def chips(self) -> dict[str, int]:
        """The chip of each op: that of its weights, of its block, or of what it reads."""
        of_block: dict[int | None, set[int]] = {}
        for layer in self.placed:
            of_block.setdefault(layer.op.block, set()).add(layer.chip)
        found: dict[str, int] = {}
        for work in self.works:
            block = of_block.get(work.op.block, set()) if work.op.block is not None else set()
            if isinstance(work.op, Linear):
                found[work.name] = self.layers[work.name].chip
            elif len(block) == 1:
                found[work.name] = next(iter(block))
            else:
                found[work.name] = max((found[name] for name in work.sources), default=0)
        return found

    @cached_property
    def tiles_per_chip(self) -> int:
        """Tiles of each chip."""
        if self.of.spread:
            return sum(own.tiles for own in self.of.spread)
        return self._all_tiles if self.machine.tiles is None else self.machine.tiles

    def spread_over(self, sort: str) -> int:
        """Return the tiles of a kind over which the crossbars of a tier are spread."""
        each = {own.sort: own.tiles for own in self.of.spread}
        return each[sort] if each else self._all_tiles

    def home_of(self, sort: str) -> int:
        """Return the number of the first cluster of a kind among those that keep adapters."""
        at = 0
        for other, own in self.machine.cluster_sorts:
            if other == sort:
                return at
            at += own.home_clusters
        return at

    @cached_property
    def block_before(self) -> dict[int, tuple[str, ...]]:
        """The works of earlier blocks that a block reads."""
        found: dict[int, dict[str, None]] = {}
        for work in self.works:
            here = work.op.block
            for name in work.sources if here is not None else ():
                if here is not None and self.by_name[name].op.block not in (None, here):
                    found.setdefault(here, {})[name] = None
        return {block: tuple(names) for block, names in found.items()}

    @property
    def _all_tiles(self) -> int:
        """Tiles over which the crossbars of a tier are spread."""
        machine = self.machine
        if machine.tiles is None:
            return max(1, ceil_div(self.of.crossbars, machine.tiers))
        return machine.tiles * machine.chips

    @cached_property
    def together(self) -> dict[str, Together]:
        """The layers that share their MVM tasks, for each linear layer.

        Layers with equal sources on one tile work at once if they lie side by side on the same
        crossbar; on other crossbars of the tile, or in the same columns, they take turns.
        """
        groups: dict[object, list[list[FlowOp]]] = {}
        for work in self.works:
            if not isinstance(work.op, Linear):
                continue
            alone = isinstance(work.op, Experts) or not work.sources
            key = (work.op.block, work.name if alone else work.sources)
            for group in groups.setdefault(key, []):
                if self._fits_beside(work, group):
                    group.append(work)
                    break
            else:
                groups[key].append([work])
        tiles_of = self._without_homes.tiles
        found = {}
        for group in (group for each in groups.values() for group in each):
            names = tuple(work.name for work in group)
            tiles = tuple(dict.fromkeys(tile for name in names for tile in tiles_of[name]))
            for name in names:
                found[name] = Together(names, tiles)
        return found

    def _fits_beside(self, work: FlowOp, group: Sequence[FlowOp]) -> bool:
        """Return whether a layer shares a tile with ``group`` and can work at the same time."""
        own = self.layers[work.name]
        others = [self.layers[other.name] for other in group]
        if any(own.copies != other.copies for other in others):
            return False  # their batches take other times
        if not any(set(own.tiles) & set(other.tiles) for other in others):
            return False
        tiles = self.spread_over(own.sort)
        there: dict[int, list[Block]] = {}
        for other in (b for layer in others for b in layer.blocks):
            there.setdefault(other.crossbar % tiles, []).append(other)
        for block in own.blocks:
            for other in there.get(block.crossbar % tiles, ()):
                apart = (
                    block.first_column >= other.first_column + other.columns
                    or other.first_column >= block.first_column + block.columns
                )
                if block.crossbar != other.crossbar or not apart:
                    return False
        return True

    def first_layer(self, chip: int) -> str:
        """Return the first layer on a chip, or of all if there is none."""
        own = (layer.name for layer in self.placed if layer.chip == chip and layer.tiles)
        return next(own, self.placed[0].name)

    @cached_property
    def alike_blocks(self) -> list[tuple[FlowOp, ...]] | None:
        """The blocks of the network, if those from the second one on are alike."""
        return _alike_blocks(self)

    @cached_property
    def from_tiles(self) -> dict[str, str | None]:
        """The last operand of each work that comes right from its tiles, if any does."""
        own = ((name, self.layers[name]) for name in self.together)
        right = {name for name, layer in own if layer.adapter is None and layer.tiles}
        place = self.place.__getitem__
        return {
            work.name: max((n for n in work.sources if n in right), key=place, default=None)
            for work in self.works
        }

    @cached_property
    def kinds(self) -> tuple[int, ...]:
        """For each work a number that equal works share: equal but for name, place and sources."""
        numbers: dict[Hashable, int] = {}
        return tuple(
            numbers.setdefault(
                (
                    *alike(work.op),
                    work.tokens,
                    work.keys,
                    self.rank(work.name),
                    self._copies(work.name),
                    self.from_tiles[work.name] is None,
                    *self._sorts(work.name),
                ),
                len(numbers),
            )
            for work in self.works
        )

    def after(self, past: int) -> "NetworkStructure":
        """Return the same tokens after so many past ones, more than none: keys differ.

        Works that were of a kind have equal keys again.
        """
        return _after(self, past)


def alike(op: Op) -> tuple[Hashable, ...]:
    """Return all that an op is, but for its name, its inputs and its block."""
    found: tuple[Hashable, ...] = _shape_of(type(op))(op)
    return (*found, len(op.inputs))


@lru_cache
def _shape_of(kind: type[Op]) -> Callable[[Op], Any]:
    """Return what reads the fields of a kind of op that make its shape: two or more of them."""
    names = [name for name in bare_fields(kind) if name not in ("name", "inputs", "block")]
    return attrgetter("kind", *names)


def _alike_blocks(structure: NetworkStructure) -> list[tuple[FlowOp, ...]] | None:
    """Return the blocks of a network that lie one behind the other, if there are three or more
    and all from the second one on do the same with what they and the one before made."""
    works = structure.works
    numbers = [work.op.block for work in works if work.op.block is not None]
    if any(layer.written is not None for layer in structure.placed):
        return None  # tiles are written within them
    if any(isinstance(work.op, Experts) for work in works):
        return None  # copies hold the tiles of a layer, not those of some of its experts
    if not numbers or numbers != sorted(numbers):
        return None
    by_block: dict[int, list[FlowOp]] = {}
    for work in works:
        if work.op.block is not None:
            by_block.setdefault(work.op.block, []).append(work)
    blocks = [tuple(block) for block in by_block.values()]
    first = structure.place[blocks[0][0].name]
    if len(blocks) < 3 or works[first : first + len(numbers)] != tuple(
        work for block in blocks for work in block
    ):
        return None
    at = {
        work.name: (number, index)
        for number, block in enumerate(blocks)
        for index, work in enumerate(block)
    }
    second, *others = (_signature(structure, at, block, n) for n, block in enumerate(blocks) if n)
    return blocks if second is not None and all(each == second for each in others) else None


def _signature(
    structure: NetworkStructure,
    at: dict[str, tuple[int, int]],
    block: Sequence[FlowOp],
    number: int,
) -> list[Hashable] | None:
    """Return what decides the tasks of a block, or None if it reads from far away."""
    found: list[Hashable] = []

    def relative(name: str) -> tuple[int, int] | None:
        """Return blocks back and index of a work in this block or the one before."""
        there, index = at.get(name, (-1, 0))
        return (number - there, index) if number - there in (0, 1) and there >= 0 else None

    for work in block:
        sources = tuple([relative(name) for name in work.sources])
        if None in sources:
            return None
        group = structure.together.get(work.name)
        members = tuple([relative(name) for name in group.members]) if group else ()
        found.append((structure.kinds[structure.place[work.name]], sources, members, work.last))
    return found


def structure_of(job: Job) -> NetworkStructure:
    """Return the structure of a job; jobs of one placed network on machines of a shape share it.

    Raises:
        SpecError: A pattern of the machine's free ops cannot be read.
    """
    return _known(job.structure)


@lru_cache(maxsize=32)
def _known(of: Structure) -> NetworkStructure:
    flow = dataflow(of.network, of.machine, of.tokens, of.past, of.sequences)
    return NetworkStructure(of, flow)


@lru_cache(maxsize=4)  # the candidates of a pass ask for the same one
def _after(structure: NetworkStructure, past: int) -> NetworkStructure:
    network, tokens = structure.network, structure.of.tokens
    works = tuple(
        replace(work, keys=network.keys(work.op, tokens, past))
        if isinstance(work.op, Attention)
        else work
        for work in structure.works
    )
    of = replace(structure.of, past=past)
    found = NetworkStructure(of, replace(structure.flow, works=works))
    # keys alone grow: where things are, and who belongs together, is known already
    found.__dict__.update(chips=structure.chips, layers=structure.layers, kinds=structure.kinds)
    return found
