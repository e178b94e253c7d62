"""How often the weights of each layer lie on tiles: as named, or balanced for a budget of tiles.

A layer on *k* sets of tiles takes its tokens in turn, so that *n* of them take as long as
ceil(n / k) MVMs, and k times the crossbars (decision 15).
"""

from collections.abc import Mapping

from hybridsim.arch import Machine, TileArray, ruled
from hybridsim.arch.mapping_rules import MOST_COPIES
from hybridsim.errors import CapacityError, SpecError, did_you_mean
from hybridsim.mapping.objectives import name_in_block
from hybridsim.units import ceil_div
from hybridsim.workload import Linear, Network, Op

_TOKENS = 128
"""Tokens by which layers are compared, of a network that says nothing of its length."""


def copies_of(network: Network, machine: Machine) -> dict[str, int]:
    """Return the copies of each layer with weights of its own that has several.

    Raises:
        SpecError: A pattern fits no layer, or balanced copies are without a budget.
        CapacityError: The budget is not enough for one copy of each layer.
    """
    given = machine.mapping.copies
    if given == "balanced":
        return _balanced(network, machine)
    if isinstance(given, int):
        return {op.name: given for op in network.matrices} if given > 1 else {}
    return _by_pattern(network, machine, given)


def depend_on_times(machine: Machine) -> bool:
    """Return whether copies depend on how long an MVM takes, and not on sizes alone."""
    return machine.mapping.copies == "balanced"


def _by_pattern(network: Network, machine: Machine, given: Mapping[str, int]) -> dict[str, int]:
    names = {op.name: name_in_block(op) for op in network.matrices}
    for pattern in given:
        if not any(ruled({pattern: ""}, *name) is not None for name in names.items()):
            known = dict.fromkeys(names.values())
            problem = f"fits no layer of {network.name}{did_you_mean(pattern, known)}"
            raise SpecError(
                machine.name, f"mapping.copies.{pattern}", f"{problem}; {_some(known)} would do"
            )
    found = {name: ruled(given, name, short) or 1 for name, short in names.items()}
    return {name: count for name, count in found.items() if count > 1}


def _some(names: Mapping[str, None]) -> str:
    few = [*names][:4]
    return ", ".join(few) + (", ..." if len(names) > len(few) else "")


def _balanced(network: Network, machine: Machine) -> dict[str, int]:
    """Return the copies whose slowest layer is fastest, on as few tiles as that takes.

    The slowest layers get as many copies as make them faster, until there is no room for that.
    Every layer then has the fewest copies with which it is as fast as the slowest, so any other
    choice that is faster needs more of the slowest ones, and no fewer of any other: none that
    fits the budget is faster.
    """
    layers = {op.name: op for op in network.matrices}
    room = _budget(network, machine) * machine.tile.tiers
    need = {name: crossbars_for(machine.tile, op) for name, op in layers.items()}
    left = room - sum(need.values())
    if left < 0:
        raise CapacityError(
            f"{network.name} needs {sum(need.values()):,} crossbars for one copy of each layer; "
            f"mapping.tiles={room // machine.tile.tiers} has {room:,}; raise it, or write "
            "mapping.copies=1"
        )
    vectors = {name: vectors_of(network, op) for name, op in layers.items()}
    each = {name: machine.tile.mvm_ps(*op.matrices[1:], 1) for name, op in layers.items()}
    copies = dict.fromkeys(layers, 1)

    def time_ps(name: str) -> int:
        return ceil_div(vectors[name], copies[name]) * each[name]

    while True:
        slowest = max(map(time_ps, layers))
        more = {}
        for name in layers:
            if time_ps(name) < slowest:
                continue
            share = ceil_div(vectors[name], copies[name])
            if share == 1:
                break
            more[name] = ceil_div(vectors[name], share - 1)
        else:
            cost = sum((count - copies[name]) * need[name] for name, count in more.items())
            if cost <= left and max(more.values()) <= MOST_COPIES:
                left -= cost
                copies |= more
                continue
        return {name: count for name, count in copies.items() if count > 1}


def _budget(network: Network, machine: Machine) -> int:
    """Return how many tiles balanced copies may take in all."""
    tile, budget = machine.tile, machine.mapping.tiles
    if machine.several or machine.mapping.layers:
        problem = "found balanced, with layers on several kinds of parts; numbers would do"
        raise SpecError(machine.name, "mapping.copies", problem)
    if tile.sharing != "exclusive":
        problem = (
            f"found balanced, with tile.sharing={tile.sharing}; exclusive, or numbers would do"
        )
        raise SpecError(machine.name, "mapping.copies", problem)
    if tile.count == "as_needed":
        if budget is None:
            problem = "is missing: with tile.count=as_needed, how many tiles balanced copies take"
            raise SpecError(machine.name, "mapping.tiles", problem)
        return budget
    return min(budget or tile.count, tile.count) * machine.chip_count


def crossbars_for(tile: TileArray, op: Linear) -> int:
    """Return the crossbars that one copy of a layer takes on its own."""
    count, inputs, outputs = op.matrices
    return int(count * tile.crossbars_for(inputs, outputs))


def vectors_of(network: Network, op: Op) -> int:
    """Return how many vectors of a sequence pass through an op, as ops are compared."""
    return network.tokens(op, network.sequence_length or _TOKENS)
