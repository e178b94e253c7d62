"""What the engines execute and what they return: plain columns, no behaviour.

A plan says what is done, and knows no time: *tasks*, each of one *work*, the *resources* they hold
while they run, and the *needs* between them. A machine prices the works (:mod:`hybridsim.work`);
with the times of the works an engine turns a plan into a timeline.

The execution rule, which every engine obeys to the picosecond:

1.  A task becomes *ready* at the instant its last need has ended; one that needs nothing is
    ready at 0.
2.  At each instant all completions come first: every task that ends now gives back its units,
    and the tasks that waited for it become ready.
3.  Then the ready tasks that have not started are visited once, in plan order. A task starts now
    if each resource it uses has a free unit, and takes one unit of each; otherwise it takes
    nothing, and does not stand in the way of the tasks after it.
4.  A started task runs for the whole time of its work, at least 1 ps, and is never interrupted.

So a task that uses several resources (a transfer holds a DMA engine and a link) takes all of them
or none, and a task that uses none is a delay. A resource that is shared fairly is shared by
cutting long work into several tasks (bursts): the rule itself has no time slices.

A buffer is an edge, not a resource: with room for *d* batches between a producer and a consumer,
batch *b* of the producer needs batch *b - d* of the consumer. Such an edge is a *room* need, all
others are *data* needs. Engines treat them alike; metrics use the difference to tell a task that
is blocked (no room downstream) from one that is starved (no data yet). A strategy that reserves
resources ahead of time fixes who goes first by *order* needs: such a task waits for its turn.
"""

from hybridsim.plan.building import Outline, PlanBuilder
from hybridsim.plan.columns import Bools, Loop, Plan, Resource, Timeline, check_total
from hybridsim.plan.templates import Mostly, Need, Step, Template, Within

__all__ = [
    "Bools",
    "Loop",
    "Mostly",
    "Need",
    "Outline",
    "Plan",
    "PlanBuilder",
    "Resource",
    "Step",
    "Template",
    "Timeline",
    "Within",
    "check_total",
]
