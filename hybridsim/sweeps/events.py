"""Points of a study on the event engines, one by one: any plan."""

from dataclasses import replace
from typing import Any

from hybridsim.engines import engine as engine_by_name
from hybridsim.errors import CapacityError, HybridsimError, InputError
from hybridsim.mapping import Mapping as PlacedNetwork
from hybridsim.mapping import place
from hybridsim.simulation import MOST_TOKENS, simulate
from hybridsim.strategies import AllAnalog, Job, NetworkStrategy, Strategy, carry_out
from hybridsim.sweeps.details import DETAILS, detail
from hybridsim.sweeps.executed import Executed, most_tcdm
from hybridsim.sweeps.inputs import Inputs, Point, Resolver
from hybridsim.sweeps.layerwise import one_by_one, run_layers
from hybridsim.sweeps.steady import can_outline, run_outlined
from hybridsim.units import Ints

Columns = dict[str, Any]
"""Result columns, one entry per point, and ``problem``: why a point has none, or empty."""

DOES_NOT_FIT = "does not fit the TCDM of a cluster"
"""The problem of such a point, whoever finds it; running the point alone says what would fit."""


class EventEvaluator:
    """Every point on an event engine: any plan."""

    def __init__(self, inputs: Inputs, engine: str = "compiled") -> None:
        self._resolver, self._engine = Resolver(inputs), engine
        self._columns = inputs.columns
        self._placed: tuple[tuple[object, ...], PlacedNetwork] | None = None
        self._yardsticks: dict[tuple[object, ...], tuple[PlacedNetwork, int]] = {}

    def evaluate(self, indices: Ints) -> Columns:
        """Return the columns that the study asks for, and ``problem``, of some of its points."""
        found: Columns = {name: [] for name in (*self._columns, "problem")}
        for index in indices.tolist():
            try:
                row = self._row(self._resolver.point(index))
            except InputError as error:
                row = {"problem": " ".join(str(error).split())}
            except Exception as error:
                where = self._resolver.inputs.labels(index)
                raise HybridsimError(f"point {index} ({where}): {error!r}") from error
            for name, column in found.items():
                column.append(row.get(name, "" if name == "problem" else None))
        return found

    def _row(self, point: Point) -> dict[str, Any]:
        tokens = point.network.sequence_length if point.tokens is None else point.tokens
        if tokens is None or not 1 <= tokens <= MOST_TOKENS:
            raise InputError(f"tokens: found {tokens}; 1 to {MOST_TOKENS} would do")
        mapping = self._place(point)
        compiled = engine_by_name("compiled")  # for strategies that try what they decide
        job = Job(mapping, tokens, compiled)
        try:
            ran = self._run(point.scheduler, job)
        except CapacityError:
            if isinstance(point.scheduler, NetworkStrategy):
                raise  # there it may be another memory that is too small
            raise CapacityError(DOES_NOT_FIT) from None
        row = _measured(ran, mapping, tokens)
        if "all_analog_ps" in self._columns:
            row["all_analog_ps"] = self._yardstick_ps(point.scheduler, job, ran)
        asked = [name for name in self._columns if name in DETAILS]
        if asked:
            whole = simulate(point.network, point.machine, point.scheduler, tokens, self._engine)
            row |= {name: detail(name, whole) for name in asked}
        return row

    def _run(self, scheduler: Strategy, job: Job) -> Executed:
        """Return what a sweep asks of a run; the compiled engine may add it up from layers.

        SimPy executes the whole plan, so that an audit checks the sum as well.
        """
        if self._engine == "compiled" and one_by_one(scheduler):
            found = run_layers(scheduler, job, self._execute)
            if found is not None:
                return found
        return self._execute(scheduler, job)

    def _execute(self, scheduler: Strategy, job: Job) -> Executed:
        """Return a run; the compiled engine may jump over what repeats in it."""
        if self._engine == "compiled" and can_outline(scheduler):
            return run_outlined(scheduler, job)
        schedule = scheduler.schedule(job)
        makespan = carry_out(schedule, job.machine, engine_by_name(self._engine)).makespan
        of_ops = max((op.tcdm_bytes for op in schedule.ops), default=0)
        needed = max(most_tcdm(schedule.layers), of_ops)
        return Executed(makespan, len(schedule.plan), schedule.layers, needed)

    def _place(self, point: Point) -> PlacedNetwork:
        """Return the mapping, that of the point before where nothing that decides it changed."""
        machine = point.machine
        tile = machine.tile.model_copy(update={"integration_time": 0})
        clusters = machine.cluster.count if machine.cluster else 0
        key = (point.network, tile, clusters, machine.name)
        if self._placed is not None:
            before, mapping = self._placed
            if before[0] is key[0] and before[1:] == key[1:]:
                if mapping.machine is not machine:
                    mapping = replace(mapping, machine=machine)
                    self._placed = key, mapping
                return mapping
        mapping = place(point.network, machine)
        self._placed = key, mapping
        return mapping

    def _yardstick_ps(self, scheduler: Strategy, job: Job, ran: Executed) -> int:
        """Return the latency without adapter work [ps], once for points that share it.

        For a strategy that covers whole networks it is its own run without adapters.
        """
        whole = isinstance(scheduler, NetworkStrategy)
        if whole and not job.mapping.network.adapted_layers:
            return ran.latency_ps
        key = (id(job.mapping), job.tokens, repr(scheduler) if whole else "")
        if key not in self._yardsticks:
            if len(self._yardsticks) >= 64:
                self._yardsticks.clear()
            if isinstance(scheduler, NetworkStrategy):
                run = engine_by_name(self._engine)
                latency = carry_out(scheduler.yardstick(job), job.machine, run).makespan
            else:
                latency = self._run(AllAnalog(), job).latency_ps
            # the mapping is kept so that no other one can get its identity
            self._yardsticks[key] = job.mapping, latency
        return self._yardsticks[key][1]


def _measured(ran: Executed, mapping: PlacedNetwork, tokens: int) -> dict[str, Any]:
    """Return the columns that a run shows by itself."""
    adapted = [layer for layer in ran.layers if layer.choice is not None]
    if adapted:
        batch = min(layer.batch for layer in adapted)
    else:  # layers that work once per sequence have no batches
        batch = max((layer.batch for layer in ran.layers), default=tokens)
    return {
        "latency_ps": ran.latency_ps,
        "tcdm_bytes": ran.tcdm_bytes,
        "batch": batch,
        "buffers": min((layer.buffers for layer in adapted), default=0),
        "tiles": mapping.tiles,
        "crossbars": mapping.crossbars,
        "tasks": ran.tasks,
    }
