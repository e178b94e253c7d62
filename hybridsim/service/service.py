"""A trace of requests on one chip: the store, the times and the loop put together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from hybridsim.arch import Machine
from hybridsim.errors import InputError, UnknownNameError
from hybridsim.schedulers import NetworkStrategy, Scheduler, TokenParallel
from hybridsim.service.latency import ServiceTimes
from hybridsim.service.requests import Request
from hybridsim.service.residency import Policy, Store
from hybridsim.service.result import ServiceResult, requests_frame, totals
from hybridsim.service.serving import Mix, serve
from hybridsim.units import format_bytes
from hybridsim.workload import Network


@dataclass(frozen=True)
class Service:
    """What serving a trace came to, and every request of it."""

    result: ServiceResult
    requests: pd.DataFrame
    """One row per request; see :func:`hybridsim.service.result.requests_frame`."""


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
    scheduler: Scheduler | None = None,
    store_bytes: int | None = None,
) -> Service:
    """Serve ``requests`` on one chip that holds ``network`` once and swaps adapters.

    ``adapters`` gives tasks networks with adapters of their own; every other task has adapters
    of the size that ``network`` has. ``store_bytes`` is the part of the machine's SRAM that holds
    adapters, all of it unless given.

    Raises:
        InputError: There are no requests; the network has no adapters; the machine has no memory
            to keep and fetch them; tokens are out of range.
        CapacityError: A task's adapters do not fit the store, or the network the machine.
        UnknownNameError: Adapters are given for a task that no request asks for.
    """
    if not requests:
        raise InputError("requests: found none; a trace of one request or more would do")
    if machine.memory is None or machine.memory.sram is None or machine.memory.dram is None:
        raise InputError(
            f"machine {machine.name!r} has no memory.sram to keep adapters in and memory.dram to "
            "fetch them from; ahwa_lora_2026:served or harp_2026 would do"
        )
    names = tuple(dict.fromkeys(request.task for request in requests))
    own = adapters or {}
    for task in own:
        if task not in names:
            raise UnknownNameError("adapters: task of the trace", task, names)
    networks = {task: own.get(task, network) for task in names}
    sizes = {task: adapter_bytes(net, machine) for task, net in networks.items()}
    store = Store(store_bytes or machine.memory.sram.size, sizes, policy)
    dram, link = machine.memory.dram, machine.link
    fetch = {
        task: max(dram.transfer_ps(size), link.transfer_ps(size)) for task, size in sizes.items()
    }
    chosen = scheduler or TokenParallel()
    times = ServiceTimes(networks, machine, chosen)
    served, batches = serve(
        requests, store, times.batch_ps, fetch.__getitem__, most=most, mix=mix, overlap=overlap
    )
    moved = sum(sizes[task] for batch in batches for task in batch.fetched)
    result = ServiceResult(
        network=network.name,
        machine=machine.name,
        scheduler=chosen.kind,
        policy=policy,
        mix=mix,
        overlap=overlap,
        most=most,
        tasks=len(names),
        store_bytes=store_bytes or machine.memory.sram.size,
        adapter_bytes=sizes,
        swapped_bytes=moved,
        notes=_notes(sizes, store_bytes or machine.memory.sram.size, chosen),
        **totals(served, batches),
    )
    return Service(result, requests_frame(served))


def adapter_bytes(network: Network, machine: Machine) -> int:
    """Return the bytes of a network's adapters in the precision of the machine's clusters.

    Raises:
        InputError: The network has no adapters, or the machine no cluster to compute them.
    """
    if not network.adapted_layers or machine.cluster is None:
        what = "network has no adapters" if machine.cluster else "machine has no cluster"
        raise InputError(f"{network.name!r} on {machine.name!r}: the {what}; nothing to serve")
    return network.adapter_parameters * machine.cluster.element_bytes


def _notes(sizes: Mapping[str, int], store: int, scheduler: Scheduler) -> tuple[str, ...]:
    held = f"adapters of {len(sizes)} tasks take {format_bytes(sum(sizes.values()))}"
    notes = [f"{held}; the store holds {format_bytes(store)}"]
    if not isinstance(scheduler, NetworkStrategy):
        notes.append("times are those of the linear layers and their adapters, without attention")
    return tuple(notes)
