"""A trace of requests on one chip: the store, the times and the loop put together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from hybridsim._old_names import old_keywords
from hybridsim.arch import Machine
from hybridsim.components.memory import Dram, Sram
from hybridsim.errors import InputError, UnknownNameError
from hybridsim.generation import strategy_for
from hybridsim.mapping import place
from hybridsim.service.latency import ServiceTimes
from hybridsim.service.requests import Request
from hybridsim.service.residency import Policy, Store, Tier, tier_of
from hybridsim.service.result import ServiceResult, requests_frame, totals
from hybridsim.service.serving import Mix, serve
from hybridsim.strategies import NetworkStrategy, Strategy, TokenParallel
from hybridsim.units import format_bytes
from hybridsim.workload import Network


@dataclass(frozen=True)
class Service:
    """What serving a trace came to, and every request of it."""

    result: ServiceResult
    requests: pd.DataFrame
    """One row per request; see :func:`hybridsim.service.result.requests_frame`."""


@old_keywords(scheduler="strategy")
def run_service(
    network: Network,
    machine: Machine,
    requests: Sequence[Request],
    *,
    adapters: Mapping[str, Network] | None = None,
    policy: Policy = "lru",
    mix: Mix = "grouped",
    most: int = 1,
    overlap: bool = False,
    strategy: Strategy | None = None,
    store_bytes: int | None = None,
) -> Service:
    """Serve ``requests`` on one chip that holds ``network`` once and swaps adapters.

    ``adapters`` gives tasks networks with adapters of their own; every other task has adapters
    of the size that ``network`` has. ``store_bytes`` is the part of the SRAM of each chip that
    holds adapters, all of it unless given. Each chip holds and fetches the adapters of its own
    layers, all chips at the same time; the busiest one decides. Requests that generate tokens need
    a strategy for whole networks, by default that of :func:`hybridsim.generate`.

    Raises:
        InputError: There are no requests; the network has no adapters; the machine has no memory
            to keep and fetch them; tokens are out of range.
        CapacityError: A task's adapters do not fit the store, or the network the machine.
        UnknownNameError: Adapters are given for a task that no request asks for.
    """
    sram, dram = _memories(machine)
    networks = _networks(network, requests, adapters or {})
    chosen = _strategy(strategy, requests)
    times = ServiceTimes(networks, machine, chosen)
    left = times.scratchpads_left(requests[0].task, max(each.prompt for each in requests))
    kept = _Kept.of(networks, machine, left, store_bytes or sram.size, _brings_the_rest(chosen))
    served, batches = serve(
        requests,
        kept.store(policy),
        times.batch_ps,
        kept.fetch_ps(machine, dram).__getitem__,
        most=most,
        mix=mix,
        overlap=overlap,
        moments=times.moments,
    )
    result = ServiceResult(
        network=network.name,
        machine=machine.name,
        strategy=chosen.kind,
        policy=policy,
        mix=mix,
        overlap=overlap,
        most=most,
        tasks=len(networks),
        tier=kept.tier,
        store_bytes=kept.capacity,
        adapter_bytes=kept.whole,
        swapped_bytes=sum(kept.swapped[task] for batch in batches for task in batch.fetched),
        notes=_notes(kept, chosen, requests, machine.chip_count),
        **totals(served, batches),
    )
    return Service(result, requests_frame(served))


def _networks(
    network: Network, requests: Sequence[Request], own: Mapping[str, Network]
) -> dict[str, Network]:
    """Return the network of each task, with adapters of its own where it has such.

    Raises:
        InputError: There are no requests.
        UnknownNameError: Adapters are given for a task that no request asks for.
    """
    if not requests:
        raise InputError("requests: found none; a trace of one request or more would do")
    names = tuple(dict.fromkeys(request.task for request in requests))
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

    Raises:
        InputError: The network has no adapters, or the machine no cluster to compute them.
    """
    if not network.adapted_layers or machine.cluster is None:
        what = "network has no adapters" if machine.cluster else "machine has no cluster"
        raise InputError(f"{network.name!r} on {machine.name!r}: the {what}; nothing to serve")
    return network.adapter_parameters * machine.cluster.element_bytes


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
    """Return the bytes of adapters of the layers on each chip."""
    assert machine.cluster is not None
    found = [0] * machine.chip_count
    for layer in place(network, machine).layers:
        if layer.adapter is not None:
            found[layer.chip] += layer.adapter.parameters * machine.cluster.element_bytes
    return found


def _strategy(strategy: Strategy | None, requests: Sequence[Request]) -> Strategy:
    """Return the strategy to use: one for whole networks where tokens are generated.

    Raises:
        InputError: Tokens are generated, and the strategy is for single layers.
    """
    if not any(request.output for request in requests):
        return strategy or TokenParallel()
    if strategy is None:
        return strategy_for({})
    if not isinstance(strategy, NetworkStrategy):
        first = next(request for request in requests if request.output)
        raise InputError(
            f"a request of task {first.task!r} generates {first.output} tokens; {strategy.kind} "
            "leaves attention out; a strategy for whole networks such as network would do"
        )
    return strategy


def _brings_the_rest(strategy: Strategy) -> bool:
    """Return whether a run itself brings adapters that the SRAM cannot hold."""
    return isinstance(strategy, NetworkStrategy) and strategy.adapters_by_capacity


def _notes(
    kept: _Kept, strategy: Strategy, requests: Sequence[Request], chips: int
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
    if any(request.output for request in requests):
        notes.append(
            "requests of a batch with the same task, prompt and output run together, others one "
            "after the other; each has the SRAM for keys and values that its adapters leave"
        )
    return tuple(notes)
