"""What a sweep asks of a run, whichever way it was computed."""

from dataclasses import dataclass

from hybridsim.strategies import LayerDecision


@dataclass(frozen=True, slots=True)
class Executed:
    """The answer of one run: integers, and what was decided for each layer."""

    latency_ps: int
    tasks: int
    layers: tuple[LayerDecision, ...]
    """What was decided for each layer, in the order of the network."""
    tcdm_bytes: int
    """The most scratchpad that anything takes on a cluster [bytes]."""


def most_tcdm(layers: tuple[LayerDecision, ...]) -> int:
    """Return the most scratchpad that the adapter of a layer takes [bytes]."""
    return max((layer.tcdm_bytes for layer in layers), default=0)
