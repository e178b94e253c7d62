"""Which kind of tiles holds a layer, and which kind of clusters computes its adapter."""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from fractions import Fraction

from hybridsim.arch import (
    USUAL_CLUSTER,
    USUAL_TILE,
    Cluster,
    Machine,
    TileArray,
    ruled,
    sorts,
)
from hybridsim.errors import CapacityError, InputError, UnsupportedError
from hybridsim.mapping.objectives import name_in_block
from hybridsim.work import Work
from hybridsim.workload import Linear, Network

_TOKENS = 64
"""Tokens for which kinds of clusters are compared."""


def layers_on_clusters(network: Network, machine: Machine) -> dict[str, str]:
    """Return the kind of clusters of each layer that rules give to clusters.

    Raises:
        InputError: A rule gives what is no single matrix to clusters.
    """
    found: dict[str, str] = {}
    for op in network.matrices:
        kind = ruled(machine.mapping.layers, op.name, name_in_block(op))
        if kind is not None and kind in (USUAL_CLUSTER, *machine.clusters):
            if op.kind != "linear" or op.matrices[0] != 1:
                raise InputError(
                    f"mapping.layers: {op.name} is {op.kind}, and clusters compute linear layers "
                    "alone; a pattern that leaves it on tiles would do"
                )
            found[op.name] = "" if kind == USUAL_CLUSTER else kind
    return found


