"""How each kind of op becomes tasks: a function per kind of decision, in :data:`LOWERINGS`."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hybridsim.plan import Mostly, Need, Step, Within
from hybridsim.programs.adapting import AdapterWork, Half
from hybridsim.programs.attention_runs import AttentionShape, AttentionWork
from hybridsim.programs.pieces import Piece
from hybridsim.strategies.job import LayerDecision
from hybridsim.strategies.networks.dataflow import Batches, FlowOp, Needs
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
from hybridsim.strategies.networks.on_clusters import digital
from hybridsim.strategies.networks.routes import Moved, Place, fetch, once, per_batch
from hybridsim.units import ceil_div
from hybridsim.work import Work, mvm
from hybridsim.workload import Experts

_LABELS: dict[Half, str] = {"both": "adapt", "first": "x a", "second": "u b + y"}


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
        LOWERINGS[type(decision.adapter)](layout, work, decision.adapter)


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


# --- adapters -----------------------------------------------------------------------------------


def adapted(layout: Layout, work: FlowOp, decision: AdapterDecision) -> None:
    """Fetch Y and the adapter, and adapt each batch, every piece on a cluster."""
    count = decision.pieces
    x = _adapter_x(layout, work)
    here = layout.routes.of_clusters(work.name, count)
    kept = layout.resources.chips[here.chip].homes
    homes: list[tuple[int, ...]] = [(kept[home],) for home in decision.homes]
    weights: Needs = []
    steps = _load_adapter(layout, here, x, decision)
    if steps and homes:
        weights, steps = [layout.once(work, steps)], []
    elif steps:
        weights = [Within(len(steps) - 1)]
    homes = homes or [()] * count
    steps += _move_y(layout, work, here, len(steps))
    y = len(steps) - 1
    uses = layout.clusters_of(work, here, decision.program.choice.unit != "cores")
    if decision.early:
        read = [[Within(len(steps) + piece), Within(y)] for piece in range(count)]
        first = _adapter_works(layout, work, decision, "first")
        steps += [Step(first, (*uses, *home), (*x, *weights)) for home in homes]
    last = _adapter_works(layout, work, decision, "second" if decision.early else "both")
    for piece, home in enumerate(homes):
        needs = read[piece] if decision.early else [*x, *weights, Within(y)]
        steps.append(Step(last, (*uses, *home), tuple(needs)))
    layout.made(work, layout.repeat(work, steps), here, count)
    layout.layers[work.name] = LayerDecision(
        layout.structure.layers[work.name],
        decision.program.tokens,
        decision.program.choice,
        1,
        decision.tcdm_bytes,
        kept_bytes=decision.kept_bytes,
        homes=len(decision.homes),
    )


def adapted_together(layout: Layout, work: FlowOp, decision: SharedDecision) -> None:
    """Let several clusters adapt the same tokens: by ranks, then by outputs."""
    parts, tokens = decision.parts, work.tokens
    x = _adapter_x(layout, work)
    here = layout.routes.of_clusters(work.name, parts)
    steps, loads = _load_parts(layout, here, x, decision)
    choice = decision.first.choice
    uses = layout.clusters_of(work, here, choice.unit != "cores")
    first = _adapter_work(AdapterWork(decision.first, "first", tokens, decision.fetched))
    second = _adapter_work(AdapterWork(decision.second, "second", tokens, decision.fetched))
    made = len(steps)
    for part in range(parts):
        needs = (*x, loads[part]) if loads else tuple(x)
        steps.append(Step(first, uses, needs))
    products = [Within(made + part) for part in range(parts)]
    moved = once("move", "move u", decision.u_bytes, tokens)
    steps += layout.routes.steps((here, here), moved, products, len(steps))
    u = len(steps) - 1
    steps += _move_y(layout, work, here, len(steps))
    last = (Within(u), Within(len(steps) - 1))
    steps += [Step(second, uses, last)] * parts
    layout.made(work, layout.repeat(work, steps), here, parts, "columns")
    layout.layers[work.name] = LayerDecision(
        layout.structure.layers[work.name],
        tokens,
        choice,
        1,
        decision.tcdm_bytes,
        shared=(decision.first, decision.second),
    )


def _adapter_x(layout: Layout, work: FlowOp) -> Needs:
    """Return what brings X, which came for the MVM: on the way to the tile it passes clusters."""
    carrier = layout.structure.together[work.name].members[0]
    steps, x = layout.operands(work, work.sources, layout.routes.of_tiles(carrier))
    assert not steps
    return x


def _move_y(layout: Layout, work: FlowOp, here: Place, at: int) -> list[Step]:
    """Return the transfers that bring Y, the output of the tiles, to the clusters."""
    output = layout.outputs[work.name]
    bits = output.width * layout.structure.machine.activation_bits

    def size(rows: int) -> int:
        return ceil_div(bits * rows, 8)

    moved = Moved("move", "move y", layout.batches(work), size, tell=True)
    way = (layout.place_of(work.name), here)
    return layout.routes.steps(way, moved, output.ready(output.count), at)


def _load_adapter(layout: Layout, here: Place, x: Needs, decision: AdapterDecision) -> list[Step]:
    """Return the transfers that bring A and B to the clusters."""
    if not decision.load_bytes:
        return []
    steps, needs = _adapter_from_dram(layout, here, x, decision.load_bytes, decision.from_dram)
    way = (layout.routes.of_memory(here.chip), here)
    moved = once("weights", "load a b", decision.load_bytes, told=decision.weight_bytes)
    return [*steps, *layout.routes.steps(way, moved, needs, len(steps))]


def _load_parts(
    layout: Layout, here: Place, x: Needs, decision: SharedDecision
) -> tuple[list[Step], list[Within]]:
    """Return the transfers that bring each cluster its parts of A and B, and their ends."""
    size, nodes = decision.load_bytes, here.nodes
    if not size:
        return [], []
    steps, needs = _adapter_from_dram(layout, here, x, size * decision.parts, decision.from_dram)
    first, memory = len(steps), layout.routes.of_memory(here.chip)
    moved = once("weights", "load a b", size, told=size)
    places = [Place(here.chip, (node,)) for node in nodes] or [here]
    ways = [layout.routes.steps((memory, own), moved, needs) for own in places]
    for part in range(decision.parts):
        steps += ways[part % len(ways)]  # of one step each, as the memory is on the chip
    return steps, [Within(first + part) for part in range(decision.parts)]


def _adapter_from_dram(
    layout: Layout, here: Place, x: Needs, size: int, outside: bool
) -> tuple[list[Step], tuple[Need | Within, ...]]:
    """Return what brings A and B onto the chip, where they are outside, and what loads wait for.

    They come when X does, so that they take no room before.
    """
    if not outside:
        return [], tuple(x)
    uses = (layout.resources.chips[here.chip].dram,)
    return [Step(fetch("weights", "fetch a b", size), uses, tuple(x))], (Within(0),)


def _adapter_works(layout: Layout, work: FlowOp, decision: AdapterDecision, half: Half) -> Mostly:
    """Return what each of the clusters that share the batches of a layer does, batch by batch.

    The first batch brings A and B; later ones too, unless these stay.
    """
    batches = layout.batches(work)

    def piece(rows: int, weights: bool) -> Work:
        own = ceil_div(rows, decision.pieces)
        again = decision.banks
        return _adapter_work(AdapterWork(decision.program, half, own, weights, again))

    def make() -> Mostly:
        again = decision.fetched_again
        last = (piece(batches.last, again),) if batches.count > 1 else ()
        return Mostly(piece(batches.full, again), last, (piece(batches.full, decision.fetched),))

    return layout.known(work, half, make)


def _adapter_work(program: AdapterWork) -> Work:
    return Work("cluster", "program", _LABELS[program.half], (program,), program.rows)


# --- attention ----------------------------------------------------------------------------------


def attention(layout: Layout, work: FlowOp, decision: AttentionDecision) -> None:
    """Bring Q, K and V over the link whole, then compute head by head on clusters.

    In batches each operand is moved when its own last batch is there; otherwise when all are.
    """
    structure = layout.structure
    everything = [need for name in work.sources for need in layout.outputs[name].last()]
    here = layout.routes.of_clusters(work.name, len(decision.programs))
    operands: Needs = []
    for name in work.sources:
        output = layout.outputs[name]
        needs = everything if layout.decisions.batch is None else output.last()
        tokens = structure.by_name[name].tokens
        bits = output.width * tokens * structure.machine.activation_bits
        moved = once("move", "move", ceil_div(bits, 8), tokens)
        steps = layout.routes.steps((layout.place_of(name), here), moved, needs)
        operands.append(layout.once(work, steps))
    operands += _kept_keys_values(layout, work, here, decision) + _attention_from_dram(
        layout, work, here, decision, everything
    )
    uses = layout.resources.clusters(here.chip, decision.on_engine)
    steps = [
        Step(works, uses, (*operands, Within(index, back=1)))
        for index, works in enumerate(layout.known(work, "heads", lambda: by_cluster(decision)))
    ]
    loop = layout.builder.repeat(work.name, steps, decision.programs[0].batches)
    layout.made(work, loop, here, len(steps), "columns")
    layout.tell(work, "cluster", len(steps), decision.cost_from, decision.tcdm_bytes)


def attending(program: AttentionShape) -> tuple[Work, ...]:
    """Return the works of the heads of one cluster, batch after batch."""
    batches = Batches.of(program.tokens, program.batch)
    rows = [batches.full] * (batches.count - 1) + [batches.last]
    return tuple(
        Work("cluster", "program", "attend", (AttentionWork(program, number),), own)
        for number, own in enumerate(rows)
    )


def by_cluster(decision: AttentionDecision) -> list[tuple[Work, ...]]:
    """Return the works of each cluster; those of equal heads are the very same."""
    known = {program: attending(program) for program in dict.fromkeys(decision.programs)}
    return [known[program] for program in decision.programs]


def kept(decision: AttentionDecision) -> Moved:
    """Return what brings kept keys and values from the SRAM to the clusters."""
    return once("keep", "move kv", decision.kept_bytes)


def from_dram(decision: AttentionDecision, past: int) -> Work:
    """Return what brings what the SRAM does not hold, or what passes the DRAM."""
    if past:
        return fetch("keep", "load kv", decision.from_dram)
    return fetch("spill", "spill", decision.from_dram)


def _kept_keys_values(
    layout: Layout, work: FlowOp, here: Place, decision: AttentionDecision
) -> list[Need]:
    if not decision.kept_bytes:
        return []
    way = (layout.routes.of_memory(here.chip), here)
    return [layout.once(work, layout.routes.steps(way, kept(decision), ()))]


def _attention_from_dram(
    layout: Layout, work: FlowOp, here: Place, decision: AttentionDecision, operands: Needs
) -> list[Need]:
    """Bring what an attention reads and the SRAM does not hold.

    Kept keys and values come once the attention whose place they take is done, and behind a
    barrier not before the block before (HARP's blocks do so); activations that do not fit go out
    and come back once they are made.
    """
    if not decision.from_dram:
        return []
    past = layout.structure.of.past
    needs = operands
    if past:
        needs = layout.outputs[decision.after].last() if decision.after else []
        if layout.decisions.barrier and work.op.block is not None:
            before = layout.structure.block_before.get(work.op.block, ())
            needs = [*needs, *(need for name in before for need in layout.outputs[name].last())]
    uses = (layout.resources.chips[here.chip].dram,)
    return [layout.once(work, [Step(from_dram(decision, past), uses, tuple(needs))])]


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


def lower(layout: Layout, works: Iterable[FlowOp]) -> None:
    """Append the tasks of some ops, in order."""
    for work in works:
        layer = layout.structure.layers.get(work.name)
        if layer is not None and layer.written is not None:
            layout.write(work, layer)
        decision = layout.decisions.ops[layout.structure.place[work.name]]
        LOWERINGS[type(decision)](layout, work, decision)
