"""How long the chip works on a batch of requests, from the simulator's own latencies."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from hybridsim.arch import Machine
from hybridsim.errors import UnknownNameError, UnsupportedError
from hybridsim.schedulers import NetworkStrategy, Scheduler
from hybridsim.service.requests import Request
from hybridsim.simulate import execute
from hybridsim.workload import Network

_WEIGHTS = {"load a", "load b", "prefetch a", "prefetch b"}
"""Actions of a plan that bring an adapter into the scratchpad."""


class ServiceTimes:
    """The time that batches take on one machine, each distinct shape simulated once.

    Requests of one task run as one stream of tokens through the linear layers, with the task's
    adapters. A strategy for whole networks computes attention too, which does not reach from one
    sequence into another: there, requests run one after the other.

    For requests of several tasks in one batch the better of two schedules is taken, both of which
    a cluster can follow: one task's requests after the other's through the whole network; or all
    tokens through each layer, task by task, where nothing runs on the cluster while the next
    task's A and B replace those of the last one in the scratchpad.
    """

    def __init__(
        self, networks: Mapping[str, Network], machine: Machine, scheduler: Scheduler
    ) -> None:
        self._networks = networks
        self._machine = machine
        self._scheduler = scheduler
        self._whole = isinstance(scheduler, NetworkStrategy)
        self._kinds: dict[Network, int] = {}
        self._kind_of = {task: self._kind(network) for task, network in networks.items()}
        self._run = lru_cache(maxsize=None)(self._simulated)

    @property
    def runs(self) -> int:
        """How many simulations were needed so far."""
        return self._run.cache_info().currsize

    def batch_ps(self, batch: Sequence[Request]) -> int:
        """Return how long the chip works on a batch [ps].

        Raises:
            UnknownNameError: A request is for a task without a network.
            UnsupportedError: A request generates tokens.
            InputError: The network cannot run on the machine with so many tokens.
        """
        groups: dict[int, list[int]] = {}
        for request in batch:
            if request.task not in self._kind_of:
                raise UnknownNameError("request: task", request.task, self._networks)
            if request.output:
                raise UnsupportedError(
                    f"a request of task {request.task!r} generates {request.output} tokens; "
                    "serving runs encoders, so output 0 would do"
                )
        for task in dict.fromkeys(request.task for request in batch):
            prompts = [request.prompt for request in batch if request.task == task]
            groups.setdefault(self._kind_of[task], []).append(self._alone(task, prompts))
        apart = sum(sum(times) for times in groups.values())
        return min(apart, self._together(batch))

    def _alone(self, task: str, prompts: Sequence[int]) -> int:
        kind = self._kind_of[task]
        if self._whole:
            return sum(self._run(kind, prompt)[0] for prompt in prompts)
        return self._run(kind, sum(prompts))[0]

    def _together(self, batch: Sequence[Request]) -> int:
        """Return how long all tokens take layer by layer, with the slowest of the adapters."""
        tasks = list(dict.fromkeys(request.task for request in batch))
        if self._whole:
            return sum(self._alone(r.task, [r.prompt]) for r in batch)
        tokens = sum(request.prompt for request in batch)
        runs = [self._run(self._kind_of[task], tokens) for task in tasks]
        return max(latency for latency, _ in runs) + sum(weights for _, weights in runs[1:])

    def _simulated(self, kind: int, tokens: int) -> tuple[int, int]:
        """Return the latency, and how long the transfers of all A and B take [ps]."""
        network = next(n for n, index in self._kinds.items() if index == kind)
        run = execute(network, self._machine, self._scheduler, tokens)
        plan = run.schedule.plan
        moved = [i for i, action in enumerate(plan.actions) if action in _WEIGHTS]
        weights = int(plan.duration[[a in moved for a in plan.action.tolist()]].sum())
        return run.timeline.makespan, weights

    def _kind(self, network: Network) -> int:
        """Return one number for all networks that are equal."""
        return self._kinds.setdefault(network, len(self._kinds))
