"""How the adapter of a layer becomes tasks: rows shared out, or ranks and then outputs."""

from hybridsim.plan import Mostly, Need, Step, Within
from hybridsim.programs.adapting import AdapterWork, Half, Shares
from hybridsim.strategies.job import LayerDecision
from hybridsim.strategies.networks.dataflow import Batches, FlowOp, Needs
from hybridsim.strategies.networks.decisions import (
    AdapterDecision,
    SharedDecision,
)
from hybridsim.strategies.networks.layout import Layout
from hybridsim.strategies.networks.routes import Moved, Place, fetch, once, per_batch
from hybridsim.work import NOTHING, Work
from hybridsim.workload import Linear

_LABELS: dict[Half, str] = {"both": "adapt", "first": "x a", "second": "u b + y"}


def adapted(layout: Layout, work: FlowOp, decision: AdapterDecision | SharedDecision) -> None:
    """Adapt the batches of a layer in the way that was decided."""
    if isinstance(decision, SharedDecision):
        _adapted_together(layout, work, decision)
    else:
        _adapted_by_rows(layout, work, decision)


def _adapted_by_rows(layout: Layout, work: FlowOp, decision: AdapterDecision) -> None:
    """Fetch Y and the adapter, and adapt each batch, every piece on a cluster."""
    count = decision.pieces
    x = _adapter_x(layout, work)
    here = layout.routes.of_clusters(work.name, count)
    kept = layout.resources.chips[here.chip].homes
    homes: list[tuple[int, ...]] = [(kept[home],) for home in decision.homes]
    weights: Needs = []
    steps = _load_adapter(layout, work, here, x, decision)
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
        held = zip(first, homes, strict=True)
        steps += [Step(own, (*uses, *home), (*x, *weights)) for own, home in held]
    last = _adapter_works(layout, work, decision, "second" if decision.early else "both")
    for piece, (own, home) in enumerate(zip(last, homes, strict=True)):
        needs = read[piece] if decision.early else [*x, *weights, Within(y)]
        steps.append(Step(own, (*uses, *home), tuple(needs)))
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


def _adapted_together(layout: Layout, work: FlowOp, decision: SharedDecision) -> None:
    """Let several clusters adapt the same tokens: by ranks, then by outputs."""
    parts, tokens = decision.parts, work.tokens
    x = _adapter_x(layout, work)
    here = layout.routes.of_clusters(work.name, parts)
    steps, loads = _load_parts(layout, here, x, decision)
    choice = decision.first.choice
    uses = layout.clusters_of(work, here, choice.unit != "cores")
    first = _adapter_work(AdapterWork(decision.first, "first", (tokens,), decision.fetched))
    second = _adapter_work(AdapterWork(decision.second, "second", (tokens,), decision.fetched))
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
    output, machine = layout.outputs[work.name], layout.structure.machine

    def size(rows: int) -> int:
        return machine.bytes_of(output.width * rows)

    moved = Moved("move", "move y", layout.batches(work), size, tell=True)
    way = (layout.place_of(work.name), here)
    return layout.routes.steps(way, moved, output.ready(output.count), at)


def _load_adapter(
    layout: Layout, work: FlowOp, here: Place, x: Needs, decision: AdapterDecision
) -> list[Step]:
    """Return the transfers that bring A and B to the clusters: each once for all of them."""
    if not decision.load_bytes:
        return []
    assert isinstance(work.op, Linear)
    several, batches = work.op.matrices[0] > 1, layout.batches(work)
    if decision.last_load_bytes == decision.load_bytes:
        batches = Batches(NOTHING, NOTHING, 1)  # the same for all of them

    def size(rows: int) -> int:
        return decision.last_load_bytes if rows == batches.last else decision.load_bytes

    works = per_batch(batches, lambda rows: fetch("weights", "fetch a b", size(rows)))
    steps, needs = _adapter_from_dram(layout, here, x, works, decision.from_dram)
    way = (layout.routes.of_memory(here.chip), here)
    told = None if several else decision.weight_bytes
    moved = Moved("weights", "load a b", batches, size, tell=several, told=told)
    return [*steps, *layout.routes.steps(way, moved, needs, len(steps))]


def _load_parts(
    layout: Layout, here: Place, x: Needs, decision: SharedDecision
) -> tuple[list[Step], list[Within]]:
    """Return the transfers that bring each cluster its parts of A and B, and their ends."""
    size, nodes = decision.load_bytes, here.nodes
    if not size:
        return [], []
    works = fetch("weights", "fetch a b", size * decision.parts)
    steps, needs = _adapter_from_dram(layout, here, x, works, decision.from_dram)
    first, memory = len(steps), layout.routes.of_memory(here.chip)
    moved = once("weights", "load a b", size, told=size)
    places = [Place(here.chip, (node,)) for node in nodes] or [here]
    ways = [layout.routes.steps((memory, own), moved, needs) for own in places]
    for part in range(decision.parts):
        steps += ways[part % len(ways)]  # of one step each, as the memory is on the chip
    return steps, [Within(first + part) for part in range(decision.parts)]


def _adapter_from_dram(
    layout: Layout, here: Place, x: Needs, works: Work | Mostly, outside: bool
) -> tuple[list[Step], tuple[Need | Within, ...]]:
    """Return what brings A and B onto the chip, where they are outside, and what loads wait for.

    They come when X does, so that they take no room before.
    """
    if not outside:
        return [], tuple(x)
    uses = (layout.resources.chips[here.chip].dram,)
    return [Step(works, uses, tuple(x))], (Within(0),)


def _adapter_works(
    layout: Layout, work: FlowOp, decision: AdapterDecision, half: Half
) -> list[Mostly]:
    """Return what each of the clusters that share the batches of a layer does, batch by batch.

    The first batch brings A and B; later ones too, unless these stay.
    """
    batches, op = layout.batches(work), work.op
    assert isinstance(op, Linear)

    def piece(loads: tuple[int, ...], weights: bool) -> Work:
        return _adapter_work(AdapterWork(decision.program, half, loads, weights))

    def make() -> list[Mostly]:
        again = decision.fetched_again
        shares = [
            Shares.cut(op.loads(n), decision.pieces).of for n in (batches.full, batches.last)
        ]
        own = [*zip(*shares, strict=True)]
        found = {
            (full, last): Mostly(
                piece(full, again),
                (piece(last, again),) if batches.count > 1 else (),
                (piece(full, decision.fetched),),
            )
            for full, last in dict.fromkeys(own)
        }
        return [found[each] for each in own]

    return layout.known(work, half, make)


def _adapter_work(program: AdapterWork) -> Work:
    return Work("cluster", "program", _LABELS[program.half], (program,), program.rows)
