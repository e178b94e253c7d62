"""Strategies side by side: how long, how busy, how much scratchpad, and where time is lost."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from hybridsim._old_names import old_keywords
from hybridsim.arch import Machine
from hybridsim.certainty import interval_of
from hybridsim.errors import CapacityError, InputError
from hybridsim.measure.critical_path import critical_share
from hybridsim.measure.stalls import stalls_by_resource
from hybridsim.outside import failure_outside
from hybridsim.shown import html, lines
from hybridsim.simulation import Run, execute
from hybridsim.strategies import (
    ADAPTER_STRATEGIES,
    NETWORK_STRATEGIES,
    make_strategy,
    strategy_class,
)
from hybridsim.units import format_ps
from hybridsim.workload import Network

KINDS = ("tile", "matrix_engine", "cores", "dma", "link")
"""Kinds of parts, in the order in which they are shown."""
STALLS = ("waiting", "blocked", "starved", "finished")
"""Why a part of a cluster is idle, as :mod:`hybridsim.measure.stalls` tells them apart."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What each strategy costs on one machine, as one row each."""

    network: str
    machine: str
    tokens: int
    rows: tuple[dict[str, Any], ...]
    """One row per strategy, units in the names; ``problem`` says why a strategy cannot run."""
    notes: tuple[str, ...] = ()
    """Why these strategies were taken, where others were to be expected."""

    def to_frame(self) -> pd.DataFrame:
        """Return one row per strategy, in the order in which they were asked for."""
        return pd.DataFrame(list(self.rows))

    def __str__(self) -> str:
        """Return a line per strategy, the fastest marked."""
        return lines(self._head, ((name, ", ".join(cells)) for name, *cells in self._told()))

    def __repr__(self) -> str:
        return f"<Comparison: {self._head}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        columns = ("strategy", "latency", "overhead", "bound by")
        return html(self._head, columns, self._told())

    @property
    def _head(self) -> str:
        fastest = f", fastest {self.best}" if self.best else ""
        return f"{self.network} on {self.machine}, {self.tokens:,} tokens{fastest}"

    def _told(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield for each strategy its name, latency, overhead and bound, or why it cannot run."""
        for row in self.rows:
            if row["problem"]:
                yield row["strategy"], str(row["problem"]), "", ""
                continue
            latency, bound = format_ps(int(row["latency_ps"])), str(row["bound"])
            yield row["strategy"], latency, f"{row['overhead_percent']:.2f} %", bound

    @property
    def covers(self) -> list[str]:
        """What the latencies cover, a line for all or one for each that differs."""
        return coverage_lines(row for row in self.rows if not row["problem"])

    @property
    def problems(self) -> list[str]:
        """Why strategies have no figures, a line for each reason: who, and why in a sentence."""
        of: dict[str, list[str]] = {}
        for row in self.rows:
            if row["problem"]:
                of.setdefault(str(row["problem"]), []).append(str(row["strategy"]))
        return [f"{', '.join(names)}: {problem}" for problem, names in of.items()]

    @property
    def best(self) -> str:
        """The strategy with adapters that takes least, the first of several."""
        ran = [row for row in self.rows if not row["problem"] and row["strategy"] != "all_analog"]
        return str(min(ran, key=lambda row: row["latency_ps"])["strategy"]) if ran else ""


def coverage_lines(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what the latencies of strategies cover: said once where that is the same for all."""
    of: dict[str, list[str]] = {}
    for row in rows:
        if row.get("covers"):
            of.setdefault(str(row["covers"]), []).append(str(row["strategy"]))
    if len(of) == 1:
        return [f"covers {text}" for text in of]
    return [f"{', '.join(names)}: covers {text}" for text, names in of.items()]


def adapter_strategies() -> list[str]:
    """Return the names of the strategies for linear layers and their adapters."""
    return list(ADAPTER_STRATEGIES)


@old_keywords(schedulers="strategies")
def compare(
    network: Network,
    machine: Machine,
    strategies: Sequence[str] | None = None,
    tokens: int | None = None,
    options: Mapping[str, Any] | None = None,
    past: int = 0,
    on_run: Callable[[str, Run], None] | None = None,
    intervals: bool = False,
) -> Comparison:
    """Run a network under several strategies and return them side by side.

    Each row says what its latency covers, its overhead under the freedom of the strategy, and the
    one that the paper defines (``layer_by_layer_percent``).

    ``strategies`` are names, all strategies with adapters unless given; where none of these can
    run, for want of scratchpad, those for whole networks. ``options`` are set on
    every strategy that has them; an option that none of them has is refused. A strategy that does
    not fit, that the machine cannot run or that fails itself, as one from outside may, has a
    ``problem`` instead of figures, and the others are run all the same. ``past`` is that of
    :func:`hybridsim.simulate`. ``on_run`` is called with the name of each strategy that ran and
    all that its run left, which is not kept. ``intervals`` adds the ends of the 90 % intervals of
    latencies and overheads, which takes up to a quarter of a second for each strategy.

    Raises:
        UnknownNameError: A strategy is not known.
        SpecError: An option is one of no strategy, or has no sense.
        InputError: No strategy is named, one is named twice, or none of them can run; then it is
            why the first one cannot.
    """
    if strategies is None:
        return _of_all(network, machine, tokens, options, past, on_run, intervals)
    names = list(strategies)
    if not names or len(set(names)) != len(names):
        raise InputError(f"strategies: found {names}; name one or more, each once")
    chosen = {name: make_strategy(name, _own(name, names, options or {})) for name in names}
    rows: list[dict[str, Any]] = []
    errors: list[InputError] = []
    for name, strategy in chosen.items():
        try:
            run = execute(network, machine, strategy, tokens, past=past)
            rows.append(_row(name, run, intervals))
        except Exception as error:
            if (known := _told(error)) is None:
                raise
            errors.append(known)
            rows.append({"strategy": name, "problem": str(known)})
            continue
        if on_run is not None:
            on_run(name, run)
    if len(errors) == len(rows):
        raise errors[0]
    length = tokens if tokens is not None else network.sequence_length
    return Comparison(network.name, machine.name, int(length or 0), tuple(rows))


def _of_all(
    network: Network,
    machine: Machine,
    tokens: int | None,
    options: Mapping[str, Any] | None,
    past: int,
    on_run: Callable[[str, Run], None] | None,
    intervals: bool,
) -> Comparison:
    """Return all strategies with adapters, or where no layer finds room those for networks."""
    try:
        names = adapter_strategies()
        return compare(network, machine, names, tokens, options, past, on_run, intervals)
    except CapacityError as error:
        if options or past:
            raise
        names = list(NETWORK_STRATEGIES)
        found = compare(network, machine, names, tokens, on_run=on_run, intervals=intervals)
        few = error.in_few_words
        why = f"the whole network, as layers cannot be studied one by one: {few}"
        return replace(found, notes=(why,))


def _told(error: Exception) -> InputError | None:
    """Return why a strategy has no figures in a sentence; None for a fault of this package."""
    return error if isinstance(error, InputError) else failure_outside(error)


def _own(name: str, names: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a strategy has; one that no strategy has is left for its error.

    An option that a strategy is made of (``early_xa`` of ``early_xa``) is not changed.
    """
    fields = _fields(name)
    anywhere = {field for each in names for field in _fields(each)}
    return {
        key: value
        for key, value in options.items()
        if (field := key.partition(".")[0]) not in anywhere
        or (field in fields and not _fixed(name, field))
    }


def _fields(name: str) -> set[str]:
    """Return the options of a strategy, under an old name too."""
    old = {"chunk"} if name in NETWORK_STRATEGIES else set()
    return old.union(strategy_class(name).model_fields)


def _fixed(name: str, key: str) -> bool:
    """Return whether a strategy leaves no choice for one of its options."""
    fields = strategy_class(name).model_fields
    if key not in fields:
        return False
    allowed = getattr(fields[key].annotation, "__args__", ())
    return len(allowed) == 1


def _row(name: str, run: Run, intervals: bool) -> dict[str, Any]:
    """Return the figures of one strategy."""
    result = run.result
    adapted = [layer for layer in result.layers if layer.rank]
    worst = max(adapted, key=lambda layer: layer.overhead_percent, default=None)
    return {
        "strategy": name,
        "latency_ps": result.latency_ps,
        "yardstick_ps": result.yardstick_ps,
        "overhead_percent": result.overhead_percent,
        "layer_by_layer_ps": result.layer_by_layer_ps,
        "layer_by_layer_percent": result.layer_by_layer_percent,
        "covers": result.covers.text if result.covers else "",
        **(interval_columns(run) if intervals else {}),
        "worst_layer_percent": worst.overhead_percent if worst else 0.0,
        "tcdm_bytes": result.tcdm_bytes,
        **({"energy_pj": result.energy.total_pj} if result.energy else {}),
        **{f"{kind}_utilization": result.utilization.get(kind, 0.0) for kind in KINDS},
        "bound": result.bound,
        **critical_columns(run),
        **stall_columns(run),
        "problem": "",
    }


def interval_columns(run: Run) -> dict[str, float]:
    """Return the ends of the 90 % intervals of latency [ps] and overhead [%]."""
    found = interval_of(run)
    return {
        "latency_low_ps": found.latency_low_ps,
        "latency_high_ps": found.latency_high_ps,
        "overhead_low_percent": found.overhead_low_percent,
        "overhead_high_percent": found.overhead_high_percent,
    }


def critical_columns(run: Run) -> dict[str, float]:
    """Return the share of each kind of part on the critical path, 0 to 1.

    A transfer holds a DMA engine and the link, and counts as ``dma``. Parts that only strategies
    for whole networks know, such as ``cluster``, have a column where they are on the path.
    """
    share = critical_share(run.schedule.plan, run.timeline, by="kind")["share"]
    columns = dict.fromkeys((f"{kind}_critical" for kind in KINDS[:-1]), 0.0)
    for label, part in share.items():
        name = f"{str(label).split(' + ')[0]}_critical"
        columns[name] = columns.get(name, 0.0) + float(part)
    return columns


def stall_columns(run: Run) -> dict[str, float]:
    """Return why the multiplying units of the clusters are idle, as shares of their time.

    Units that the run never uses are left out.
    """
    table = stalls_by_resource(run.schedule.plan, run.timeline)
    units = table[table["kind"].isin(("matrix_engine", "cores")) & (table["busy_ps"] > 0)]
    available = len(units) * run.timeline.makespan
    return {
        f"units_{why}": float(units[f"{why}_ps"].sum() / available) if available else 0.0
        for why in STALLS
    }
