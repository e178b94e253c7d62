"""How a layer that clusters compute as a whole becomes tasks."""

from hybridsim.plan import Step, Within
from hybridsim.programs.product import ProductWork
from hybridsim.strategies.networks.dataflow import FlowOp
from hybridsim.strategies.networks.decisions import DigitalDecision
from hybridsim.strategies.networks.layout import Layout
from hybridsim.strategies.networks.routes import fetch, once, per_batch
from hybridsim.work import Work


def digital(layout: Layout, work: FlowOp, decision: DigitalDecision) -> None:
    """Fetch X and W for every batch, and multiply on clusters, each some columns of the output.

    W comes when X does, so that it takes no room before.
    """
    count, program = decision.pieces, decision.program
    here = layout.routes.of_clusters(work.name, count)
    steps, needs = layout.operands(work, work.sources, here)
    x = tuple(needs)
    if decision.from_dram:
        channel = (layout.resources.chips[here.chip].dram,)
        steps.append(Step(fetch("weights", "fetch w", decision.load_bytes), channel, x))
        needs = [Within(len(steps) - 1)]
    moved = once("weights", "load w", decision.load_bytes)
    way = (layout.routes.of_memory(here.chip), here)
    steps += layout.routes.steps(way, moved, needs, len(steps))
    loaded = Within(len(steps) - 1)

    def part(rows: int) -> Work:
        own = ProductWork(rows, program.inputs, program.columns, program.on_engine)
        return Work("cluster", "program", "product", (own,), rows)

    works = layout.known(work, "product", lambda: per_batch(layout.batches(work), part))
    uses = layout.clusters_of(work, here, program.on_engine)
    steps += [Step(works, uses, (*x, loaded))] * count
    layout.made(work, layout.repeat(work, steps), here, count, "columns")
