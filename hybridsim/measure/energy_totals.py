"""From the energy of every task to what a result tells of it."""

from hybridsim.measure.area import tdp_uw
from hybridsim.measure.charges import ANALOG
from hybridsim.measure.energy import PJ, RunEnergy, energy_of_run
from hybridsim.measure.energy_result import EnergyResult
from hybridsim.measure.power import peak_power_w
from hybridsim.plan import Timeline
from hybridsim.strategies import Job, Schedule
from hybridsim.workload import Attention


def energy_result(
    job: Job, schedule: Schedule, timeline: Timeline, bare: tuple[Schedule, Timeline]
) -> EnergyResult | None:
    """Return what a run draws, beside the run without adapters; None where that is unknown."""
    found = energy_of_run(job, schedule, timeline)
    if found is None:
        return None
    without = found
    if bare[0] is not schedule:
        other = energy_of_run(job, *bare)
        assert other is not None
        without = other
    macs, time = macs_of(job, schedule), timeline.makespan
    total = found.total
    analog = sum(found.by_component.get(part, 0) for part in ANALOG)
    tdp = tdp_uw(job.machine, job.mapping.tiles)
    return EnergyResult(
        total_pj=total / PJ,
        analog_pj=analog / PJ,
        digital_pj=(sum(found.by_component.values()) - analog) / PJ,
        static_pj=sum(found.static.values()) / PJ,
        without_adapters_pj=without.total / PJ,
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
        total += tokens * op.in_features * op.out_features
        if decided.choice is not None and decided.layer.adapter is not None:
            rank = decided.layer.adapter.rank
            total += tokens * rank * (op.in_features + op.out_features)
    for other in schedule.ops:
        if isinstance(other.op, Attention):
            keys = job.mapping.network.keys(other.op, job.tokens, job.past)
            total += 2 * other.tokens * keys * other.op.heads * other.op.head_dim
    return total
