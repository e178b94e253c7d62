"""How long the chip works on a batch of requests, from the simulator's own latencies."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from hybridsim._old_names import old_keywords
from hybridsim.arch import Machine
from hybridsim.errors import UnknownNameError
from hybridsim.generation import GenerationTimes
from hybridsim.service.requests import Request
from hybridsim.service.serving import Moments
from hybridsim.simulation import execute
from hybridsim.strategies import NetworkStrategy, Strategy
from hybridsim.workload import Network

_WEIGHTS = {"load a", "load b", "prefetch a", "prefetch b"}
"""Actions of a plan that bring an adapter into the scratchpad."""
_MOST_KNOWN = 2**14
"""Batches whose times are remembered: a few megabytes."""


class ServiceTimes:
    """The time that batches take on one machine, each distinct shape simulated once.

    Requests of one task run as one stream of tokens through the linear layers, with the task's
    adapters. A strategy for whole networks computes attention too, which does not reach from one
    sequence into another: there, requests run one after the other.

    For requests of several tasks in one batch the better of two schedules is taken: one task's
    requests after the other's through the whole network; or all tokens through each layer, task by
    task, where nothing runs on the cluster while the next task's A and B replace those of the last
    one in the scratchpad. The first is simulated. The second is an estimate: all tokens in one
    run, and the transfers of A and B added; that a task's last batch may be smaller is left out.

    Requests that generate tokens are run as :class:`hybridsim.generation.GenerationTimes` says:
    those of a batch that are alike (adapters, prompt and output) together, others one after the
    other, in the order in which they came.
    """

    @old_keywords(scheduler="strategy")
    def __init__(
        self,
        networks: Mapping[str, Network],
        machine: Machine,
        strategy: Strategy,
        pace: float = 1.0,
    ) -> None:
        """``pace`` is how many times as long all runs take as they are simulated."""
        self._pace = pace
        self._networks = networks
        self._machine = machine
        self._strategy = strategy
        self._whole = isinstance(strategy, NetworkStrategy)
        self._kinds: dict[Network, int] = {}
        self._kind_of = {task: self._kind(network) for task, network in networks.items()}
        self._run = lru_cache(maxsize=None)(self._simulated)
        self._generations: dict[int, GenerationTimes] = {}
        self._known: dict[tuple[tuple[str, int], ...], int] = {}

    @property
    def runs(self) -> int:
        """How many simulations were needed so far."""
        return self._run.cache_info().currsize

    def batch_ps(self, batch: Sequence[Request]) -> int:
        """Return how long the chip works on a batch [ps].

        Raises:
            UnknownNameError: A request is for a task without a network.
            InputError: The network cannot run on the machine with so many tokens, or a request
                generates tokens and it is no decoder.
        """
        for request in batch:
            if request.task not in self._kind_of:
                raise UnknownNameError("request: task", request.task, self._networks)
        if any(request.output for request in batch):
            return max(moments.end_ps for moments in self.moments(batch))
        groups: dict[int, list[int]] = {}
        for task in dict.fromkeys(request.task for request in batch):
            prompts = [request.prompt for request in batch if request.task == task]
            groups.setdefault(self._kind_of[task], []).append(self._alone(task, prompts))
        apart = sum(sum(times) for times in groups.values())
        return min(apart, self._together(batch))

    def moments(self, batch: Sequence[Request]) -> list[Moments]:
        """Return when each request of a batch is done, from the start of the batch.

        Raises:
            InputError: As :meth:`batch_ps`.
            CapacityError: Keys and values of a request fit nowhere.
        """
        if not any(request.output for request in batch):
            return [Moments(self._read_ps(batch))] * len(batch)
        alike: dict[tuple[str, int, int], list[int]] = {}
        for index, request in enumerate(batch):
            alike.setdefault((request.task, request.prompt, request.output), []).append(index)
        found: dict[int, Moments] = {}
        now = 0
        for (task, prompt, output), members in alike.items():
            if output:
                first, took = (
                    round(self._pace * time)
                    for time in self._generation(task).times(prompt, output, len(members))
                )
                when = Moments(now + took, now + first)
            else:
                took = self._alone(task, [prompt] * len(members))
                when = Moments(now + took)
            found.update(dict.fromkeys(members, when))
            now += took
        return [found[index] for index in range(len(batch))]

    def _read_ps(self, batch: Sequence[Request]) -> int:
        """Return how long a batch takes that generates nothing [ps]; the last ones are known."""
        key = tuple([(request.task, request.prompt) for request in batch])
        if key not in self._known:
            if len(self._known) == _MOST_KNOWN:
                self._known.clear()
            self._known[key] = self.batch_ps(batch)
        return self._known[key]

    def _generation(self, task: str) -> GenerationTimes:
        kind, strategy = self._kind_of[task], self._strategy
        if kind not in self._generations:
            assert isinstance(strategy, NetworkStrategy)
            network = self._networks[task]
            self._generations[kind] = GenerationTimes(network, self._machine, strategy)
        return self._generations[kind]

    def scratchpads_left(self, task: str, tokens: int) -> int:
        """Return what a run leaves of the scratchpads of all clusters of a chip [bytes]."""
        cluster = self._machine.cluster
        if cluster is None:
            return 0
        most = self._run(self._kind_of[task], tokens)[2]
        return cluster.total * max(0, cluster.tcdm.size - most)

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
        return max(run[0] for run in runs) + sum(run[1] for run in runs[1:])

    def _simulated(self, kind: int, tokens: int) -> tuple[int, int, int]:
        """Return the latency, how long the transfers of all A and B take [ps], and the most that
        is needed of a scratchpad [bytes]."""
        network = next(n for n, index in self._kinds.items() if index == kind)
        run = execute(network, self._machine, self._strategy, tokens)
        plan = run.schedule.plan
        fetches = plan.which(lambda work: work.label in _WEIGHTS)
        weights = int(run.timeline.duration[fetches].sum())
        needs = [decided.tcdm_bytes for decided in run.schedule.layers]
        needs += [decided.tcdm_bytes for decided in run.schedule.ops]
        latency = round(self._pace * run.timeline.makespan)
        return latency, weights, max(needs)

    def _kind(self, network: Network) -> int:
        """Return one number for all networks that are equal."""
        return self._kinds.setdefault(network, len(self._kinds))
