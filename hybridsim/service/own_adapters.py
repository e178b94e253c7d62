"""The own adapters of tasks on a network, and what the answer says of them."""

from collections.abc import Callable, Iterator, Mapping

from hybridsim.errors import SpecError
from hybridsim.service.peft import PeftAdapter
from hybridsim.service.tensors import cut
from hybridsim.units import format_bytes
from hybridsim.workload import HEADS, Besides, Head, Network

MOST_NAMED = 3
"""The most tensors of one kind that a note names; the others it counts."""


def with_adapters(
    adapters: Mapping[str, PeftAdapter], load: Callable[[Head | None], Network]
) -> tuple[Network, dict[str, Network], tuple[str, ...]]:
    """Return a network, that of each task with its own adapters, and what was chosen for them.

    ``load`` returns the network with a head, or with that of its file (None). If an adapter has
    modules of a head that the file does not name, the first head that has them all is taken.

    Raises:
        SpecError: An adapter does not fit the network with any head; of a head that has what the
            network lacks without one, what is missing still.
    """
    network = load(None)
    try:
        return network, *_on(adapters, network)
    except SpecError as error:
        missing = error
    for head in HEADS:
        try:
            with_head = load(head)
        except SpecError:
            continue
        try:
            own, chosen = _on(adapters, with_head)
        except SpecError as error:
            if error.place != missing.place and len(with_head.ops) > len(network.ops):
                missing = error
            continue
        note = f"network {network.name!r} is taken with head {head!r}, which an adapter names"
        return with_head, own, (note, *chosen)
    raise missing


def _on(
    adapters: Mapping[str, PeftAdapter], network: Network
) -> tuple[dict[str, Network], tuple[str, ...]]:
    own = {task: adapter.on(network) for task, adapter in adapters.items()}
    chosen = []
    for task, adapter in adapters.items():
        renamed = adapter.renamed(network)
        for module, layer in list(renamed.items())[:1]:
            rest = f", and {len(renamed) - 1} more likewise" if len(renamed) > 1 else ""
            chosen.append(f"{task}: {cut(module)} is taken as layer {layer}{rest}")
        if adapter.unknown:
            names = ", ".join(adapter.unknown[:MOST_NAMED])
            left = len(adapter.unknown) - MOST_NAMED
            more = f" and {left} more" if left > 0 else ""
            chosen.append(f"{task}: settings that are not known here, left aside: {names}{more}")
    return own, tuple(chosen)


def notes_of(task: str, network: Network) -> Iterator[str]:
    """Yield one line on A and B of a task, and one for each kind of tensor that it has besides."""
    if network.adapters is None:
        return
    layers = network.adapted_layers
    ranks = sorted({a.rank for op in layers if (a := network.adapter(op)) is not None})
    rank = f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {ranks[0]} to {ranks[-1]}"
    besides = network.adapters.besides
    more = f"; besides them {network.adapters.numbers_besides:,}" if besides else ""
    yield (
        f"{task}: A and B on {len(layers)} layers have {network.adapter_parameters:,} "
        f"parameters, {rank}{more}"
    )
    kinds: dict[str, list[Besides]] = {}
    for tensor in besides:
        kinds.setdefault(tensor.what, []).append(tensor)
    for what, tensors in kinds.items():
        yield f"{task}: {_of_kind(what, tensors)}"


def _of_kind(what: str, tensors: list[Besides]) -> str:
    numbers = sum(tensor.numbers for tensor in tensors)
    stored = format_bytes(sum(tensor.stored_bytes for tensor in tensors))
    named = ", ".join(tensor.tensor for tensor in tensors[:MOST_NAMED])
    left = len(tensors) - MOST_NAMED
    more = f" and {left} more" if left > 0 else ""
    return f"{numbers:,} numbers ({stored} as stored) are {what}; swaps bring them: {named}{more}"
