"""What study would tell an accuracy that nothing is known of, and how long it would take."""

from collections.abc import Sequence

from hybridsim.analog.times import format_time
from hybridsim.designs.limits import Limit
from hybridsim.workload import Network

MEASURED_MACS = 10_616_832 * 48
"""Multiply-accumulates of a sentence of 48 tokens in the static layers of MiniLM-L6."""
STEP_SECONDS = 0.54
"""CPU time of a step of 32 such sentences. Source: reports/adapt_ranks, training.csv."""
STEPS, SEEDS, ARMS = 100, 3, 2
"""Steps of a run, training seeds and ranks that a first study has. Source: reports/adapt_ranks."""
SENSITIVITY_SECONDS = 160.0
"""CPU time for the layers of MiniLM-L6: ranges, each alone on four chips, anchors; measured."""
MEASURED_LAYERS = 36


def study_needed(network: Network, tokens: int, limits: Sequence[Limit]) -> str:
    """Return the studies that would tell whether limits of accuracy are met, with their hours.

    The hours are those measured on MiniLM-L6, in proportion to multiply-accumulates, and for
    single layers to their number as well; one core, no GPU.
    """
    macs = sum(layer.in_features * layer.out_features for layer in network.static_linear_layers)
    size = macs * tokens / MEASURED_MACS
    adapt = STEP_SECONDS * STEPS * SEEDS * ARMS * size / 3600
    layers = len(network.static_linear_layers) / MEASURED_LAYERS
    single = SENSITIVITY_SECONDS * size * layers / 3600
    after = format_time(limits[0].after or 0)
    return (
        f"`hybridsim adapt STUDY` with {ARMS} ranks, {SEEDS} seeds and {STEPS} steps, tested at "
        f"{after}: about {_hours(adapt)} of one core (from steps measured on MiniLM-L6); with "
        f"trained adapters, `hybridsim sensitivity` of single layers: about {_hours(single)}"
    )


def _hours(hours: float) -> str:
    if hours < 1:
        return f"{max(1, round(60 * hours))} min"
    return f"{hours:,.0f} h" if hours >= 10 else f"{hours:.2g} h"
