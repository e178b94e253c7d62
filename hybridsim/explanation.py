"""Why a run took as long as it did, what is free that would help, and then which hardware."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from hybridsim._old_names import in_silence, with_old_keys
from hybridsim.arch import Cluster, Machine, TileArray, machine_with
from hybridsim.certainty import with_interval
from hybridsim.components.matrix_engine import MatrixEngine
from hybridsim.engines import engine, makespan_ps
from hybridsim.errors import InputError
from hybridsim.measure.critical_path import critical_path
from hybridsim.measure.measure import overhead_percent
from hybridsim.measure.result import LayerResult, Result
from hybridsim.measure.stalls import stalls_by_resource
from hybridsim.simulation import Run, execute, job_of
from hybridsim.specs import validate
from hybridsim.strategies import (
    ADAPTER_STRATEGIES,
    NETWORK_STRATEGIES,
    Job,
    Schedule,
    Strategy,
    make_strategy,
    strategy_class,
    yardstick,
)
from hybridsim.strategies.freedom import (
    OF_LAYERS,
    OF_NETWORKS,
    Setting,
    other_options,
    other_strategies,
)
from hybridsim.strategies.job import Decisions, Structure
from hybridsim.strategies.layers.auto import Auto, streams
from hybridsim.units import Clock
from hybridsim.work import price
from hybridsim.workload import Network

MOST_HELPFUL = 3
"""How many changes are put forward."""
LEAST_GAIN = 0.05
"""What gains less is not put forward [%]."""


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
    free: pd.DataFrame
    """What can be had on the same machine, the most helpful first, each run again: another
    strategy, clusters in use, unit, order, batch, and those that help together. Columns as of
    :attr:`changes`; gains are over the result."""
    changes: pd.DataFrame
    """Changes of the machine, the most helpful first, each run again under the best free setting:
    latency_ps, gain_percent over that setting, overhead_percent, arguments of both."""

    @property
    def best_free(self) -> pd.DataFrame:
        """What helps most of what is free, at most three; without a gain it is left out."""
        return self.free[self.free["gain_percent"] >= LEAST_GAIN].head(MOST_HELPFUL)

    @property
    def best_changes(self) -> pd.DataFrame:
        """The changes that help most, at most three; those without a gain are left out."""
        return self.changes[self.changes["gain_percent"] >= LEAST_GAIN].head(MOST_HELPFUL)

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
            "interval": self.result.interval.model_dump() if self.result.interval else None,
            "bound": self.result.bound,
            "elasticity": dict(self.result.elasticity),
            "notes": list(self.result.notes),
            **{
                name: getattr(self, name).to_dict("records")
                for name in ("path", "kinds", "stalls", "free", "changes")
            },
            "best_free": self.best_free["change"].to_list(),
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
    # the result may say besides why it is not a study of layers
    explained = with_interval(run).model_copy(update={"notes": result.notes})
    trying = _Trying(network, machine, run.result)
    free, best = trying.free_table(Setting.of(strategy))
    return Explanation(
        explained,
        path_table(run),
        kinds_table(run.result),
        stalls_table(run),
        free,
        trying.changes_table(best),
    )


def _inputs(result: Result) -> tuple[Network, Machine, Strategy]:
    inputs = result.inputs
    if not {"network", "machine", "strategy"} <= set(inputs):
        raise InputError("the result carries no inputs; one written by hybridsim run would do")
    network = validate(Network, inputs["network"], "result", "inputs.network")
    machine = validate(Machine, inputs["machine"], "result", "inputs.machine")
    with in_silence():  # options of a result that an earlier release wrote
        given = {key: value for key, value in inputs["strategy"].items() if key != "kind"}
        return network, machine, make_strategy(str(inputs["strategy"]["kind"]), given)


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


_COLUMNS = ("change", "latency_ps", "gain_percent", "overhead_percent", "arguments")


@dataclass
class _Trying:
    """Settings and changes run again; equal decisions share the plan that they lead to."""

    network: Network
    machine: Machine
    result: Result
    _known: dict[tuple[Structure, Decisions], Schedule] = field(default_factory=dict)
    _times: dict[str, int] = field(default_factory=dict)
    """By arguments of a setting, on the machine as it is [ps]."""

    def free_table(self, setting: Setting) -> tuple[pd.DataFrame, Setting]:
        """Return what is free with what it gives, and the best setting that was found.

        All that changes one thing is run. To the best of it all else that helped is added, as
        long as that helps more.
        """
        tried = self._timed(self._others(setting))
        helped = [own for own, time in tried if time < self.result.latency_ps]
        best, least = setting, self.result.latency_ps
        while helped:
            own, time = min(tried, key=lambda one: one[1])
            if time >= least:
                break
            best, least = own, time
            more = self._timed(self._added(best, helped))
            tried += more
            if not more or min(time for _, time in more) >= least:
                break
        if best.kind == "auto" and len(self.network.matrices) > 1:
            # what it took can be named, and costs less to find again
            ways: tuple[Strategy, ...] = (Auto(across_layers=False), *streams())
            named = self._timed(map(Setting.of, ways))
            best = next((own for own, time in named if time == least), best)
        rows = [self._row(own.name, self.machine, own, time) for own, time in tried]
        return _sorted(rows, self.result.latency_ps), best

    def changes_table(self, setting: Setting) -> pd.DataFrame:
        """Return every change of the machine with what it gives beside a setting."""
        rows = []
        before = self._latency_ps(self.machine, setting)
        for change in changes_of(self.machine):
            known = strategy_class(setting.kind).model_fields
            options = {key: value for key, value in change.options.items() if key in known}
            own = setting.with_options(options)
            arguments = change.as_arguments()
            if own != self._given:
                arguments = f"{own.as_arguments()} {replace(change, options={}).as_arguments()}"
            try:
                changed = changed_machine(self.machine, change)
                time = self._latency_ps(changed, own)
                rows.append(self._row(change.name, changed, own, time) | {"arguments": arguments})
            except InputError:
                continue  # the models do not reach there, or the strategy leaves no choice
        return _sorted(rows, before)

    @property
    def _given(self) -> Setting:
        return Setting.of(_inputs(self.result)[2])

    def _others(self, setting: Setting) -> Iterator[Setting]:
        """Yield the settings that differ in one thing; none where nothing is adapted."""
        of_network = setting.kind in NETWORK_STRATEGIES
        if setting.kind == "all_analog" or not (of_network or self.network.adapted_layers):
            return
        family = NETWORK_STRATEGIES if of_network else ADAPTER_STRATEGIES
        yield from other_strategies(setting, family)
        choices = OF_NETWORKS if of_network else OF_LAYERS
        yield from other_options(setting, strategy_class(setting.kind), choices)

    def _added(self, best: Setting, helped: list[Setting]) -> Iterator[Setting]:
        """Yield the best setting with one more of the options that helped by themselves."""
        names = {name for own in helped for name in own.names}
        for own in self._others(best):
            if own.kind == best.kind and own.names[-1] in names:
                yield own

    def _timed(self, settings: Iterable[Setting]) -> list[tuple[Setting, int]]:
        found = []
        for own in settings:
            try:
                found.append((own, self._latency_ps(self.machine, own)))
            except InputError:
                continue  # it does not fit, or the machine lacks a unit
        return found

    def _row(self, name: str, machine: Machine, own: Setting, latency: int) -> dict[str, Any]:
        strategy = make_strategy(own.kind, own.options)
        against = yardstick(strategy, self._job(machine, strategy))
        least = latency if against is None else self._run_ps(*against)
        over = overhead_percent(latency, least)
        values = (name, latency, 0.0, over, own.as_arguments())
        return dict(zip(_COLUMNS, values, strict=True))

    def _latency_ps(self, machine: Machine, setting: Setting) -> int:
        """Return how long the network takes under a setting on a machine [ps].

        Raises:
            InputError: Nothing fits, or the machine lacks a unit.
        """
        key = setting.as_arguments()
        if machine is self.machine and key in self._times:
            return self._times[key]
        strategy = make_strategy(setting.kind, setting.options)
        time = self._run_ps(strategy, self._job(machine, strategy))
        if machine is self.machine:
            self._times[key] = time
        return time

    def _job(self, machine: Machine, strategy: Strategy) -> Job:
        return job_of(self.network, machine, strategy, self.result.tokens, self.result.past)

    def _run_ps(self, strategy: Strategy, job: Job) -> int:
        decisions = strategy.decide(job)
        key = (job.structure, decisions)
        if key not in self._known:
            self._known[key] = decisions.lay_out(job)
        own = self._known[key]
        time_ps = price(own.plan.works, job.machine).time_ps
        return makespan_ps(own.plan, time_ps, own.dispatch, engine("compiled"))


def _sorted(rows: list[dict[str, Any]], before: int) -> pd.DataFrame:
    """Return rows with their gains over some latency [ps], the most helpful first."""
    table = pd.DataFrame(rows, columns=[*_COLUMNS])
    table["gain_percent"] = (before - table["latency_ps"]) * 100 / max(1, before)
    return table.sort_values("latency_ps", kind="stable", ignore_index=True)


def changed_machine(machine: Machine, change: Change) -> Machine:
    """Return a machine with a change made.

    Raises:
        SpecError: The changed machine is none, such as cores beyond what their model covers.
    """
    return machine_with(machine, change.settings)


def changes_of(machine: Machine) -> Iterator[Change]:
    """Yield the changes of a machine that are tried: each part twice as fast, large or many."""
    tile, link = machine.tile, machine.link
    yield from _changes_of_tiles(tile, "tile", "")
    yield Change("link width x 2", {"link.width": f"{2 * link.width} B/cycle"})
    yield Change("one more link", {"link.count": link.count + 1})
    rules = machine.mapping
    if isinstance(rules.copies, int):
        yield Change("one more copy of each layer", {"mapping.copies": rules.copies + 1})
    if tile.count != "as_needed" and tile.programming is not None:
        twice = {"mapping.sequences": 2 * rules.sequences}
        yield Change("tiles written for twice the sequences", twice)
    if machine.cluster is not None:
        yield from _changes_of_clusters(machine.cluster, "cluster", "")
    for sort in machine.tiles:
        yield from _changes_of_tiles(machine.tile_of(sort), f"tiles.{sort}", f" of {sort}")
    for sort in machine.clusters:
        cluster = machine.cluster_of(sort)
        assert cluster is not None
        yield from _changes_of_clusters(cluster, f"clusters.{sort}", f" of {sort}")


def _changes_of_tiles(tile: TileArray, at: str, of: str) -> Iterator[Change]:
    """Yield the changes of a kind of tiles, which stands at a path of the machine."""
    half = max(1, tile.integration_time // 2)
    yield Change(f"integration time{of} / 2", {f"{at}.integration_time": f"{half} ps"})
    yield Change(f"output buffers{of} x 2", {f"{at}.output_buffers": 2 * tile.output_buffers})


def _changes_of_clusters(cluster: Cluster, at: str, of: str) -> Iterator[Change]:
    """Yield the changes of a kind of clusters, which stands at a path of the machine."""
    faster = Clock.model_validate({"frequency": f"{2 * cluster.clock.frequency} Hz"})
    clock = {f"{at}.clock.frequency": faster.to_text()["frequency"]}
    yield Change(f"cluster clock{of} x 2", clock)
    yield Change(f"cores{of} x 2", {f"{at}.cores.count": 2 * cluster.cores.count})
    width = 2 * cluster.dma.bytes_per_cycle
    yield Change(f"DMA width{of} x 2", {f"{at}.dma.bytes_per_cycle": f"{width} B/cycle"})
    yield Change(f"TCDM{of} x 2", {f"{at}.tcdm.size": f"{2 * cluster.tcdm.size} B"})
    more = {f"{at}.count": cluster.count + 1}
    yield Change(f"one more cluster{of}", more, {"clusters": "best"})
    engine = cluster.matrix_engine
    if not isinstance(engine, MatrixEngine):
        return
    array = f"{at}.matrix_engine"
    higher = {
        f"{array}.array_height": 2 * engine.array_height,
        f"{array}.port_width": f"{2 * engine.port_width} bit",
    }
    yield Change(f"matrix engine{of} twice as high", higher)
    wider = {f"{array}.array_width": 2 * engine.array_width}
    yield Change(f"matrix engine{of} twice as wide", wider)
