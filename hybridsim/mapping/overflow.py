"""What is done with a network that is larger than its chip: share tiles, or clusters compute."""

from typing import Literal

from hybridsim.arch import Machine
from hybridsim.errors import CapacityError
from hybridsim.mapping.copies import crossbars_for, vectors_of
from hybridsim.units import format_share
from hybridsim.workload import Linear, Network


def way_of(
    network: Network, machine: Machine, crossbars: int
) -> Literal["share", "digital", "refuse"]:
    """Return what is done with a network that needs more crossbars than there are.

    Raises:
        CapacityError: The machine lacks what the way that is asked for takes.
    """
    wanted, known = machine.mapping.overflow, machine.tile.programming is not None
    if wanted == "any":
        if known:
            return "share"
        return "digital" if machine.cluster is not None else "refuse"
    lacks = {
        "share": ""
        if known
        else "nothing is known of writing them anew; give it tile.programming",
        "digital": "" if machine.cluster else "there is no cluster; write mapping.overflow=share",
    }.get(wanted, "")
    if lacks:
        raise CapacityError(
            f"{network.name} needs {crossbars:,} crossbars, {machine.name} has "
            f"{machine.tile.crossbars:,}, and {lacks}, or raise tile.count"
        )
    return wanted


def digital_layers(network: Network, machine: Machine) -> tuple[list[str], str]:
    """Return the layers that clusters compute so that the others fit the tiles, and that in words.

    Those go first that save the fewest products for each crossbar, of equal ones the first of the
    network. Clusters compute linear layers alone.

    Raises:
        CapacityError: What has to stay on tiles does not fit.
    """
    tile, room = machine.tile, machine.tile.crossbars
    assert room is not None
    need = {op.name: crossbars_for(tile, op) for op in network.matrices}
    over = sum(need.values()) - room

    def saved(op: Linear) -> float:
        return vectors_of(network, op) * op.weights / need[op.name]

    may = [op for op in network.matrices if op.kind == "linear" and op.matrices[0] == 1]
    ranked = sorted(may, key=saved)  # stable
    found: list[Linear] = []
    for op in ranked:
        if over <= 0:
            break
        found.append(op)
        over -= need[op.name]
    if over > 0:
        raise CapacityError(
            f"{network.name} needs {over:,} crossbars more than {machine.name} has ({room:,}) for "
            "what clusters cannot compute; raise tile.count, or write mapping.overflow=share"
        )
    weights = sum(op.weights for op in found)
    share = format_share(weights / network.weights_on_tiles)
    note = (
        f"larger than the chip: {sum(need.values()):,} crossbars on {room:,}, so clusters compute "
        f"{len(found):,} of {len(need):,} layers, {share} of the "
        "weights (mapping.overflow); mapping.overflow=share or refuse would not"
    )
    return [op.name for op in found], note
