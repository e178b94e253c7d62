"""The machine as blocks: what it consists of, and how busy each part was."""

from dataclasses import dataclass

from hybridsim.arch import Machine
from hybridsim.measure.result import ResourceResult, Result
from hybridsim.units import format_bytes, format_ps

MOST_CELLS = 400
"""Tiles that are drawn one by one; of more, as many of the busiest."""


@dataclass(frozen=True, slots=True)
class Block:
    """One part of the machine, or several in lockstep."""

    name: str
    kind: str
    detail: str
    utilization: float | None
    """Share of the run that it is busy, 0 to 1; None where it is not timed."""


@dataclass(frozen=True, slots=True)
class Diagram:
    """A machine as a page draws it: memory above, tiles left, clusters right of the link."""

    tiles: tuple[Block, ...]
    tile_detail: str
    tiles_left_out: int
    peripheries: tuple[Block, ...]
    link: Block
    memory: tuple[Block, ...]
    clusters: tuple[tuple[str, tuple[Block, ...]], ...]
    """Name and parts of each cluster, or of a pool of clusters that are not told apart."""
    cluster_detail: str


def diagram(machine: Machine, result: Result) -> Diagram:
    """Return the parts of a machine with what a run made of them."""
    by_kind: dict[str, list[ResourceResult]] = {}
    for resource in result.resources:
        by_kind.setdefault(resource.kind, []).append(resource)
    tile, link = machine.tile, by_kind.get("link", [])
    tiles = by_kind.get("tile", [])
    drawn = sorted(tiles, key=lambda r: -r.utilization)[:MOST_CELLS]
    names = {resource.name for resource in drawn}
    return Diagram(
        tiles=tuple(_block(r, _parts(r)) for r in tiles if r.name in names),
        tile_detail=(
            f"{tile.rows} x {tile.columns}"
            + (f" x {tile.tiers} tiers" if tile.tiers > 1 else "")
            + f", {format_ps(tile.integration_time)} per token"
        ),
        tiles_left_out=len(tiles) - len(drawn),
        peripheries=tuple(_block(r, _parts(r)) for r in by_kind.get("periphery", [])),
        link=Block(
            "link",
            "link",
            f"{machine.link.count} x {machine.link.width} B/cycle",
            link[0].utilization if link else None,
        ),
        memory=_memory(machine, by_kind),
        clusters=_clusters(machine, result),
        cluster_detail=_cluster_detail(machine),
    )


def _block(resource: ResourceResult, detail: str) -> Block:
    return Block(resource.name, resource.kind, detail, resource.utilization)


def _parts(resource: ResourceResult) -> str:
    return f"{resource.parts} in lockstep" if resource.parts > 1 else ""


def _memory(machine: Machine, by_kind: dict[str, list[ResourceResult]]) -> tuple[Block, ...]:
    memory = machine.memory
    if memory is None:
        return ()
    blocks = []
    if memory.sram is not None:
        blocks.append(Block("SRAM", "sram", format_bytes(memory.sram.size), None))
    if memory.dram is not None:
        rate = f"{format_bytes(memory.dram.bandwidth)}/s"
        used = by_kind.get("dram", [])
        blocks.append(Block("DRAM", "dram", rate, used[0].utilization if used else None))
    return tuple(blocks)


def _clusters(machine: Machine, result: Result) -> tuple[tuple[str, tuple[Block, ...]], ...]:
    cluster = machine.cluster
    if cluster is None:
        return ()
    scratchpad = Block(
        "TCDM",
        "tcdm",
        f"{format_bytes(result.tcdm_bytes)} of {format_bytes(cluster.tcdm.size)}",
        result.tcdm_bytes / cluster.tcdm.size,
    )
    details = {
        "cores": f"{cluster.cores.count} cores",
        "dma": f"{cluster.dma.bytes_per_cycle} B/cycle",
        "matrix_engine": _array(machine),
        "cluster": f"{cluster.total} alike" if cluster.total > 1 else "",
        "engine_cluster": f"{cluster.count} with a matrix engine",
    }
    groups: dict[str, list[Block]] = {}
    for resource in result.resources:
        if resource.kind in details:
            name = resource.name.rpartition(".")[0] or "clusters"
            groups.setdefault(name, []).append(_block(resource, details[resource.kind]))
    return tuple((name, (*blocks, scratchpad)) for name, blocks in groups.items())


def _array(machine: Machine) -> str:
    engine = machine.cluster.matrix_engine if machine.cluster else None
    return f"{engine.array_height} x {engine.array_width} array" if engine else ""


def _cluster_detail(machine: Machine) -> str:
    cluster = machine.cluster
    if cluster is None:
        return ""
    array = _array(machine)
    return f"{cluster.clock.to_text()['frequency']}, {cluster.precision}" + (
        f", {cluster.cores.count} cores, {array}" if array else f", {cluster.cores.count} cores"
    )
