"""How each kind of op becomes tasks: a function per kind of decision, in :data:`LOWERINGS`."""

from collections.abc import Callable
from typing import Any

from hybridsim.plan import Step, Within
from hybridsim.programs.pieces import Piece
from hybridsim.strategies.job import LayerDecision
from hybridsim.strategies.networks.dataflow import FlowOp
from hybridsim.strategies.networks.decisions import (
    AdapterDecision,
    AttentionDecision,
    EmbeddingDecision,
    LinearDecision,
    PiecesDecision,
    ResidualDecision,
    SharedDecision,
)
from hybridsim.strategies.networks.layout import Layout
from hybridsim.strategies.networks.lowering_adapters import adapted, adapted_together
from hybridsim.strategies.networks.lowering_attention import attention
from hybridsim.strategies.networks.routes import fetch, per_batch
from hybridsim.units import ceil_div
from hybridsim.work import Work, mvm


def linear(layout: Layout, work: FlowOp, decision: LinearDecision) -> None:
    """Let the tiles integrate batch after batch, siblings at once; then adapt."""
    structure = layout.structure
    group, batches = structure.together[work.name], layout.batches(work)
    if work.name == group.members[0]:
        steps, needs = layout.operands(work, work.sources, layout.routes.of_tiles(work.name))
        ops = [structure.layers[name].op for name in group.members]
        shapes = tuple((op.in_features, op.out_features) for op in ops)
        works = per_batch(batches, lambda rows: mvm(shapes, rows))
        steps.append(Step(works, group.tiles, (*needs, Within(len(steps), back=1))))
        loop = layout.repeat(work, steps)
        for op in ops:
            sibling = structure.by_name[op.name]
            layout.made(sibling, loop, layout.routes.of_tiles(op.name))
    if decision.adapter is None:
        layer = structure.layers[work.name]
        layout.layers[work.name] = LayerDecision(layer, batches.full)
    else:
        LOWERINGS[type(decision.adapter)](layout, work, decision.adapter)


def embedding(layout: Layout, work: FlowOp, decision: EmbeddingDecision) -> None:
    """Fetch the rows of a table, one per token, or the output of an encoder from the DRAM."""
    bits = work.tokens * work.op.out_features * layout.structure.machine.activation_bits
    chip = layout.structure.chips[work.name]
    uses = (layout.resources.chips[chip].dram,)
    step = Step(fetch("fetch", "fetch", ceil_div(bits, 8)), uses)
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
    AdapterDecision: adapted,
    SharedDecision: adapted_together,
    EmbeddingDecision: embedding,
    AttentionDecision: attention,
    ResidualDecision: residual,
    PiecesDecision: pieces,
}
"""How an op is laid out, by what was decided for it; adapters are part of their linear layer."""
