"""How an attention becomes tasks: its operands whole, then head by head."""

from hybridsim.plan import Need, Step, Within
from hybridsim.programs.attention_runs import AttentionShape, AttentionWork
from hybridsim.strategies.networks.dataflow import Batches, FlowOp, Needs
from hybridsim.strategies.networks.decisions import AttentionDecision
from hybridsim.strategies.networks.layout import Layout
from hybridsim.strategies.networks.routes import Moved, Place, fetch, once
from hybridsim.work import Work


def attended(layout: Layout, work: FlowOp, decision: AttentionDecision) -> None:
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
        size = structure.machine.bytes_of(output.width * tokens)
        moved = once("move", "move", size, tokens)
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
