"""The whole network beside a study of its layers: all ops, under the strategy that is fastest."""

from dataclasses import replace
from itertools import product
from typing import Any

from hybridsim.arch import Machine
from hybridsim.errors import CapacityError, InputError
from hybridsim.measure.coverage import WholeNetworkResult, coverage_of
from hybridsim.measure.measure import overhead_percent
from hybridsim.measure.result import Result
from hybridsim.simulation import Run, execute, job_of
from hybridsim.strategies import (
    NETWORK_STRATEGIES,
    NetworkDecisions,
    NetworkStrategy,
    make_strategy,
)
from hybridsim.strategies.networks.least import Bounds, least
from hybridsim.strategies.networks.running import Running
from hybridsim.strategies.networks.strategy import Choice, KnownBounds
from hybridsim.work import price
from hybridsim.workload import Network


def whole_network(
    network: Network, machine: Machine, tokens: int | None = None, past: int = 0
) -> WholeNetworkResult:
    """Return what all ops take under the fastest of the strategies for whole networks.

    Each has its own defaults; of equally fast ones the first is taken. All their candidates are
    tried as if they were those of one, so that bounds exclude most of them.

    Raises:
        InputError: ``tokens`` or ``past`` make no sense for the network.
    """
    strategies = {name: _named(name) for name in NETWORK_STRATEGIES}
    job = job_of(network, machine, strategies["network"], tokens, past)
    choices, bounds, known = list[tuple[str, Choice]](), list[Bounds](), KnownBounds()
    for name, strategy in strategies.items():
        own = strategy.candidates(job)
        choices += [(name, choice) for choice in own]
        bounds.append(strategy.bounds(job, own, known))

    running = Running(job)

    def run(one: tuple[str, Choice]) -> tuple[int, tuple[str, NetworkDecisions]]:
        time, decisions = running.run(strategies[one[0]].deciding(job, one[1]))
        return time, (one[0], decisions)

    try:
        found = least(choices, Bounds.joined(bounds), run)
    except InputError as error:
        return WholeNetworkResult(problem=error.in_few_words)
    assert found is not None
    best, decisions = found.what
    yardstick = found.time_ps
    if network.adapted_layers:
        other = strategies[best].fastest(job.without_adapters())
        assert other is not None
        yardstick = other.time_ps
    return WholeNetworkResult(
        strategy=best,
        latency_ps=found.time_ps,
        yardstick_ps=yardstick,
        overhead_percent=overhead_percent(found.time_ps, yardstick),
        covers=coverage_of(job, decisions.lay_out(job)),
        tried={best: found.time_ps},
        slower=tuple(name for name in strategies if name != best),
        batch=decisions.batch or job.rows,
    )


def why_not_whole(network: Network, machine: Machine, tokens: int | None = None) -> str:
    """Return why no strategy runs all ops; an empty text where one does.

    Batches are as large as may be: what fits is found with the fewest tasks. Nothing is executed.

    Raises:
        InputError: ``tokens`` make no sense for the network.
    """
    why = ""
    for name, batch in product(NETWORK_STRATEGIES, ("all", 8, 1)):
        strategy = _named(name, batch=batch)
        job = job_of(network, machine, strategy, tokens)
        for choice in strategy.candidates(job):
            try:
                price(strategy.decide_for(job, choice).plan(job).works, machine)
            except InputError as error:
                why = why or error.in_few_words
            else:
                return ""
    return why


def with_whole_network(result: Result, network: Network, machine: Machine) -> Result:
    """Return a result of layers beside the whole network; one that leaves nothing out as it is."""
    if result.covers is None or result.covers.whole:
        return result
    found = whole_network(network, machine, result.tokens, result.past)
    return result.model_copy(update={"whole_network": found})


def run_by_default(
    network: Network,
    machine: Machine,
    tokens: int | None = None,
    engine: str = "compiled",
    check_numerics: bool = False,
    past: int = 0,
) -> Run:
    """Return the study of a network's layers; where not a token fits, the whole network's run.

    The second says so in a note: its strategy is the fastest of those for whole networks.

    Raises:
        InputError: Neither can run.
    """
    try:
        return execute(network, machine, None, tokens, engine, check_numerics, past)
    except CapacityError as error:
        best = whole_network(network, machine, tokens, past)
        if best.problem:
            raise
        why = f"the whole network, as layers cannot be studied one by one: {error.in_few_words}"
    strategy = _named(best.strategy)
    done = execute(network, machine, strategy, tokens, engine, check_numerics, past)
    notes = (why, *done.result.notes)
    return replace(done, result=done.result.model_copy(update={"notes": notes}))


def _named(name: str, **options: Any) -> NetworkStrategy:
    strategy = make_strategy(name, options)
    assert isinstance(strategy, NetworkStrategy)
    return strategy
