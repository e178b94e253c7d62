"""The laws that every part and every strategy from outside must keep, as one call under pytest.

::

    from hybridsim.testing import check_part, check_strategy

    def test_my_unit_is_a_part() -> None:
        check_part(SoftmaxUnit(lanes=32))

    def test_my_strategy_is_one() -> None:
        check_strategy(BySize())

A law that is broken is an ``AssertionError`` that says which, and on what.
"""

import pickle
from collections.abc import Hashable, Iterator
from itertools import product
from typing import Any

import numpy as np

from hybridsim.arch import Machine, load_machine
from hybridsim.components.parts import GemmUnit, OutsidePart, RowUnit
from hybridsim.engines import ENGINES
from hybridsim.engines import engine as engine_by_name
from hybridsim.errors import CapacityError
from hybridsim.library import network_path
from hybridsim.mapping import place
from hybridsim.simulation import execute, job_of
from hybridsim.strategies import Job, Schedule, Strategy, carry_out
from hybridsim.units import Spec
from hybridsim.workload import Network, load_network

SIZES = (1, 2, 7, 8, 9, 16, 64, 128, 384, 512)
"""Rows, reductions and columns of the products that a part is asked for."""
ROWS = tuple(product((1, 3, 8, 64), (1, 5, 32, 128, 500)))
"""Rows and elements of the kernels of rows that a part is asked for."""
NETWORK, MACHINE = "minilm_l6", "ahwa_lora_2026"
"""What strategies and parts are run on, unless others are given."""
TOKENS = (1, 13)


# --- parts --------------------------------------------------------------------------------------


def check_part(part: OutsidePart, machine: Machine | None = None) -> None:
    """Assert that a part keeps the laws of parts.

    It says its source; it reads back from its text, and from its pickle with the same prices; what
    it answers is a number of cycles and always the same; a unit that multiplies is never faster
    than its peak, and what many products cost at once is what each costs; and a network runs with
    it in a cluster of ``machine`` on all engines alike.

    Raises:
        AssertionError: It breaks a law.
        SpecError: It answers with no number of cycles.
    """
    name = type(part).__name__
    assert isinstance(part, GemmUnit | RowUnit), f"{name} extends neither GemmUnit nor RowUnit"
    _says_its_source(type(part))
    _reads_back(part)
    assert _answers(part) == _answers(part), f"{name} answers the same question in two ways"
    copied = pickle.loads(pickle.dumps(part))
    assert copied == part, f"{name} is another one after pickle"
    assert _answers(copied) == _answers(part), f"{name} prices otherwise after pickle"
    if isinstance(part, GemmUnit):
        _never_beyond_its_peak(part)
        _columns_are_single_products(part)
    _runs_in_a_cluster(part, machine or load_machine(MACHINE))


def _says_its_source(kind: type[Spec]) -> None:
    """Every physical number has a source or is called assumed."""
    told = " ".join(
        [kind.__doc__ or "", *(f.description or "" for f in kind.model_fields.values())]
    )
    assert "source" in told.lower() or "assumed" in told.lower(), (
        f"{kind.__name__} says no source of its numbers; write it, or the word assumed, in its "
        "docstring"
    )


def _reads_back(spec: Spec) -> None:
    text = spec.to_text()
    for key in ("part", "code"):
        text.pop(key, None)
    assert type(spec).model_validate(text) == spec, f"{type(spec).__name__} does not read back"
    assert isinstance(spec, Hashable), f"{type(spec).__name__} cannot be hashed"
    assert hash(spec) == hash(type(spec).model_validate(text))


def _answers(part: GemmUnit | RowUnit) -> list[int]:
    """Return what a part answers to many questions, each checked, none remembered."""
    if isinstance(part, GemmUnit):
        asked = product(SIZES, SIZES, SIZES)
        return [part._priced(f"a product of {s}", part.product_cycles, *s) for s in asked]
    kernels = product(part.takes, ROWS)
    return [part._priced(f"{k} of {s}", part.kernel_cycles, k, *s) for k, s in kernels]


def _never_beyond_its_peak(part: GemmUnit) -> None:
    peak = part.macs_per_cycle
    assert isinstance(peak, int), f"{part.part}: macs_per_cycle is no whole number"
    assert peak > 0, f"{part.part}: macs_per_cycle is {peak}"
    for m, n, k in product(SIZES, SIZES, SIZES):
        cycles = part.product_cycles(m, n, k)
        assert cycles * peak >= m * n * k, (
            f"{part.part} does {m} x {n} x {k} in {cycles} cycles, beyond its peak of {peak} MACs"
        )
    for rows in SIZES:
        assert part.buffer_rows(rows) >= rows, f"{part.part}: {rows} rows do not fit their buffer"


def _columns_are_single_products(part: GemmUnit) -> None:
    sizes = np.array(list(product(SIZES[:4], SIZES[:4], SIZES[:4])), np.int64).T
    each = [part.gemm_cycles(*size) for size in sizes.T.tolist()]
    assert part.gemm_cycles(*sizes).tolist() == each, f"{part.part}: columns differ from single"