def kinds_of_layers(
    network: Network, machine: Machine, elsewhere: Container[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the kind of tiles of each layer with weights of its own, and what was chosen.

    Those ``elsewhere`` lie on none.

    Raises:
        InputError: A pattern fits no layer.
    """
    rules, found = machine.mapping.layers, dict[str, str]()
    _check_patterns("layers", rules, network, network.matrices)
    room = {sort: _crossbars(machine.tile_of(sort)) for sort in sorts(machine, True)}
    open_: list[Linear] = []
    for op in network.matrices:
        kind = ruled(rules, op.name, name_in_block(op))
        if op.name in elsewhere:
            continue
        if kind is None:
            open_.append(op)
        else:
            found[op.name] = "" if kind == USUAL_TILE else kind
            _take(room, found[op.name], _need(machine, found[op.name], op))
    chosen: Counter[str] = Counter()
    for op in open_:
        ranked = sorted(room, key=lambda sort: _cost_of_layer(machine, sort, op))  # stable
        fitting = [s for s in ranked if _fits(room[s], _need(machine, s, op))]
        sort = found[op.name] = (fitting or ranked)[0]
        _take(room, sort, _need(machine, sort, op))
        chosen[sort or USUAL_TILE] += 1
    return found, _note("layers", "tiles", machine, chosen) if machine.tiles else ()


def kinds_of_adapters(
    network: Network, machine: Machine, settled: Mapping[str, str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the kind of clusters of each adapted layer, and what was chosen.

    ``settled`` are those of layers that clusters compute as a whole, adapters included.

    Raises:
        InputError: A pattern fits no adapted layer.
    """
    rules, found = machine.mapping.adapters, dict[str, str]()
    layers = network.adapted_layers
    if layers:
        _check_patterns("adapters", rules, network, layers)
    chosen: Counter[str] = Counter()
    known: dict[tuple[int, ...], str] = {}
    for op in layers:
        kind = ruled(rules, op.name, name_in_block(op))
        if op.name in settled:
            found[op.name] = settled[op.name]
            continue
        if kind is not None:
            found[op.name] = "" if kind == USUAL_CLUSTER else kind
            continue
        adapter = network.adapter(op)
        assert adapter is not None
        shape = (op.in_features, op.out_features, adapter.rank)
        if shape not in known:
            known[shape] = _best_clusters(machine, *shape)
        found[op.name] = known[shape]
        chosen[known[shape] or USUAL_CLUSTER] += 1
    return found, _note("adapters", "clusters", machine, chosen) if machine.clusters else ()


def _check_patterns(
    what: str, rules: Mapping[str, str], network: Network, layers: Sequence[Linear]
) -> None:
    for pattern, kind in rules.items():
        if not any(ruled({pattern: kind}, op.name, name_in_block(op)) for op in layers):
            raise InputError(
                f"mapping.{what}: {pattern!r} fits no {'adapted ' * (what == 'adapters')}layer of "
                f"{network.name}; names are such as {layers[-1].name}, and * stands for "
                "anything"
            )


def _crossbars(tile: TileArray) -> int | None:
    return tile.crossbars


def _need(machine: Machine, sort: str, op: Linear) -> int:
    count, *shape = op.matrices
    return int(count * machine.tile_of(sort).crossbars_for(*shape))


def _fits(room: int | None, need: int) -> bool:
    return room is None or room >= need


def _take(room: dict[str, int | None], sort: str, need: int) -> None:
    left = room[sort]
    if left is not None:
        room[sort] = left - need


def _cost_of_layer(machine: Machine, sort: str, op: Linear) -> tuple[int, int]:
    """Return what a layer is placed by: time of a vector [ps] and tiles, the objective first."""
    tile, (count, inputs, outputs) = machine.tile_of(sort), op.matrices
    cost = int(tile.mvm_ps(inputs, outputs, 1)), int(count * tile.crossbars_for(inputs, outputs))
    return cost if machine.mapping.objective == "latency" else cost[::-1]


def _best_clusters(machine: Machine, inputs: int, outputs: int, rank: int) -> str:
    """Return the kind of clusters where an adapter takes the least time, all of them at work."""
    if machine.mapping.objective != "latency" or not machine.clusters:
        return ""
    found: list[tuple[Fraction, str]] = []
    for sort in sorts(machine, False):
        cluster = machine.cluster_of(sort)
        assert cluster is not None
        try:
            time = _adapter_ps(cluster, inputs, outputs, rank)
        except UnsupportedError:
            continue
        found.append((Fraction(time, cluster.count), sort))
    return min(found, key=lambda own: own[0])[1] if found else ""


def _adapter_ps(cluster: Cluster, inputs: int, outputs: int, rank: int) -> int:
    """Return the time of A, B and both products of some tokens on a cluster [ps]."""

    def product(n: int, k: int) -> int:
        if cluster.matrix_engine is None or cluster.precision != "fp16":
            work = Work("cores", "gemm", "", (_TOKENS, n, k, False, False))
        else:
            work = Work("matrix_engine", "gemm", "", (_TOKENS, n, k))
        return int(cluster.cycles(work))

    size = cluster.element_bytes * rank * (inputs + outputs)
    moved = cluster.dma.transfer_cycles(size)
    cycles = moved + product(inputs, rank) + product(rank, outputs)
    return int(cluster.to_ps(cycles))


_WHY = {
    ("layers", "latency"): "where a vector takes the least time",
    ("layers", "tiles"): "where it takes the fewest tiles",
    ("adapters", "latency"): "where its products take the least time",
    ("adapters", "tiles"): "on the usual ones",
}


def _note(what: str, parts: str, machine: Machine, chosen: Mapping[str, int]) -> tuple[str, ...]:
    """Return what the mapper chose, in one line; nothing where patterns said all."""
    if not chosen:
        return ()
    counts = ", ".join(f"{count} on {kind}" for kind, count in chosen.items())
    objective = machine.mapping.objective
    rule = f"{_WHY[what, objective]} (mapping.objective={objective})"
    return (f"kinds of {parts}, of {what} that no pattern fits: {counts}, each {rule}",)


def check_room(network: Network, machine: Machine, sort: str, crossbars: int) -> int:
    """Return the tiles of a kind over which its crossbars are spread.

    Raises:
        CapacityError: There are too few.
    """
    tile = machine.tile_of(sort)
    if tile.count == "as_needed":
        return max(1, -(-crossbars // tile.tiers))
    available = tile.count * tile.tiers
    if crossbars > available:
        place = f"tiles.{sort}" if sort else "tile"
        raise CapacityError(
            f"{network.name} needs {crossbars} crossbars of {tile.rows} x {tile.columns} of the "
            f"kind {sort or USUAL_TILE}; {machine.name} has {available} ({tile.count} tiles x "
            f"{tile.tiers} tiers); raise {place}.count to {-(-crossbars // tile.tiers)}, or let "
            "mapping.layers give some layers to another kind"
        )
    return tile.count
