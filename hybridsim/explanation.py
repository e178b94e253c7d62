"""Why a run took as long as it did, and which changes of the machine would help most."""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from hybridsim._old_names import in_silence, with_old_keys
from hybridsim.arch import Machine
from hybridsim.engines import engine, makespan_ps
from hybridsim.errors import InputError
from hybridsim.measure.critical_path import critical_path
from hybridsim.measure.measure import overhead_percent
from hybridsim.measure.result import LayerResult, Result
from hybridsim.measure.stalls import stalls_by_resource
from hybridsim.simulation import Run, execute, job_of
from hybridsim.specs import validate
from hybridsim.strategies import STRATEGIES, Job, Schedule, Strategy, make_strategy, yardstick
from hybridsim.strategies.job import Decisions, Structure
from hybridsim.units import Clock
from hybridsim.work import price
from hybridsim.workload import Network

MOST_HELPFUL = 3
"""How many changes are put forward."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the machine, and of the strategy where it is needed to make use of it."""

    name: str
    settings: Mapping[str, Any]
    """Dotted path of the machine -> value as text."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the strategy."""

    def as_arguments(self) -> str:
        """Return it as it would be given to ``hybridsim run``."""
        options = {f"strategy.{key}": value for key, value in self.options.items()}
        changes = [f"{path}={value}" for path, value in {**self.settings, **options}.items()]
        return " ".join(f"--set '{c}'" if " " in c else f"--set {c}" for c in changes)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a run spent its time on, and what would shorten it."""

    result: Result
    path: pd.DataFrame
    """The critical path by what is done and on what: tasks, time_ps, share; longest first."""
    kinds: pd.DataFrame
    """Layers alike: layers, shape, latency_ps of one, share of all layers, overhead_percent, bound
    and what the adapter runs on."""
    stalls: pd.DataFrame
    """Kind of part -> shares of its time: busy, waiting, blocked, starved, finished."""
    changes: pd.DataFrame
    """Changes of the machine, the most helpful first, each run again: latency_ps, gain_percent,
    overhead_percent, arguments."""

    @property
    def best_changes(self) -> pd.DataFrame:
        """The changes that help most, at most three; those without any gain are left out."""
        return self.changes[self.changes["gain_percent"] > 0].head(MOST_HELPFUL)

    def to_text(self) -> dict[str, Any]:
        """Return it as one document of plain text and numbers."""
        document = {
            "network": self.result.network,
            "machine": self.result.machine,
            "strategy": self.result.strategy,
            "tokens": self.result.tokens,
            "latency_ps": self.result.latency_ps,
            "overhead_percent": self.result.overhead_percent,
            "layer_by_layer_percent": self.result.layer_by_layer_percent,
            "covers": self.result.covers.model_dump() if self.result.covers else None,
            "notes": list(self.result.notes),
            **{
                name: getattr(self, name).to_dict("records")
                for name in ("path", "kinds", "stalls", "changes")
            },
            "best_changes": self.best_changes["change"].to_list(),
        }
        return with_old_keys(document)


def explain(result: Result) -> Explanation:
    """Run a result again from the inputs it carries, and say why it took as long.

    Raises:
        InputError: The inputs do not give the same latency, so the result is of another version.
    """
    network, machine, strategy = _inputs(result)
    run = execute(network, machine, strategy, result.tokens, result.engine, past=result.past)
    if run.result.latency_ps != result.latency_ps:
        raise InputError(
            f"the result carries {result.latency_ps} ps, but its inputs now give "
            f"{run.result.latency_ps} ps; it is of hybridsim {result.hybridsim_version}: run it "
            "again and explain that"
        )
    return Explanation(
        run.result,
        path_table(run),
        kinds_table(run.result),
        stalls_table(run),
        _changes_table(network, machine, strategy, run.result),
    )


def _inputs(result: Result) -> tuple[Network, Machine, Strategy]:
    inputs = result.inputs
    if not {"network", "machine", "strategy"} <= set(inputs):
        raise InputError("the result carries no inputs; one written by hybridsim run would do")
    network = validate(Network, inputs["network"], "result", "inputs.network")
    machine = validate(Machine, inputs["machine"], "result", "inputs.machine")
    with in_silence():  # options of a result that an earlier release wrote
        return network, machine, _with_options(inputs["strategy"], {})


def _with_options(strategy: Mapping[str, Any], options: Mapping[str, Any]) -> Strategy:
    """Return a strategy from its text, with some of its options replaced where it has them."""
    kind = str(strategy.get("kind"))
    given = {key: value for key, value in strategy.items() if key != "kind"}
    known = STRATEGIES[kind].model_fields if kind in STRATEGIES else {}
    return make_strategy(kind, given | {k: v for k, v in options.items() if k in known})


def path_table(run: Run) -> pd.DataFrame:
    """Return what the critical path consists of, by action and kind of part.

    Columns: action, on (the kind of part that does it), tasks, time_ps, share [0..1]; longest
    first. The times add up to the latency.
    """
    plan = run.schedule.plan
    path = critical_path(plan, run.timeline)
    first = [uses[0] if len(uses := plan.uses_of(task)) else -1 for task in path["task"]]
    path["on"] = [plan.resources[i].kind if i >= 0 else "delay" for i in first]
    path["time_ps"] = path["end_ps"] - path["start_ps"]
    groups = path.groupby(["action", "on"], sort=True)["time_ps"]
    table = groups.agg(tasks="count", time_ps="sum").reset_index()
    table["share"] = table["time_ps"] / max(1, run.timeline.makespan)
    return table.sort_values("time_ps", ascending=False, kind="stable", ignore_index=True)


def kinds_table(result: Result) -> pd.DataFrame:
    """Return one row per kind of layer: those whose names differ in numbers alone, of one shape.

    Columns: kind, layers, shape, latency_ps and overhead_percent of the slowest of them, share of
    the latencies of all layers [0..1], bound, unit, batch; the largest share first.
    """
    alike: dict[tuple[str, str], list[LayerResult]] = {}
    for layer in result.layers:
        key = (re.sub(r"\d+", "*", layer.name), f"{layer.in_features}x{layer.out_features}")
        alike.setdefault(key, []).append(layer)
    total = sum(layer.latency_ps for layer in result.layers) or 1
    rows = []
    for (kind, shape), layers in alike.items():
        slowest = max(layers, key=lambda layer: layer.latency_ps)
        rows.append(
            {
                "kind": kind,
                "layers": len(layers),
                "shape": shape,
                "latency_ps": slowest.latency_ps,
                "overhead_percent": slowest.overhead_percent,
                "share": sum(layer.latency_ps for layer in layers) / total,
                "bound": slowest.bound,
                "unit": slowest.unit,
                "batch": slowest.batch,
            }
        )
    table = pd.DataFrame(rows)
    return table.sort_values("share", ascending=False, kind="stable", ignore_index=True)


def stalls_table(run: Run) -> pd.DataFrame:
    """Return how the parts of each kind that work at all spend their time.

    Columns: kind, parts, and the shares busy, waiting (for another part), blocked (no room
    downstream), starved (no data yet) and finished (nothing left to do), which add up to 1. The
    tiles of a network mostly have nothing left to do, as layers run one after the other.
    """
    table = stalls_by_resource(run.schedule.plan, run.timeline)
    used = table[table["busy_ps"] > 0]
    columns = [f"{why}_ps" for why in ("busy", "waiting", "blocked", "starved", "finished")]
    total = used.groupby("kind", sort=False)[columns].sum()
    shares = total.div(total.sum(axis=1).clip(lower=1), axis=0)
    shares.columns = [column.removesuffix("_ps") for column in columns]
    shares.insert(0, "parts", used.groupby("kind", sort=False).size())
    return shares.reset_index()


def _changes_table(
    network: Network, machine: Machine, strategy: Strategy, result: Result
) -> pd.DataFrame:
    """Return every change with what running it again gives, the most helpful first."""
    rows, runs = [], _Runs()
    for change in changes_of(machine):
        try:
            changed = changed_machine(machine, change)
            strategy = _with_options(result.inputs["strategy"], change.options)
            job = job_of(network, changed, strategy, result.tokens, result.past)
            latency = runs.latency_ps(strategy, job)
            against = yardstick(strategy, job)
            least = latency if against is None else runs.latency_ps(*against)
        except InputError:
            continue  # the models do not reach there, or the strategy leaves no choice
        rows.append(
            {
                "change": change.name,
                "latency_ps": latency,
                "gain_percent": (result.latency_ps - latency) * 100 / result.latency_ps,
                "overhead_percent": overhead_percent(latency, least),
                "arguments": change.as_arguments(),
            }
        )
    table = pd.DataFrame(
        rows, columns=["change", "latency_ps", "gain_percent", "overhead_percent", "arguments"]
    )
    return table.sort_values("latency_ps", kind="stable", ignore_index=True)


@dataclass
class _Runs:
    """Runs on changed machines; equal decisions share the plan that they lead to."""

    _known: dict[tuple[Structure, Decisions], Schedule] = field(default_factory=dict)

    def latency_ps(self, strategy: Strategy, job: Job) -> int:
        """Return how long what a strategy decides takes on the machine of a job [ps].

        Raises:
            InputError: Nothing fits, or the machine lacks a unit.
        """
        decisions = strategy.decide(job)
        key = (job.structure, decisions)
        if key not in self._known:
            self._known[key] = decisions.lay_out(job)
        own = self._known[key]
        time_ps = price(own.plan.works, job.machine).time_ps
        return makespan_ps(own.plan, time_ps, own.dispatch, engine("compiled"))


def changed_machine(machine: Machine, change: Change) -> Machine:
    """Return a machine with a change made.

    Raises:
        SpecError: The changed machine is none, such as cores beyond what their model covers.
    """
    text = deepcopy(machine.to_text())
    for path, value in change.settings.items():
        *groups, last = path.split(".")
        place = text
        for group in groups:
            place = place[group]
        place[last] = value
    return validate(Machine, text, "change", change.name)


def changes_of(machine: Machine) -> Iterator[Change]:
    """Yield the changes of a machine that are tried: each part twice as fast, large or many."""
    tile, link = machine.tile, machine.link
    half = max(1, tile.integration_time // 2)
    yield Change("integration time / 2", {"tile.integration_time": f"{half} ps"})
    yield Change("output buffers x 2", {"tile.output_buffers": 2 * tile.output_buffers})
    yield Change("link width x 2", {"link.width": f"{2 * link.width} B/cycle"})
    yield Change("one more link", {"link.count": link.count + 1})
    cluster = machine.cluster
    if cluster is None:
        return
    faster = Clock.model_validate({"frequency": f"{2 * cluster.clock.frequency} Hz"})
    twice = faster.to_text()["frequency"]
    yield Change("cluster clock x 2", _at("clock.frequency", twice))
    yield Change("cores x 2", _at("cores.count", 2 * cluster.cores.count))
    width = 2 * cluster.dma.bytes_per_cycle
    yield Change("DMA width x 2", _at("dma.bytes_per_cycle", f"{width} B/cycle"))
    yield Change("TCDM x 2", _at("tcdm.size", f"{2 * cluster.tcdm.size} B"))
    count = cluster.count + 1
    yield Change("one more cluster", _at("count", count), {"clusters": "best"})
    engine = cluster.matrix_engine
    if engine is None:
        return
    height = _at("matrix_engine.array_height", 2 * engine.array_height)
    port = _at("matrix_engine.port_width", f"{2 * engine.port_width} bit")
    yield Change("matrix engine twice as high", height | port)
    yield Change(
        "matrix engine twice as wide", _at("matrix_engine.array_width", 2 * engine.array_width)
    )


def _at(path: str, value: Any) -> dict[str, Any]:
    return {f"cluster.{path}": value}