def _runs_in_a_cluster(part: GemmUnit | RowUnit, machine: Machine) -> None:
    assert machine.cluster is not None, f"{machine.name} has no cluster to put the part in"
    field = "matrix_engine" if isinstance(part, GemmUnit) else "row_unit"
    cluster = machine.cluster.model_copy(update={field: part})
    mine = machine.model_copy(update={"cluster": cluster})
    network = load_network(network_path(NETWORK))
    found = {name: execute(network, mine, _whole(), 16, name).timeline for name in ENGINES}
    ends = [timeline.end for timeline in found.values()]
    for end in ends[1:]:
        np.testing.assert_array_equal(end, ends[0], f"engines differ with {part.part}")


def _whole() -> Strategy:
    from hybridsim.strategies import Serial  # the plainest that computes every op

    return Serial()


# --- strategies ---------------------------------------------------------------------------------


def check_strategy(
    strategy: Strategy, network: Network | None = None, machine: Machine | None = None
) -> None:
    """Assert that a strategy keeps the laws of strategies, on a network and a machine.

    It reads back from its text; what it decides is hashable data, the same whenever it is asked,
    and lays out as the same plan; each layer sends every token through its tiles once, and each
    adapted one is told of; all engines carry the plan out alike, to the picosecond; no part works
    longer than the run; and networks without adapters, or with one token, run too.

    Raises:
        AssertionError: It breaks a law.
    """
    net = network or load_network(network_path(NETWORK))
    on = machine or load_machine(MACHINE)
    assert isinstance(strategy, Spec), f"{type(strategy).__name__} does not extend a strategy"
    _reads_back(strategy)
    assert strategy.kind, f"{type(strategy).__name__} has no kind"
    for tokens in TOKENS:
        _keeps_the_laws(strategy, job_of(net, on, strategy, tokens))
    _keeps_the_laws(strategy, job_of(net.without_adapters(), on, strategy, TOKENS[-1]))


def _keeps_the_laws(strategy: Strategy, job: Job) -> None:
    kind, again = (
        strategy.kind,
        Job(place(job.mapping.network, job.machine), job.tokens, job.engine),
    )
    try:
        decided = strategy.decide(job)
    except CapacityError:
        return  # it says that it does not fit, which is an answer
    assert isinstance(decided, Hashable), f"{kind}: what it decides cannot be hashed"
    other = strategy.decide(again)
    assert decided == other, f"{kind}: decides otherwise when it is asked again"
    assert hash(decided) == hash(other), f"{kind}: equal decisions have other hashes"
    schedule, twin = strategy.schedule(job), other.lay_out(again)
    for name, column in _columns(schedule):
        np.testing.assert_array_equal(
            column, dict(_columns(twin))[name], f"{kind}: lays out two plans ({name})"
        )
    _every_token_once(kind, job, schedule)
    ends = []
    for name in ENGINES:
        done = carry_out(schedule, job.machine, engine_by_name(name))
        ends.append(done.timeline.end)
        _nobody_works_longer(kind, done.schedule, done.timeline)
    for end in ends[1:]:
        np.testing.assert_array_equal(end, ends[0], f"{kind}: engines differ")


def _columns(schedule: Schedule) -> Iterator[tuple[str, Any]]:
    plan = schedule.plan
    yield "works", np.array([hash(work) for work in plan.works])
    for name in ("work", "use_first", "use", "need_first", "need"):
        yield name, getattr(plan, name)


def _every_token_once(kind: str, job: Job, schedule: Schedule) -> None:
    """Add up the tokens of the MVMs of each layer."""
    plan = schedule.plan
    of_mvms = np.flatnonzero(plan.which(lambda work: work.kind == "mvm"))
    sent = np.zeros(len(plan.ops), np.int64)
    np.add.at(sent, plan.op[of_mvms], plan.tokens[of_mvms])
    by_op = dict(zip(plan.ops, sent.tolist(), strict=True))
    for layer in job.mapping.layers:
        carrier = schedule.carried_by.get(layer.name, layer.name)
        wanted = job.tokens_of(layer) * job.sequences
        found = by_op.get(carrier, 0)
        assert found == wanted, f"{kind}: {layer.name} sends {found} of {wanted} tokens to tiles"
    told = {decision.layer.name: decision for decision in schedule.layers}
    missing = [layer.name for layer in job.mapping.layers if layer.name not in told]
    assert not missing, f"{kind}: nothing is told of {', '.join(missing[:3])}"


def _nobody_works_longer(kind: str, schedule: Schedule, timeline: Any) -> None:
    """Compare the work of each resource with the run and how many there are of it."""
    plan = schedule.plan
    busy = np.zeros(len(plan.resources), np.int64)
    np.add.at(busy, plan.use, timeline.duration[plan.holder])
    for resource, time in zip(plan.resources, busy.tolist(), strict=True):
        most = timeline.makespan * resource.units
        assert time <= most, f"{kind}: {resource.name} works {time} ps of {most}"
