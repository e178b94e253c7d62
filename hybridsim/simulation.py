"""The whole program in one function: place, schedule, execute, measure."""

from collections.abc import Mapping
from typing import Any

from hybridsim._old_names import old_keywords
from hybridsim.arch import Machine, load_machine
from hybridsim.engines import Engine
from hybridsim.engines import engine as engine_by_name
from hybridsim.errors import InputError, UnsupportedError
from hybridsim.library import network_path
from hybridsim.mapping import place
from hybridsim.measure.elasticity import elasticities
from hybridsim.measure.measure import measure
from hybridsim.measure.result import Result
from hybridsim.plan import Timeline
from hybridsim.records import record
from hybridsim.strategies import (
    LAYER_BY_LAYER,
    CarriedOut,
    Job,
    NetworkStrategy,
    Schedule,
    Strategy,
    TokenParallel,
    carry_out,
    named,
    yardstick,
)
from hybridsim.work import Prices
from hybridsim.workload import Network, load_network

MOST_TOKENS = 2**20
"""The longest sequence that is simulated."""


@old_keywords(scheduler="strategy")
def simulate(
    network: Network,
    machine: Machine,
    strategy: Strategy | None = None,
    tokens: int | None = None,
    engine: str = "compiled",
    check_numerics: bool = False,
    past: int = 0,
) -> Result:
    """Predict how long ``network`` takes on ``machine``, beside the network without adapters.

    Strategies for single layers are measured against all-analog layers, which stream where the
    strategy may; those for whole networks against themselves on the network without adapters.

    ``strategy`` is token-parallel unless given; ``tokens`` is the length of one
    sequence, and the network's own unless given. ``check_numerics`` also runs the adapter
    kernels on random weights of every layer's shape. ``past`` tokens came before these and left
    their keys and values: with ``tokens=1`` a decoder generates one token. It takes a strategy for
    whole networks.

    Raises:
        CapacityError: The network does not fit the tiles, or a batch does not fit the TCDM.
        UnsupportedError: The strategy asks for a unit that the machine lacks.
        UnknownNameError: No engine has that name.
        InputError: ``tokens`` is below 1, ``past`` below 0, or nothing reads what it left.
    """
    return execute(network, machine, strategy, tokens, engine, check_numerics, past).result


@record(frozen=True, slots=True)
class Run:
    """A simulated network with all that led to its result."""

    job: Job
    schedule: Schedule
    prices: Prices
    """What the works of the plan take on the machine."""
    timeline: Timeline
    result: Result
    against: CarriedOut | None = None
    """The yardstick as it was carried out; None where that is the run itself."""


@old_keywords(scheduler="strategy")
def execute(
    network: Network,
    machine: Machine,
    strategy: Strategy | None = None,
    tokens: int | None = None,
    engine: str = "compiled",
    check_numerics: bool = False,
    past: int = 0,
) -> Run:
    """Do what :func:`simulate` does, and return the plan and its timeline as well.

    Raises:
        InputError: As :func:`simulate`.
    """
    strategy = strategy or TokenParallel()
    job, run = job_of(network, machine, strategy, tokens, past), engine_by_name(engine)
    decided = strategy.schedule(job)
    done = carry_out(decided, machine, run)
    schedule, timeline = done.schedule, done.timeline
    against, known = done, None
    if (other := yardstick(strategy, job)) is not None:
        against = carry_out(other[0].schedule(other[1]), machine, run)
        known = other[0], against.makespan
    result = measure(
        job,
        schedule,
        timeline,
        (against.schedule, against.timeline),
        labels={"strategy": strategy.kind, "engine": engine},
        inputs=_inputs(network, machine, strategy, job.tokens) | ({"past": past} if past else {}),
        # all engines find the same times
        worth=elasticities(decided, machine, engine_by_name("compiled")),
        layer_by_layer_ps=_layer_by_layer_ps(strategy, job, run, known),
    )
    if check_numerics and machine.cluster is not None:
        # only here, as Numba takes a quarter of a second to import
        from hybridsim.measure.numerics import numerics_of

        numerics = numerics_of(schedule, machine.cluster)
        result = result.model_copy(update={"numerics": numerics})
    measured_by = None if against is done else against
    return Run(job, schedule, done.prices, timeline, result, measured_by)


def job_of(
    network: Network,
    machine: Machine,
    strategy: Strategy,
    tokens: int | None = None,
    past: int = 0,
) -> Job:
    """Return what a strategy is given to plan.

    Raises:
        InputError: As :func:`simulate`.
    """
    tokens = network.sequence_length if tokens is None else tokens
    if tokens is None or not 1 <= tokens <= MOST_TOKENS:
        found = "nothing" if tokens is None else tokens
        hint = " (--tokens N)" if tokens is None else ""
        raise InputError(
            f"tokens: found {found}; give 1 to {MOST_TOKENS} tokens per sequence{hint}"
        )
    if past:
        _check_past(past, network, strategy)
    if network.expert_weights and not isinstance(strategy, NetworkStrategy):
        raise UnsupportedError(
            f"{strategy.kind} takes one layer after the other, and {network.name} has experts, "
            "which work at the same time; choose a strategy for whole networks such as network"
        )
    compiled = engine_by_name("compiled")  # for strategies that try what they decide
    return Job(place(network, machine), tokens, compiled, past)


def _check_past(past: int, network: Network, strategy: Strategy) -> None:
    """Refuse kept keys and values where nothing reads them.

    Raises:
        InputError: ``past`` is no number of tokens, no attention of the network is causal, or the
            strategy covers linear layers alone.
    """
    if not 0 < past <= MOST_TOKENS:
        raise InputError(f"past: found {past}; give 0 to {MOST_TOKENS} tokens")
    if not network.remembers:
        raise InputError(
            f"past: found {past}, but no attention of {network.name} is causal, so none goes on "
            "from kept keys and values; leave it out, or take a decoder such as gpt2"
        )
    if not isinstance(strategy, NetworkStrategy):
        raise InputError(
            f"past: found {past}, but {strategy.kind} leaves attention out; choose a strategy "
            "for whole networks such as xb_pipe, or leave past out"
        )


def _layer_by_layer_ps(
    strategy: Strategy, job: Job, run: Engine, against: tuple[Strategy, int] | None
) -> int | None:
    """Return how long all-analog layers take in turn [ps]; None for whole networks.

    ``against`` is the yardstick and its latency [ps], which is mostly that.
    """
    if isinstance(strategy, NetworkStrategy):
        return None
    if against is not None and against[0] == LAYER_BY_LAYER:
        return against[1]
    return carry_out(LAYER_BY_LAYER.schedule(job), job.machine, run).makespan


def load(
    network: str, machine: str, overrides: Mapping[str, Any] | None = None
) -> tuple[Network, Machine]:
    """Return a network and a machine by name or file.

    ``overrides`` replaces fields of the machine by dotted path.
    """
    return load_network(network_path(network)), load_machine(machine, overrides)


def _inputs(network: Network, machine: Machine, strategy: Strategy, tokens: int) -> dict[str, Any]:
    return {
        "network": network.to_text(),
        "machine": machine.to_text(),
        "strategy": named(strategy),
        "tokens": tokens,
    }
