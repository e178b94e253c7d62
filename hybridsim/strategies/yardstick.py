"""What overhead is measured against: the same network without adapters, under the same freedom.

A strategy that streams layers is measured against all-analog layers that stream as well, one that
runs layer after layer against all-analog layers in turn, and one for whole networks against itself
on the network without adapters. The paper's own definition, all-analog layer after layer whatever
the strategy may do, goes by the name ``layer_by_layer``.
"""

from hybridsim.strategies.job import Job, Strategy
from hybridsim.strategies.layers import AllAnalog, LayerStrategy
from hybridsim.strategies.networks import NetworkStrategy


def yardstick(strategy: Strategy, job: Job) -> tuple[Strategy, Job] | None:
    """Return the strategy and the job that overhead is measured against.

    None where that is the run itself: a whole network that has no adapters.
    """
    if isinstance(strategy, NetworkStrategy):
        return (strategy, job.without_adapters()) if job.mapping.network.adapted_layers else None
    return analog_yardstick(strategy), job


def analog_yardstick(strategy: Strategy) -> AllAnalog:
    """Return how the layers run without adapters, as free as a strategy for layers is.

    A strategy of a user's own that says nothing runs layer after layer.
    """
    return strategy.without_adapters() if isinstance(strategy, LayerStrategy) else AllAnalog()


LAYER_BY_LAYER = AllAnalog()
"""The paper's yardstick for layers. Source: Li et al. 2026, Fig. 4 (overhead per layer relative to
a fully analog implementation)."""
