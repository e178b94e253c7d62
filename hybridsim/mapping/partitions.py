"""Networks larger than their chip: layers share tiles in time, partition after partition.

A partition is as many layers one behind the other as the tiles hold. Its weights are written, all
sequences of a batch pass through its layers, and the next one is written over it. There are as
few partitions as the order of the layers allows, as that often all tiles are written; of those
cuts it is the one whose largest partition is smallest. Source of the scheme: COMPASS
(arXiv 2501.06780), whose cuts are searched for; here every write takes as long, so that their
number decides.
"""

from collections.abc import Sequence
from dataclasses import replace

from hybridsim.arch import Machine
from hybridsim.components.memory import bytes_of
from hybridsim.errors import CapacityError
from hybridsim.records import record
from hybridsim.units import ceil_div, format_ps
from hybridsim.work import Work
from hybridsim.workload import Linear, Network

WEIGHT_BITS = 8
"""Bits of a weight in the external memory, from where it is written to a tile: assumed."""


@record(frozen=True, slots=True)
class Written:
    """What is written to tiles before a layer runs, and after all that ran before it."""

    rows: int
    """Rows that are written one after the other on the tile that takes longest."""
    weights: int
    sequences: int
    """Sequences that pass before the tiles are written over."""
    live: tuple[str, ...] = ()
    """Ops whose outputs are kept for all sequences meanwhile, where there are several of these."""

    def work(self, live_bytes: int = 0) -> Work:
        """Return what one sequence bears of it, and of what it keeps meanwhile [bytes]."""
        size = bytes_of(self.weights, WEIGHT_BITS)
        shape = (self.rows, size, self.sequences, live_bytes)
        return Work("writing", "write", "write weights", shape)


def partitions(needs: Sequence[int], room: int) -> list[int]:
    """Return the partition of each layer, by the crossbars that layers need and those there are.

    No layer needs more than there are.
    """
    fewest = _greedy(needs, room)[-1]
    least, most = max(needs), room
    while least < most:
        middle = (least + most) // 2
        if _greedy(needs, middle)[-1] > fewest:
            least = middle + 1
        else:
            most = middle
    return _greedy(needs, most)


def _greedy(needs: Sequence[int], room: int) -> list[int]:
    """Return the partition of each layer where each takes as many layers as there is room for."""
    found, partition, used = [], 0, 0
    for need in needs:
        if used + need > room:
            partition, used = partition + 1, 0
        used += need
        found.append(partition)
    return found


def partitions_of(
    machine: Machine, layers: Sequence[Linear], needs: Sequence[int], room: int
) -> list[int]:
    """Return the partition of each layer of a network that is larger than its chip.

    Raises:
        CapacityError: A layer by itself is larger.
    """
    tile = machine.tile
    op, need = max(zip(layers, needs, strict=True), key=lambda pair: pair[1])
    if need > room:
        raise CapacityError(
            f"{op.name}: needs {need:,} crossbars of {tile.rows} x {tile.columns}; {machine.name} "
            f"has {room:,}, and layers share tiles in time as a whole; raise tile.count to "
            f"{ceil_div(need, tile.tiers):,}, or write mapping.overflow=digital"
        )
    return partitions(needs, room)


def written_before(
    network: Network, machine: Machine, of: dict[str, int], needs: dict[str, int]
) -> dict[str, Written]:
    """Return what is written before each layer at which another partition begins than the one
    before it; ``of`` are the partitions of layers with weights of their own."""
    found: dict[str, Written] = {}
    rows, weights = _sizes(network, machine, of, needs)
    sequences, before = machine.mapping.sequences, -1
    for op in network.on_tiles:
        partition = of[op.shared or op.name]
        if partition != before:
            live = _live(network, op.name) if sequences > 1 else ()
            found[op.name] = Written(rows[partition], weights[partition], sequences, live)
        before = partition
    return found


def _sizes(
    network: Network, machine: Machine, of: dict[str, int], needs: dict[str, int]
) -> tuple[dict[int, int], dict[int, int]]:
    """Return the rows written in turn on a tile, and the weights, of each partition.

    Crossbars of a tile are written one after the other, and those of all tiles at the same time.
    """
    tile = machine.tile
    assert tile.count != "as_needed"
    used, weights, tallest = (dict[int, int]() for _ in range(3))
    for op in network.matrices:
        own = of[op.name]
        used[own] = used.get(own, 0) + needs[op.name]
        weights[own] = weights.get(own, 0) + op.weights
        tallest[own] = max(tallest.get(own, 0), min(tile.rows, op.matrices[1]))
    return {own: ceil_div(used[own], tile.count) * tallest[own] for own in used}, weights


def _live(network: Network, name: str) -> tuple[str, ...]:
    """Return the ops before one whose outputs it, or an op after it, reads."""
    names = [op.name for op in network.ops]
    at = names.index(name)
    later = {read for op in network.ops[at:] for read in op.inputs}
    return tuple(before for before in names[:at] if before in later)


def share_note(machine: Machine, needed: int, written: Sequence[Written]) -> str:
    """Return in one line what was chosen for a network that needs so many crossbars."""
    sequences, room = machine.mapping.sequences, machine.tile.crossbars
    whole = sum(machine.time_ps(replace(own, sequences=1).work()) for own in written)
    often = "once" if sequences == 1 else f"once for {sequences:,} sequences"
    return (
        f"larger than the chip: {needed:,} crossbars on {room:,}, so layers share tiles in time; "
        f"{len(written)} times these are written, {format_ps(whole)} in all by tile.programming, "
        f"{often} (mapping.sequences), of which each bears its share; mapping.overflow=digital or "
        "refuse would not"
    )
