"""The machine as blocks: what it consists of, and how busy each part was."""

from collections.abc import Sequence
from dataclasses import dataclass

from hybridsim.arch import Cluster, Machine, sorts
from hybridsim.components.parts import GemmUnit
from hybridsim.measure.result import ResourceResult, Result
from hybridsim.report.page.cells import shown
from hybridsim.units import format_bytes


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
    """A machine as a page draws it: memory above, clusters right of the link.

    Its tiles are :mod:`hybridsim.report.page.tile_map`'s.
    """

    tile_detail: str
    peripheries: tuple[Block, ...]
    link: Block
    memory: tuple[Block, ...]
    clusters: tuple[tuple[str, str, tuple[Block, ...]], ...]
    """Name, description and parts of each cluster, or of a pool of clusters that are not told
    apart."""


def diagram(machine: Machine, result: Result) -> Diagram:
    """Return the parts of a machine with what a run made of them."""
    by_kind: dict[str, list[ResourceResult]] = {}
    for resource in result.resources:
        by_kind.setdefault(resource.kind, []).append(resource)
    link = by_kind.get("link", [])
    return Diagram(
        tile_detail="; ".join(_tiles(machine, sort) for sort in sorts(machine, True)),
        peripheries=tuple(_block(r, _parts(r)) for r in by_kind.get("periphery", [])),
        link=Block(
            "link",
            "link",
            f"{machine.link.count} x {machine.link.width} B/cycle",
            link[0].utilization if link else None,
        ),
        memory=_memory(machine, by_kind),
        clusters=_clusters(machine, result),
    )


def _tiles(machine: Machine, sort: str) -> str:
    """Return what a kind of tiles is."""
    tile = machine.tile_of(sort)
    name = f"{sort} " if sort else ""
    tiers = f" x {tile.tiers} tiers" if tile.tiers > 1 else ""
    time = shown("time", tile.reading_ps(tile.columns))
    return f"{name}{tile.rows} x {tile.columns}{tiers}, {time} per token"


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


def _clusters(machine: Machine, result: Result) -> tuple[tuple[str, str, tuple[Block, ...]], ...]:
    found: tuple[tuple[str, str, tuple[Block, ...]], ...] = ()
    for sort in sorts(machine, False):
        prefix = f"{sort}." if sort else ""
        own = [r for r in result.resources if r.sort == sort]
        found += _clusters_of(machine.seen(cluster=sort), result, own, prefix)
    return found


def _clusters_of(
    machine: Machine, result: Result, resources: Sequence[ResourceResult], prefix: str
) -> tuple[tuple[str, str, tuple[Block, ...]], ...]:
    """Return the clusters of one kind, with the machine as if it had no other."""
    cluster = machine.cluster
    assert cluster is not None
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
    for resource in resources:
        if resource.kind in details:
            pooled = resource.kind in ("cluster", "engine_cluster")
            name = f"{prefix}clusters" if pooled else resource.name.rpartition(".")[0]
            groups.setdefault(name, []).append(_block(resource, details[resource.kind]))
    told = _cluster_detail(cluster, _array(machine))
    return tuple((name, told, (*blocks, scratchpad)) for name, blocks in groups.items())


def _array(machine: Machine) -> str:
    engine = machine.cluster.matrix_engine if machine.cluster else None
    if isinstance(engine, GemmUnit):
        return engine.part
    return f"{engine.array_height} x {engine.array_width} array" if engine else ""


def _cluster_detail(cluster: Cluster, array: str) -> str:
    found = f"{cluster.clock.to_text()['frequency']}, {cluster.precision}, "
    return f"{found}{cluster.cores.count} cores{array and f', {array}'}"
