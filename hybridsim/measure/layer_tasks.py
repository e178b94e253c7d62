"""Which tasks of a plan are which step of an adapted layer: read off what was decided.

The tasks of a layer stand in the plan as they were laid out: its MVMs where these come first, A
and B for each of its clusters, then its batches, each as many steps. A and B that are fetched
while another layer runs stand behind the tasks of that one.
"""

from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from hybridsim.plan import Plan
from hybridsim.records import record
from hybridsim.strategies import Batching, Job, LayerDecision, Schedule, StepOfBatch, steps_of
from hybridsim.units import Ints


@record(frozen=True)
class LayerTasks:
    """The tasks of one layer that is adapted on clusters of its own."""

    decided: LayerDecision
    batching: Batching
    op: int
    """Its number among the ops of the plan."""
    weights: Ints
    """Shape (clusters, 2): the transfers of A and of B to each of its clusters."""
    batches: Ints
    """Shape (batches, steps)."""

    @property
    def fetches_ahead(self) -> bool:
        """Whether A and B come while another layer runs."""
        return self.decided.during is not None

    @cached_property
    def place(self) -> dict[StepOfBatch, int]:
        """Step -> its place in a batch."""
        return {step: number for number, step in enumerate(steps_of(self.batching))}

    def of(self, step: StepOfBatch) -> Ints:
        """Return the tasks of a step, one for each batch."""
        tasks: Ints = self.batches[:, self.place[step]]
        return tasks

    def clusters(self, job: Job) -> tuple[Ints, Ints]:
        """Return the cluster of each pair of weights, and that of each batch."""
        in_turn = np.array(job.resources.in_turn(self.decided.layer, len(self.weights)), np.int64)
        return in_turn, in_turn[np.arange(len(self.batches)) % len(in_turn)]


def layer_tasks(schedule: Schedule) -> Iterator[LayerTasks]:
    """Yield the tasks of each layer that is adapted on clusters of its own, in plan order."""
    plan = schedule.plan
    adapted = [decided for decided in schedule.layers if decided.batching is not None]
    if not adapted:
        return
    number = {name: index for index, name in enumerate(plan.ops)}
    of_op = _tasks_of_ops(plan)
    ahead: dict[str, int] = defaultdict(int)
    """Layer -> transfers behind its tasks that are for later layers."""
    for decided in adapted:
        if decided.during is not None:
            assert decided.batching is not None
            ahead[decided.during] += 2 * decided.batching.order.clusters
    left = dict(ahead)
    for decided in adapted:
        batching, op = decided.batching, number[decided.layer.name]
        assert batching is not None
        own = of_op[op]
        own = own[: len(own) - ahead[decided.layer.name]]
        steps = len(steps_of(batching))
        batches = own[len(own) - batching.sizes.batches * steps :].reshape(-1, steps)
        clusters = batching.order.clusters
        if decided.during is None:
            head = own[: len(own) - batches.size]
            weights = head[len(head) - 2 * clusters :]
        else:
            behind, at = of_op[number[decided.during]], left[decided.during]
            weights = behind[len(behind) - at :][: 2 * clusters]
            left[decided.during] -= 2 * clusters
        yield LayerTasks(decided, batching, op, weights.reshape(-1, 2), batches)


def _tasks_of_ops(plan: Plan) -> list[Ints]:
    """Return the tasks of each op, in plan order."""
    by_op = np.argsort(plan.op, kind="stable")
    first = np.searchsorted(plan.op[by_op], np.arange(1, len(plan.ops)))
    return np.split(by_op, first)
