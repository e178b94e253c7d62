"""How each kind of op becomes tasks: a function per kind of decision, in :data:`LOWERINGS`."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hybridsim.plan import Mostly, Step, Within
from hybridsim.programs.pieces import Piece
from hybridsim.strategies.job import LayerDecision
from hybridsim.strategies.networks.adapters_on_clusters import adapted
from hybridsim.strategies.networks.attention_on_clusters import attended
from hybridsim.strategies.networks.dataflow import Batches, FlowOp
from hybridsim.strategies.networks.decisions import (
    AttentionDecision,
    EmbeddingDecision,
    LinearDecision,
    PiecesDecision,
    ResidualDecision,
)
from hybridsim.strategies.networks.layout import Layout
from hybridsim.strategies.networks.on_clusters import digital
from hybridsim.strategies.networks.routes import fetch, per_batch
from hybridsim.units import ceil_div
from hybridsim.work import Work, mvm
from hybridsim.workload import Experts


def linear(layout: Layout, work: FlowOp, decision: LinearDecision) -> None:
    """Let the tiles integrate batch after batch, siblings at once; then adapt."""
    structure = layout.structure
    group, batches = structure.together[work.name], layout.batches(work)
    if decision.digital is not None:
        digital(layout, work, decision.digital)
    elif work.name == group.members[0]:
        steps, needs = layout.operands(work, work.sources, layout.routes.of_tiles(work.name))
        ops = [structure.layers[name].op for name in group.members]
        shapes = tuple(op.matrices[1:] for op in ops)
        copies = structure.layers[work.name].copies
        if isinstance(work.op, Experts):
            own = _banks(layout, work.op, batches, copies)
        else:
            own = [(per_batch(batches, lambda rows: mvm(shapes, rows, copies)), group.tiles)]
        for works, tiles in own:
            before = (*needs, *layout.written, Within(len(steps), back=1))
            steps.append(Step(works, tiles, before))
        loop = layout.repeat(work, steps)
        for op in ops:
            sibling = structure.by_name[op.name]
            layout.made(sibling, loop, layout.routes.of_tiles(op.name), len(own))
    if decision.adapter is None:
        layer = structure.layers[work.name]
        room = decision.digital.tcdm_bytes if decision.digital else 0
        layout.layers[work.name] = LayerDecision(layer, batches.full, tcdm_bytes=room)
    else:
        adapted(layout, work, decision.adapter)


def _banks(
    layout: Layout, op: Experts, batches: Batches, copies: int
) -> list[tuple[Work | Mostly, tuple[int, ...]]]:
    """Return what experts do at once, and on which tiles: those of equal load together.

    Experts that get no token of any batch do nothing. Those that get none in one of the batches
    go with the busiest ones, whose task holds their tiles as well.
    """
    full, last = op.loads(batches.full), op.loads(batches.last)
    alike: dict[tuple[int, int], list[int]] = {}
    for expert, load in enumerate(zip(full, last, strict=True)):
        if any(load):
            alike.setdefault(load, []).append(expert)
    busiest = max(load for load in alike if all(load))
    for load in [load for load in alike if not all(load)]:
        alike[busiest] += alike.pop(load)
    name, tiles = op.shared or op.name, layout.resources.tiles

    def made(loads: Sequence[int], experts: Sequence[int]) -> Work:
        own = [loads[expert] for expert in experts]
        longest = ceil_div(max(own), copies)
        return Work("tile", "mvm", "mvm", ((op.matrices[1:],), longest), sum(own))

    found = []
    for experts in alike.values():
        own = (tile for expert in experts for tile in tiles[f"{name}#{expert}"])
        usual = made(full, experts)
        works: Work | Mostly = usual
        if batches.count > 1 and last != full:
            works = Mostly(usual, (made(last, experts),))
        found.append((works, tuple(dict.fromkeys(own))))
    return found


def embedding(layout: Layout, work: FlowOp, decision: EmbeddingDecision) -> None:
    """Fetch the rows of a table, one per token, or the output of an encoder from the DRAM."""
    size = layout.structure.machine.bytes_of(work.tokens * work.op.out_features)
    chip = layout.structure.chips[work.name]
    uses = (layout.resources.chips[chip].dram,)
    step = Step(fetch("fetch", "fetch", size), uses)
    loop = layout.builder.repeat(work.name, [step], 1)
    layout.made(work, loop, layout.routes.of_memory(chip))
    layout.tell(work, "dram", 1, "model")


def residual(layout: Layout, work: FlowOp, decision: ResidualDecision) -> None:
    """Add in the periphery of the tile that makes the last of the operands.

    An operand that an adapter has changed comes from outside like the others.
    """
    structure, peripheries = layout.structure, layout.resources.peripheries
    local = structure.from_tiles[work.name]
    others = [name for name in work.sources if name != local]
    first = structure.first_layer(structure.chips[work.name])
    here = layout.routes.of_tiles(local or first)
    steps, needs = layout.operands(work, others, here)
    if local is None:
        uses = peripheries[first][:1]
    else:
        uses = peripheries[local]
        needs += layout.outputs[local].ready(layout.batches(work).count)
    shape = (max(1, len(work.op.inputs) - 1), work.op.out_features, local is not None)
    works = per_batch(
        layout.batches(work), lambda rows: Work("periphery", "add", "add", (*shape, rows), rows)
    )
    steps.append(Step(works, uses, (*needs, Within(len(steps), back=1))))
    layout.made(work, layout.repeat(work, steps), here)
    layout.tell(work, "periphery", 1, "model")


def pieces(layout: Layout, work: FlowOp, decision: PiecesDecision) -> None:
    """Compute a norm, an activation or a sum on clusters, each a piece of every batch."""
    count, width = decision.pieces, work.op.out_features
    here = layout.routes.of_clusters(work.name, count)
    steps, needs = layout.operands(work, work.sources, here)

    def part(rows: int) -> Work:
        by_rows = (ceil_div(rows, count), width)
        shape = by_rows if decision.by_rows else (rows, ceil_div(width, count))
        own = Piece.of(work.op, *shape)
        return Work("cluster", "program", work.op.kind, (own,), rows)

    works = layout.known(work, "pieces", lambda: per_batch(layout.batches(work), part))
    uses = layout.resources.clusters(here.chip)
    steps += [Step(works, uses, tuple(needs))] * count
    loop = layout.repeat(work, steps)
    layout.made(work, loop, here, count, "rows" if decision.by_rows else "columns")
    layout.tell(work, "cluster", count, decision.cost_from, decision.tcdm_bytes)


LOWERINGS: dict[type, Callable[[Layout, FlowOp, Any], None]] = {
    LinearDecision: linear,
    EmbeddingDecision: embedding,
    AttentionDecision: attended,
    ResidualDecision: residual,
    PiecesDecision: pieces,
}
"""How an op is laid out, by what was decided for it; adapters are part of their linear layer."""


def lower(layout: Layout, works: Iterable[FlowOp]) -> None:
    """Append the tasks of some ops, in order."""
    for work in works:
        layer = layout.structure.layers.get(work.name)
        if layer is not None and layer.written is not None:
            layout.write(work, layer)
        decision = layout.decisions.ops[layout.structure.place[work.name]]
        LOWERINGS[type(decision)](layout, work, decision)
