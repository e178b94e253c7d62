"""The whole network beside a study of its layers: all ops, under the strategy that is fastest."""

from dataclasses import replace

from hybridsim.arch import Machine
from hybridsim.engines import engine, makespan_ps
from hybridsim.errors import CapacityError, InputError
from hybridsim.measure.coverage import WholeNetworkResult, coverage_of
from hybridsim.measure.measure import overhead_percent
from hybridsim.measure.result import Result
from hybridsim.simulation import Run, execute, job_of
from hybridsim.strategies import (
    NETWORK_STRATEGIES,
    Job,
    NetworkDecisions,
    NetworkStrategy,
    Schedule,
    make_strategy,
)
from hybridsim.work import price
from hybridsim.workload import Network


def whole_network(
    network: Network, machine: Machine, tokens: int | None = None, past: int = 0
) -> WholeNetworkResult:
    """Return what all ops take under the fastest of the strategies for whole networks.

    Each is run with its own defaults; of equally fast ones the first is taken. Plans of equal
    decisions are laid out once.

    Raises:
        InputError: ``tokens`` or ``past`` make no sense for the network.
    """
    runs = _Runs()
    found: dict[str, int] = {}
    problem: InputError | None = None
    for name in NETWORK_STRATEGIES:
        strategy = _named(name)
        job = job_of(network, machine, strategy, tokens, past)
        try:
            found[name] = runs.of(strategy, job)[1]
        except InputError as error:
            problem = problem or error
    if not found:
        return WholeNetworkResult(problem=problem.in_few_words if problem else "")
    best = min(found, key=lambda name: found[name])
    strategy = _named(best)
    job = job_of(network, machine, strategy, tokens, past)
    covers = coverage_of(job, runs.of(strategy, job)[0])
    least = runs.of(strategy, job.without_adapters())[1]
    return WholeNetworkResult(
        strategy=best,
        latency_ps=found[best],
        yardstick_ps=least,
        overhead_percent=overhead_percent(found[best], least),
        covers=covers,
        tried=found,
    )


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
        why = f"layers cannot be studied one by one: {error.in_few_words}"
    strategy = _named(best.strategy)
    done = execute(network, machine, strategy, tokens, engine, check_numerics, past)
    notes = (why, *done.result.notes)
    return replace(done, result=done.result.model_copy(update={"notes": notes}))


def _named(name: str) -> NetworkStrategy:
    strategy = make_strategy(name)
    assert isinstance(strategy, NetworkStrategy)
    return strategy


class _Runs:
    """Runs of one network on one machine; strategies that decide alike share a plan."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, bool], tuple[Schedule, int]] = {}
        self._known: dict[tuple[bool, NetworkDecisions], tuple[Schedule, int]] = {}

    def of(self, strategy: NetworkStrategy, job: Job) -> tuple[Schedule, int]:
        """Return what a strategy decides, and how long that takes [ps].

        Raises:
            InputError: Nothing fits, or the machine lacks a unit.
        """
        adapted = bool(job.mapping.network.adapted_layers)
        if (strategy.kind, adapted) not in self._asked:
            self._asked[strategy.kind, adapted] = self._run(strategy.decide(job), job, adapted)
        return self._asked[strategy.kind, adapted]

    def _run(self, decisions: NetworkDecisions, job: Job, adapted: bool) -> tuple[Schedule, int]:
        if (adapted, decisions) not in self._known:
            own = decisions.lay_out(job)
            time_ps = price(own.plan.works, job.machine).time_ps
            latency = makespan_ps(own.plan, time_ps, own.dispatch, engine("compiled"))
            self._known[adapted, decisions] = own, latency
        return self._known[adapted, decisions]
