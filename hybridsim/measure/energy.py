"""Energy of a run: per task, per part, per layer, over time, and in all, as integers [aJ]."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hybridsim.measure.area import static_uw, tdp_uw
from hybridsim.measure.charge import COMPONENTS, MOST_AJ, Charge, exact_sum, is_analog
from hybridsim.measure.charges import Charges
from hybridsim.measure.energy_result import EnergyResult
from hybridsim.plan import Plan, Timeline
from hybridsim.records import record
from hybridsim.strategies import Job, Schedule
from hybridsim.units import Ints
from hybridsim.workload import Attention, Experts

if TYPE_CHECKING:
    import pandas as pd

PJ = 10**6
"""Attojoules of a picojoule."""


@record(frozen=True)
class RunEnergy:
    """What a run draws, task by task; totals are the sums of these, to the attojoule."""

    plan: Plan
    timeline: Timeline
    charges: tuple[Charge, ...]
    static_uw: dict[str, int]
    """Part -> power drawn all the time [uW]."""
    mvm_by_layer: dict[str, int]
    """Layer -> what its MVMs draw, also where another op carries them [aJ]."""
    not_counted: tuple[str, ...]
    """Kinds of parts that work in the run without a known energy."""

    def of_tasks(self, component: str) -> Ints:
        """Return what each task draws in one part, shape (tasks,) [aJ]."""
        return self._by_task([c for c in self.charges if c.told == component])

    @cached_property
    def by_task(self) -> Ints:
        """What each task draws in all parts together, shape (tasks,) [aJ]."""
        return self._by_task(self.charges)

    def _by_task(self, charges: Sequence[Charge]) -> Ints:
        most = sum(int(charge.aj.max(initial=0)) for charge in charges)
        found = np.zeros(len(self.plan), object if most > MOST_AJ else np.int64)
        for charge in charges:
            np.add.at(found, charge.tasks, charge.aj)
        return found

    @cached_property
    def by_component(self) -> dict[str, int]:
        """Part -> what its work draws [aJ]; parts that draw nothing are left out."""
        total = dict.fromkeys(COMPONENTS, 0)
        for charge in self.charges:
            total[charge.told] = total.get(charge.told, 0) + exact_sum(charge.aj)
        return {component: aj for component, aj in total.items() if aj}

    @cached_property
    def static(self) -> dict[str, int]:
        """Part -> what it draws for being there over the run [aJ]."""
        return {part: power * self.timeline.makespan for part, power in self.static_uw.items()}

    @property
    def total(self) -> int:
        """Work and static energy together [aJ]."""
        return sum(self.by_component.values()) + sum(self.static.values())

    @cached_property
    def by_op(self) -> dict[str, int]:
        """Op or layer -> what its tasks draw [aJ]; MVMs count for the layer whose weights work."""
        each = self.by_key(self.plan.op, len(self.plan.ops))
        return dict(zip(self.plan.ops, each, strict=True))

    def by_key(self, key: Ints, count: int, component: str | None = None) -> list[int]:
        """Return what the tasks of each key from 0 to ``count`` draw [aJ], whatever the sum.

        ``component`` is the part that is asked for, all together unless given.
        """
        each = [0] * count
        drawn = self.by_task if component is None else self.of_tasks(component)
        whole, rest = drawn // 2**20, drawn % 2**20
        for part, scale in ((whole, 2**20), (rest, 1)):
            total = np.zeros(count, part.dtype)
            np.add.at(total, key, part)
            each = [old + int(new) * scale for old, new in zip(each, total, strict=True)]
        return each


def energy_of_run(job: Job, schedule: Schedule, timeline: Timeline) -> RunEnergy | None:
    """Return what a run draws, or None where the machine has no energies."""
    if job.machine.energy is None:
        return None
    found = Charges(job, schedule, timeline)
    charges = tuple(found.all())
    return RunEnergy(
        schedule.plan,
        timeline,
        charges,
        static_uw(job.machine, job.mapping.used_tiles),
        found.by_layer,
        found.not_counted,
    )


Floats = NDArray[np.float64]


def power_curve(energy: RunEnergy) -> "pd.DataFrame":
    """Return one row per stretch of constant power: time_ps, duration_ps, power_w and parts.

    ``time_ps`` is where a stretch begins; ``<part>_w`` what the work of a part draws, ``static_w``
    what parts draw for being there, ``power_w`` all of it. The energy of a task is taken as even
    over its time, so the integral of each column is its energy (to rounding of floats).
    """
    import pandas as pd  # slow to import

    edges = _edges(energy.timeline, energy.charges)
    columns = {
        f"{part}_w": _drawn(energy.timeline, edges, [c for c in energy.charges if c.told == part])
        for part in energy.by_component
    }
    static = sum(energy.static_uw.values()) * 1e-6
    table = pd.DataFrame({"time_ps": edges[:-1], "duration_ps": np.diff(edges), **columns})
    table["static_w"] = static
    table["power_w"] = table[[*columns, "static_w"]].sum(axis=1)
    return table


def peak_power_w(energy: RunEnergy) -> float:
    """Return the most that a run draws at an instant [W]."""
    edges = _edges(energy.timeline, energy.charges)
    static = sum(energy.static_uw.values()) * 1e-6
    drawn = _drawn(energy.timeline, edges, list(energy.charges))
    return float(drawn.max(initial=0.0)) + static


def _edges(timeline: Timeline, charges: tuple[Charge, ...]) -> Ints:
    """Return every instant at which a charged task starts or ends, from 0 to the makespan."""
    charged = np.zeros(len(timeline.end), np.bool_)
    for charge in charges:
        charged[charge.tasks] = True
    times = ([0, timeline.makespan], timeline.start[charged], timeline.end[charged])
    ordered: Ints = np.sort(np.concatenate(times).astype(np.int64))
    edges: Ints = ordered[np.append(True, ordered[1:] != ordered[:-1])]
    return edges


def _drawn(timeline: Timeline, edges: Ints, charges: list[Charge]) -> Floats:
    """Return the power of some charges between each two edges [W]; 1 aJ / ps is 1 uW."""
    change = np.zeros(len(edges), np.float64)
    for charge in charges:
        start, end = timeline.start[charge.tasks], timeline.end[charge.tasks]
        power = charge.aj.astype(np.float64) / (end - start) * 1e-6
        np.add.at(change, np.searchsorted(edges, start), power)
        np.add.at(change, np.searchsorted(edges, end), -power)
    # what is left of differences of floats is no power
    found: Floats = np.maximum(np.cumsum(change)[:-1], 0.0)
    return found


def energy_result(
    job: Job, schedule: Schedule, timeline: Timeline, yardstick: tuple[Schedule, Timeline]
) -> EnergyResult | None:
    """Return what a run draws, beside its yardstick; None where that is unknown."""
    found = energy_of_run(job, schedule, timeline)
    if found is None:
        return None
    alone = found
    if yardstick[0] is not schedule:
        other = energy_of_run(job, *yardstick)
        assert other is not None
        alone = other
    macs, time = macs_of(job, schedule), timeline.makespan
    total = found.total
    analog = sum(aj for part, aj in found.by_component.items() if is_analog(part))
    tdp = tdp_uw(job.machine, job.mapping.used_tiles)
    return EnergyResult(
        total_pj=total / PJ,
        analog_pj=analog / PJ,
        digital_pj=(sum(found.by_component.values()) - analog) / PJ,
        static_pj=sum(found.static.values()) / PJ,
        yardstick_pj=alone.total / PJ,
        per_token_pj=total / PJ / job.tokens,
        macs=macs,
        tops_per_watt=2 * macs * PJ / total if total else 0.0,
        edp_js=total * 1e-18 * time * 1e-12,
        average_power_w=total / time * 1e-6 if time else 0.0,
        peak_power_w=peak_power_w(found),
        tdp_w=None if tdp is None else tdp * 1e-6,
        component_aj=found.by_component,
        static_aj=found.static,
        op_aj=_by_layer(found, schedule),
        not_counted=found.not_counted,
    )


def _by_layer(found: RunEnergy, schedule: Schedule) -> dict[str, int]:
    """Return what each op draws, MVMs that another op carries given to their layer."""
    each = dict(found.by_op)
    for layer, carrier in schedule.carried_by.items():
        moved = found.mvm_by_layer.get(layer, 0)
        each[layer] = each.get(layer, 0) + moved
        each[carrier] -= moved
    return each


def macs_of(job: Job, schedule: Schedule) -> int:
    """Return the multiply-accumulates of the linear layers, their adapters, and attention.

    Adapters take r (in + out) per token, attention 2 x keys x width per query.
    """
    total = 0
    for decided in schedule.layers:
        op, tokens = decided.layer.op, job.sequences * job.tokens_of(decided.layer)
        count, inputs, outputs = op.matrices
        # a vector passes through one expert, but through the matrices of all groups
        total += tokens * inputs * outputs * (1 if isinstance(op, Experts) else count)
        if decided.choice is not None and decided.layer.adapter is not None:
            rank = decided.layer.adapter.rank
            total += tokens * rank * (op.in_features + op.out_features)
    for other in schedule.ops:
        if isinstance(other.op, Attention):
            keys = job.mapping.network.keys(other.op, job.tokens, job.past)
            total += 2 * other.tokens * keys * other.op.heads * other.op.head_dim
    return total
