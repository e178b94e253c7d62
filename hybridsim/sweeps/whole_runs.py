"""Points of a study run as a whole, one by one, on any engine: what blocks are checked against."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from hybridsim.certainty import with_interval
from hybridsim.engines import Engine, engine
from hybridsim.errors import CapacityError, HybridsimError, InputError
from hybridsim.mapping import Mapping as PlacedNetwork
from hybridsim.mapping import place
from hybridsim.measure.area import area_of
from hybridsim.measure.energy import PJ, energy_of_run
from hybridsim.measure.result import Result
from hybridsim.simulation import MOST_TOKENS, execute
from hybridsim.strategies import (
    LAYER_BY_LAYER,
    Job,
    LayerDecision,
    NetworkStrategy,
    Schedule,
    Strategy,
    carry_out,
    yardstick,
)
from hybridsim.sweeps.columns import INTERVALS
from hybridsim.sweeps.inputs import Inputs, Point, Resolver
from hybridsim.units import Ints

Columns = dict[str, Any]
"""Result columns, one entry per point, and ``problem``: why a point has none, or empty."""

DOES_NOT_FIT = "does not fit the TCDM of a cluster"
"""The problem of such a point, whoever finds it; running the point alone says what would fit."""
ENDS = tuple(end for ends in INTERVALS.values() for end in ends)
"""Columns that are ends of 90 % intervals."""


def _end(name: str) -> Callable[[Result], int | float | str | None]:
    def read(result: Result) -> int | float | None:
        found: int | float | None = getattr(result.interval, name, None)
        return found

    return read


DETAILS: Mapping[str, Callable[[Result], int | float | str | None]] = {
    "bound": lambda result: result.bound,
    **{end: _end(end) for end in ENDS},
}
"""Column -> how it is read off a whole result; None where the machine does not say."""


class WholeRuns:
    """Every point placed, decided, laid out, priced and executed by itself."""

    def __init__(self, inputs: Inputs, name: str = "compiled") -> None:
        self._resolver, self._name, self._run = Resolver(inputs), name, engine(name)
        self._columns = inputs.columns

    def evaluate(self, indices: Ints) -> Columns:
        """Return the columns that the study asks for, and ``problem``, of some of its points."""
        found: Columns = {name: [] for name in (*self._columns, "problem")}
        for index in indices.tolist():
            try:
                row = self._row(self._resolver.point(index))
            except InputError as error:
                row = {"problem": in_words(error)}
            except Exception as error:
                where = self._resolver.inputs.labels(index)
                raise HybridsimError(f"point {index} ({where}): {error!r}") from error
            for name, column in found.items():
                column.append(row.get(name, "" if name == "problem" else None))
        return found

    def _row(self, point: Point) -> dict[str, Any]:
        tokens = tokens_of(point)
        mapping = place(point.network, point.machine)
        asked = [name for name in self._columns if name in DETAILS]
        # strategies that try what they decide do so on the compiled engine
        job = Job(mapping, tokens, engine("compiled"))
        try:
            schedule = point.strategy.schedule(job)
        except CapacityError:
            if isinstance(point.strategy, NetworkStrategy):
                raise  # there it may be another memory that is too small
            raise CapacityError(DOES_NOT_FIT) from None
        if problem := not_known(self._columns, mapping):
            raise InputError(problem)
        done = carry_out(schedule, point.machine, self._run)
        latency = done.makespan
        row: dict[str, Any] = measured(schedule.layers, mapping, tokens) | {
            "latency_ps": latency,
            "tcdm_bytes": most_tcdm(schedule),
            "tasks": len(schedule.plan),
            "throughput_tokens_per_s": tokens * 1e12 / latency if len(schedule.plan) else 0.0,
        }
        row |= of_placement(mapping)
        if "energy_pj" in self._columns:
            energy = energy_of_run(job, done.schedule, done.timeline)
            assert energy is not None
            row["energy_pj"] = energy.total / PJ
        if "yardstick_ps" in self._columns:
            row["yardstick_ps"] = _yardstick_ps(point.strategy, job, latency, self._run)
        if "layer_by_layer_ps" in self._columns:
            row["layer_by_layer_ps"] = _layer_by_layer_ps(point.strategy, job, self._run)
        if asked:
            run = execute(point.network, point.machine, point.strategy, tokens, self._name)
            whole = with_interval(run) if set(asked) & set(ENDS) else run.result
            row |= {name: detail(name, whole) for name in asked}
        return row


def tokens_of(point: Point) -> int:
    """Return the tokens of a point: its own, or those of its network.

    Raises:
        InputError: There are none, or too many.
    """
    tokens = point.network.sequence_length if point.tokens is None else point.tokens
    if tokens is None or not 1 <= tokens <= MOST_TOKENS:
        raise InputError(f"tokens: found {tokens}; 1 to {MOST_TOKENS} would do")
    return tokens


def in_words(error: InputError) -> str:
    """Return a problem as one line."""
    return " ".join(str(error).split())


def detail(name: str, result: Result) -> int | float | str:
    """Return one column that is read off a whole result.

    Raises:
        InputError: The machine lacks what the column is computed from.
    """
    value = DETAILS[name](result)
    if value is None:
        raise InputError(_not_given(name, result.machine))
    return value


def _not_given(name: str, machine: str) -> str:
    return (
        f"{name}: machine {machine} does not give what it is computed from; add that "
        f"to the machine, or leave {name} out of the study"
    )


def not_known(columns: Iterable[str], mapping: PlacedNetwork) -> str:
    """Return why a point has no result whose machine says too little; an empty text if it does."""
    machine = mapping.machine
    said = {"area_mm2": machine.area, "energy_pj": machine.energy}
    lacking = [name for name in columns if name in said and said[name] is None]
    return _not_given(lacking[0], machine.name) if lacking else ""


def of_placement(mapping: PlacedNetwork) -> dict[str, float]:
    """Return the columns that a machine with a network on it shows before anything runs."""
    area = area_of(mapping.machine, mapping.used_tiles)
    return {"occupancy": mapping.occupancy, "area_mm2": area.total_um2 / 1e6 if area else np.nan}


def most_tcdm(schedule: Schedule) -> int:
    """Return the most scratchpad that anything takes on a cluster [bytes]."""
    sizes = [layer.tcdm_bytes for layer in schedule.layers]
    return max([*sizes, *(op.tcdm_bytes for op in schedule.ops)], default=0)


def measured(
    layers: tuple[LayerDecision, ...], mapping: PlacedNetwork, tokens: int
) -> dict[str, int]:
    """Return the columns that decisions and placement show by themselves."""
    adapted = [layer for layer in layers if layer.choice is not None]
    if adapted:
        batch = min(layer.batch for layer in adapted)
    else:  # layers that work once per sequence have no batches
        batch = max((layer.batch for layer in layers), default=tokens)
    return {
        "batch": batch,
        "buffers": min((layer.buffers for layer in adapted), default=0),
        "tiles": mapping.tiles,
        "crossbars": mapping.crossbars,
    }


def _yardstick_ps(strategy: Strategy, job: Job, latency: int, run: Engine) -> int:
    """Return the latency without adapter work [ps]."""
    if (against := yardstick(strategy, job)) is None:
        return latency
    other, bare = against
    return carry_out(other.schedule(bare), job.machine, run).makespan


def _layer_by_layer_ps(strategy: Strategy, job: Job, run: Engine) -> float:
    """Return the latency of all-analog layers in turn [ps]; no number for whole networks."""
    if isinstance(strategy, NetworkStrategy):
        return np.nan
    return carry_out(LAYER_BY_LAYER.schedule(job), job.machine, run).makespan
