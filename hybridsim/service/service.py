"""A trace of requests on one chip: the store, the times and the loop put together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from hybridsim._old_names import old_keywords
from hybridsim.arch import Machine
from hybridsim.components.memory import Dram, Sram
from hybridsim.errors import InputError, UnknownNameError
from hybridsim.generation import strategy_for
from hybridsim.mapping import place
from hybridsim.service.decoders import CHUNK, MOST_SEQUENCES, Decoders
from hybridsim.service.latency import ServiceTimes
from hybridsim.service.lengths import Fitted
from hybridsim.service.own_adapters import notes_of
from hybridsim.service.requests import Request, Requests
from hybridsim.service.residency import Policy, Store, Tier, tier_of
from hybridsim.service.result import (
    ServiceInterval,
    ServiceResult,
    Sums,
    Targets,
    good,
    requests_frame,
    totals,
)
from hybridsim.service.serving import BatchMix, Mix, ServedRequests, serve
from hybridsim.strategies import NetworkStrategy, Strategy, TokenParallel
from hybridsim.units import format_bytes
from hybridsim.workload import Network


@dataclass(frozen=True)
class Service:
    """What serving a trace came to, and every request of it."""

    result: ServiceResult
    served: ServedRequests
    """When each request was served."""

    @cached_property
    def requests(self) -> pd.DataFrame:
        """One row per request; see :func:`hybridsim.service.result.requests_frame`."""
        return requests_frame(self.served)

    def with_interval(self, interval: ServiceInterval) -> "Service":
        """Return the same, with how sure it is."""
        return replace(self, result=self.result.model_copy(update={"interval": interval}))

    def of_trace(self, trace: Fitted) -> "Service":
        """Return the same, with what became of requests that were longer than the model."""
        counts = {"skipped": trace.left_out, "cut": trace.cut}
        return replace(self, result=self.result.model_copy(update=counts))


@old_keywords(scheduler="strategy")
def run_service(
    network: Network,
    machine: Machine,
    requests: Sequence[Request],
    *,
    adapters: Mapping[str, Network] | None = None,
    policy: Policy = "lru",
    mix: Mix = "grouped",
    most: int | None = None,
    overlap: bool = False,
    strategy: Strategy | None = None,
    store_bytes: int | None = None,
    chunk: int = CHUNK,
    exact: bool | None = None,
    reuse: bool = True,
    targets: Targets | None = None,
    pace: float = 1.0,
    watch: Callable[[int], None] = lambda done: None,
) -> Service:
    """Serve ``requests`` on one chip that holds ``network`` once and swaps adapters.

    ``adapters`` gives tasks networks with adapters of their own; every other task has adapters
    of the size that ``network`` has. ``store_bytes`` is the part of the SRAM of each chip that
    holds adapters, all of it unless given. Each chip holds and fetches the adapters of its own
    layers, all chips at the same time; the busiest one decides. Requests that generate tokens need
    a strategy for whole networks, by default that of :func:`hybridsim.generate`.

    A batch holds up to ``most`` requests, one unless given, and runs from start to end. With
    ``mix="continuous"`` requests join and leave between passes (:mod:`.continuous`): up to
    ``most`` are at work, 32 unless given; an iteration takes in up to ``chunk`` prompt tokens;
    ``exact`` says whether every pass is simulated, by the size of the trace unless given; and
    what prompts have in common is computed once, where the requests tell their blocks, unless
    ``reuse`` is off. ``pace`` is how many times as long the runs of batches take as they are
    simulated (:func:`service_interval` asks what follows). ``watch`` is told now and then how
    many requests are done.

    Raises:
        InputError: There are no requests; the network has no adapters; the machine has no memory
            to keep and fetch them; tokens are out of range; continuous batching is asked for an
            encoder, or with ``overlap``.
        CapacityError: A task's adapters do not fit the store, or the network the machine.
        UnknownNameError: Adapters are given for a task that no request asks for.
    """
    columns = Requests.of(requests)
    networks = _networks(network, columns, adapters or {})
    chosen = _strategy(strategy, columns, mix)
    chip = _Chip.of(networks, machine, chosen, policy, store_bytes)
    if mix == "continuous":
        _check_overlap(overlap)
        assert isinstance(chosen, NetworkStrategy)
        most = MOST_SEQUENCES if most is None else most
        decoders = Decoders(networks, machine, chosen, columns, most, chunk, exact)
        done = _continuously(chip, decoders, reuse, watch)
    else:
        most = 1 if most is None else most
        done = _in_batches(chip, requests, most, mix, overlap, pace, watch)
    own = [note for task in adapters or () for note in notes_of(task, networks[task])]
    notes = (*_notes(done.kept, chosen, columns, machine.chip_count, mix), *own)
    way: dict[str, object] = {"mix": mix, "overlap": overlap, "most": most}
    return Service(_result(network, chip, done, notes, targets, way), done.served)


def _result(
    network: Network,
    chip: "_Chip",
    done: "_Done",
    notes: tuple[str, ...],
    targets: Targets | None,
    way: dict[str, object],
) -> ServiceResult:
    """Return what serving came to; ``way`` has the fields that say how requests share batches."""
    kept = done.kept
    return ServiceResult(
        network=network.name,
        machine=chip.machine.name,
        strategy=chip.strategy.kind,
        policy=chip.policy,
        tasks=len(chip.networks),
        tier=kept.tier,
        store_bytes=kept.capacity,
        adapter_bytes=kept.whole,
        swapped_bytes=sum(kept.swapped[task] for task in done.fetched),
        notes=notes,
        **(way | totals(done.served, done.sums) | good(done.served, targets) | done.told),
    )


@dataclass(frozen=True, slots=True)
class _Chip:
    """What serves, whatever shares a batch."""

    networks: Mapping[str, Network]
    machine: Machine
    strategy: Strategy
    policy: Policy
    capacity: int
    """Part of the SRAM of each chip that holds adapters [bytes]."""
    dram: Dram

    @classmethod
    def of(
        cls,
        networks: Mapping[str, Network],
        machine: Machine,
        strategy: Strategy,
        policy: Policy,
        store_bytes: int | None,
    ) -> "_Chip":
        sram, dram = _memories(machine)
        return cls(networks, machine, strategy, policy, store_bytes or sram.size, dram)

    def kept(self, scratchpads: int) -> "_Kept":
        """Return where adapters are kept, beside what the work leaves of scratchpads [bytes]."""
        brings = _brings_the_rest(self.strategy)
        return _Kept.of(self.networks, self.machine, scratchpads, self.capacity, brings)


@dataclass(frozen=True, slots=True)
class _Done:
    """What serving came to, whatever shared a batch."""

    kept: "_Kept"
    served: ServedRequests
    sums: Sums
    fetched: list[str]
    """The task of each swap."""
    told: dict[str, object]
    """Fields of the result that one way alone has."""


def _in_batches(
    chip: _Chip,
    requests: Sequence[Request],
    most: int,
    mix: BatchMix,
    overlap: bool,
    pace: float,
    watch: Callable[[int], None],
) -> _Done:
    times = ServiceTimes(chip.networks, chip.machine, chip.strategy, pace)
    kept = chip.kept(times.scratchpads_left(requests[0].task, max(Requests.of(requests).prompt)))
    served, batches = serve(
        requests,
        kept.store(chip.policy),
        times.batch_ps,
        kept.fetch_ps(chip.machine, chip.dram).__getitem__,
        most=most,
        mix=mix,
        overlap=overlap,
        moments=times.moments,
        watch=watch,
    )
    fetched = [task for tasks in batches.fetched for task in tasks]
    return _Done(kept, served, Sums.of(batches), fetched, {})


def _continuously(
    chip: _Chip, decoders: Decoders, reuse: bool, watch: Callable[[int], None]
) -> _Done:
    cluster, need = chip.machine.cluster, decoders.scratchpad_bytes()
    kept = chip.kept(cluster.total * max(0, cluster.tcdm.size - need) if cluster else 0)
    fetch_ps = kept.fetch_ps(chip.machine, chip.dram)
    done = decoders.serve(kept.store(chip.policy), fetch_ps.__getitem__, reuse, watch)
    return _Done(kept, done.requests, done.sums, done.fetched, decoders.told(done))


def _check_overlap(overlap: bool) -> None:
    if overlap:
        raise InputError(
            "overlap: continuous batching fetches adapters between iterations; leave it out"
        )


def _networks(
    network: Network, requests: Requests, own: Mapping[str, Network]
) -> dict[str, Network]:
    """Return the network of each task, with adapters of its own where it has such.

    Raises:
        InputError: There are no requests.
        UnknownNameError: Adapters are given for a task that no request asks for.
    """
    if not len(requests):
        raise InputError("requests: found none; a trace of one request or more would do")
    names = requests.asked
    for task in own:
        if task not in names:
            raise UnknownNameError("adapters: task of the trace", task, names)
    return {task: own.get(task, network) for task in names}


def _memories(machine: Machine) -> tuple[Sram, Dram]:
    """Return where adapters are kept and where they are fetched from.

    Raises:
        InputError: The machine lacks one of them.
    """
    memory = machine.memory
    if memory is None or memory.sram is None or memory.dram is None:
        raise InputError(
            f"machine {machine.name!r} has no memory.sram to keep adapters in and memory.dram to "
            "fetch them from; ahwa_lora_2026:served or harp_2026 would do"
        )
    return memory.sram, memory.dram


def adapter_bytes(network: Network, machine: Machine) -> int:
    """Return the bytes of a network's adapters in the precision of the machine's clusters.

    What is trained for the task besides A and B is among them: a swap brings it too.

    Raises:
        InputError: The network has no adapters, or the machine no cluster to compute them.
    """
    if not network.adapted_layers or machine.cluster is None:
        what = "network has no adapters" if machine.cluster else "machine has no cluster"
        raise InputError(f"{network.name!r} on {machine.name!r}: the {what}; nothing to serve")
    besides = network.adapters.numbers_besides if network.adapters else 0
    return (network.adapter_parameters + besides) * machine.cluster.element_bytes


@dataclass(frozen=True)
class _Kept:
    """Where the adapters of each task are kept, and what a swap moves [bytes]."""

    tier: Tier
    scratchpads: int
    """What the work leaves of the scratchpads of a chip."""
    capacity: int
    """Part of the SRAM of each chip that holds adapters."""
    whole: dict[str, int]
    """Adapters of all layers."""
    swapped: dict[str, int]
    """What of them a swap brings to all chips."""
    busiest: dict[str, int]
    """What of them a swap brings to the chip that gets most."""

    @classmethod
    def of(
        cls,
        networks: Mapping[str, Network],
        machine: Machine,
        scratchpads: int,
        capacity: int,
        brings_the_rest: bool,
    ) -> "_Kept":
        whole = {task: adapter_bytes(net, machine) for task, net in networks.items()}
        shares: dict[Network, list[int]] = {}
        for network in networks.values():
            if network not in shares:
                shares[network] = _by_chip(network, machine)
        by_chip = {task: shares[network] for task, network in networks.items()}
        tier = tier_of({t: max(each) for t, each in by_chip.items()}, scratchpads, capacity)
        if tier == "dram" and brings_the_rest:
            by_chip = {t: [min(size, capacity) for size in each] for t, each in by_chip.items()}
        return cls(
            tier,
            scratchpads,
            capacity,
            whole,
            {task: sum(each) for task, each in by_chip.items()},
            {task: max(each) for task, each in by_chip.items()},
        )

    def store(self, policy: Policy) -> Store:
        """Return where adapters are kept at first: nowhere, or all of them in scratchpads."""
        if self.tier == "tcdm":
            return Store.filled(self.busiest)
        return Store(self.capacity, self.busiest, policy)

    def fetch_ps(self, machine: Machine, dram: Dram) -> dict[str, int]:
        """Return how long a swap takes to each task [ps]."""
        return {
            task: max(dram.transfer_ps(size), machine.link.transfer_ps(size))
            for task, size in self.busiest.items()
        }


def _by_chip(network: Network, machine: Machine) -> list[int]:
    """Return the bytes of adapters of the layers on each chip.

    What a task has besides A and B is with the layer it belongs to, or on the first chip.
    """
    assert machine.cluster is not None
    numbers = [0] * machine.chip_count
    chips = {}
    for layer in place(network, machine).layers:
        chips[layer.op.name] = layer.chip
        if layer.adapter is not None and layer.op.shared is None:
            numbers[layer.chip] += layer.adapter.parameters
    for tensor in network.adapters.besides if network.adapters else ():
        numbers[chips.get(tensor.layer or "", 0)] += tensor.numbers
    return [count * machine.cluster.element_bytes for count in numbers]


def _strategy(strategy: Strategy | None, requests: Requests, mix: Mix) -> Strategy:
    """Return the strategy to use: one for whole networks where tokens are generated.

    Raises:
        InputError: Tokens are generated, and the strategy is for single layers.
    """
    if not requests.generate and mix != "continuous":
        return strategy or TokenParallel()
    if strategy is None:
        return strategy_for({})
    if not isinstance(strategy, NetworkStrategy):
        what = "continuous batching takes in prompts"
        if requests.generate:
            first = next(request for request in requests if request.output)
            what = f"a request of task {first.task!r} generates {first.output} tokens"
        raise InputError(
            f"{what}; {strategy.kind} "
            "leaves attention out; a strategy for whole networks such as network would do"
        )
    return strategy


def _brings_the_rest(strategy: Strategy) -> bool:
    """Return whether a run itself brings adapters that the SRAM cannot hold."""
    return isinstance(strategy, NetworkStrategy) and strategy.adapters_by_capacity


def _notes(
    kept: _Kept, strategy: Strategy, requests: Requests, chips: int, mix: Mix
) -> tuple[str, ...]:
    held = f"adapters of {len(kept.whole)} tasks take {format_bytes(sum(kept.whole.values()))}"
    each = " of each chip" if chips > 1 else ""
    if kept.tier == "tcdm":
        left = format_bytes(kept.scratchpads)
        room = f"the {left} of scratchpad{each} that the work leaves hold them"
        notes = [f"{held}; {room} from the start; runs bring A and B to their places as before"]
    else:
        notes = [f"{held}; the store{each} holds {format_bytes(kept.capacity)}"]
    if kept.tier == "dram":
        notes.append("one task alone exceeds the store: every run brings the rest from the DRAM")
    if not isinstance(strategy, NetworkStrategy):
        notes.append("times are those of the linear layers and their adapters, without attention")
    if mix == "continuous":
        notes.append(
            "requests join and leave between passes; a pass that decodes takes what it would if "
            "all its sequences had the mean of their contexts"
        )
    elif requests.generate:
        notes.append(
            "requests of a batch with the same task, prompt and output run together, others one "
            "after the other; each has the SRAM for keys and values that its adapters leave"
        )
    return tuple(notes)
