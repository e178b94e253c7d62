"""Energy, power and silicon of a run as figures for people, by part, work, layer, and time."""

import re

import numpy as np
import pandas as pd

from hybridsim.measure.charge import ANALOG
from hybridsim.measure.energy import RunEnergy, power_curve
from hybridsim.measure.energy_result import AreaResult, EnergyResult
from hybridsim.measure.result import Result
from hybridsim.report.page.cells import Cell, part_name, percent, shown
from hybridsim.report.page.headline import Figure, count_of
from hybridsim.simulation import Run

MOST_KINDS = 14
"""Kinds of layers and ops with a bar of their own; the others are one bar."""
_PREFIXES = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"), (1e-15, "f"))


def energy_figures(result: Result) -> tuple[Figure, ...]:
    """Return the figures of a result's energy, or nothing where it has none."""
    energy = result.energy
    if energy is None:
        return ()
    return (
        _energy("total_pj", "energy of the run", energy.total_pj, ""),
        _energy("per_token_pj", "per token", energy.per_token_pj, count_of(result)),
        _energy("analog_pj", "analog", energy.analog_pj, "tiles and their periphery"),
        _energy("digital_pj", "digital", energy.digital_pj, "all other parts, at work"),
        *_static(energy),
        _energy(
            "yardstick_pj",
            "without adapters",
            energy.yardstick_pj,
            f"the same network without adapter work; with it {_more(energy)}",
        ),
        _figure("tops_per_watt", "efficiency", energy.tops_per_watt, "TOPS/W", _work(energy)),
        Figure(
            "energy.edp_js",
            "energy-delay product",
            Cell(energy.edp_js, si(energy.edp_js, "J s")),
            "energy of the run x latency",
        ),
        _power("average_power_w", "average power", energy.average_power_w, "energy / latency"),
        _power(
            "peak_power_w",
            "peak power",
            energy.peak_power_w,
            "the most at an instant, each task's energy even over its time",
        ),
        _power("tdp_w", "all parts at work", energy.tdp_w, "the thermal design power"),
    )


def area_figures(area: AreaResult | None) -> tuple[Figure, ...]:
    """Return the silicon by part, largest first, and in all; nothing where it is unknown."""
    if area is None:
        return ()
    parts = sorted(area.component_um2.items(), key=lambda part: -part[1])
    total = area.total_um2
    return (
        *(
            Figure(
                f"area.component_um2.{name}",
                part_name(name),
                Cell(um2, square(um2)),
                percent(um2 * 100 / total),
            )
            for name, um2 in parts
        ),
        Figure("area.total_um2", "in all", Cell(total, square(total)), ""),
    )


def unknowns(result: Result) -> tuple[str, ...]:
    """Return in words what of energy, power and silicon is not known, a sentence each."""
    energy, area = result.energy, result.area
    found = []
    if energy is None:
        found.append(
            "Energy and power are unknown: the machine does not tell what its parts draw."
        )
    else:
        if energy.not_counted:
            found.append(
                f"At work, but what they draw is unknown, so it is left out: "
                f"{_names(energy.not_counted)}."
            )
        if energy.tdp_w is None:
            found.append("The power of all parts at work is unknown, as that of one of them is.")
        if not energy.static_aj:
            found.append("Static power, such as leakage and refresh, is unknown and left out.")
    if area is None:
        found.append("Silicon is unknown: the machine does not tell the areas of its parts.")
    elif area.not_counted:
        found.append(f"Area unknown, so it is left out: {_names(area.not_counted)}.")
    if result.interval is not None and result.interval.not_in_interval:
        names = ", ".join(result.interval.not_in_interval)
        found.append(f"Assumed, not measured on RTL, so not in the intervals: {names}.")
    return tuple(found)


def energy_by_part(energy: EnergyResult) -> pd.DataFrame:
    """Return part, kind (``analog``, ``digital``, ``static``) and aj, largest first.

    The energies add up to the total.
    """
    rows = [
        (part_name(name), "analog" if name in ANALOG else "digital", aj)
        for name, aj in energy.component_aj.items()
    ]
    rows += [(f"{part_name(n)}, static", "static", aj) for n, aj in energy.static_aj.items()]
    rows.sort(key=lambda row: -row[2])
    return pd.DataFrame(rows, columns=["part", "kind", "aj"]).astype({"aj": object})


def energy_by_kind(work: pd.DataFrame) -> pd.DataFrame:
    """Return step, ops, work, aj and total_aj of kinds of layers and ops, the largest first.

    ``work`` is what :func:`hybridsim.report.page.energy.energy_work` returns. Kinds are ops
    whose names differ in numbers alone; the energies add up to those of ``work``.
    """
    kinds = work.assign(step=[re.sub(r"\d+", "*", name) for name in work["op"]])
    counts = {str(step): len(set(names)) for step, names in kinds.groupby("step")["op"]}
    totals: dict[str, int] = {}
    for step, aj in zip(kinds["step"], kinds["aj"], strict=True):
        totals[step] = totals.get(step, 0) + aj
    order = sorted(totals, key=lambda step: -totals[step])
    own = order[: MOST_KINDS if len(order) > MOST_KINDS + 1 else len(order)]
    rest = f"{len(order) - len(own)} other kinds"
    counts[rest] = sum(counts[step] for step in order if step not in own)
    found: dict[tuple[str, str], int] = {}
    for step, what, aj in zip(kinds["step"], kinds["work"], kinds["aj"], strict=True):
        key = (step if step in own else rest, what)
        found[key] = found.get(key, 0) + aj
    sums: dict[str, int] = {}
    for (step, _), aj in found.items():
        sums[step] = sums.get(step, 0) + aj
    place = {step: i for i, step in enumerate([*own, rest])}
    rows = [
        (step, counts[step], what, aj, sums[step])
        for (step, what), aj in sorted(found.items(), key=lambda item: place[item[0][0]])
        if aj
    ]
    columns = ["step", "ops", "work", "aj", "total_aj"]
    return pd.DataFrame(rows, columns=columns).astype({"aj": object, "total_aj": object})


def square(um2: int) -> str:
    """Return an area for people."""
    return f"{um2 / 1e6:,.4g} mm²" if um2 >= 10**4 else f"{um2:,} µm²"


def si(value: float, unit: str) -> str:
    """Return a quantity for people: three digits and a prefix."""
    for size, prefix in _PREFIXES:
        if abs(value) >= size:
            return f"{value / size:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def _energy(key: str, label: str, pj: float, note: str) -> Figure:
    return Figure(f"energy.{key}", label, Cell(pj, shown("energy", pj)), note)


def _power(key: str, label: str, watts: float | None, note: str) -> Figure:
    if watts is None:
        return Figure(f"energy.{key}", label, Cell(None, "unknown"), note)
    return Figure(f"energy.{key}", label, Cell(watts, si(watts, "W")), note)


def _figure(key: str, label: str, value: float, unit: str, note: str) -> Figure:
    return Figure(f"energy.{key}", label, Cell(value, f"{value:.3g} {unit}"), note)


def _static(energy: EnergyResult) -> tuple[Figure, ...]:
    """Return what parts draw for being there, where that is known of any."""
    if not energy.static_aj:
        return ()
    note = f"for being there: {_names(tuple(energy.static_aj))}"
    return (_energy("static_pj", "static", energy.static_pj, note),)


def _more(energy: EnergyResult) -> str:
    """Return how much more a run with adapters takes, as a factor where that reads better."""
    yardstick = energy.yardstick_pj
    if not yardstick:
        return "more"
    over = energy.overhead_percent
    return f"{energy.total_pj / yardstick:.3g} times as much" if over >= 100 else f"{over:+.1f} %"


def _work(energy: EnergyResult) -> str:
    return f"two operations per multiply-accumulate, {si_count(energy.macs)} of those"


def si_count(count: int) -> str:
    """Return a count for people."""
    for size, name in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g} {name}"
    return str(count)


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(part_name(name) for name in names)


WORK = ("mvm", "transfer", "adapter", "other")
"""Work that energy is told for: MVMs on tiles, transfers beside adapters, adapters with what
they load and store, and ops that are no linear layer."""
_TRANSFERS = ("move", "fetch")


def energy_work(run: Run, energy: RunEnergy) -> pd.DataFrame:
    """Return op, work and aj: what the tasks of each op draw, as exact integers.

    MVMs count for the layer whose weights work, also where another op carries them. The energies
    add up to that of all work, without what is static.
    """
    plan, schedule = energy.plan, run.schedule
    layers = {decided.layer.name for decided in schedule.layers}
    found: dict[tuple[str, str], int] = {}
    for (op, action), aj in _by_op_and_action(energy).items():
        key = (op, _kind_of_work(action, op in layers))
        found[key] = found.get(key, 0) + aj
    for layer, carrier in schedule.carried_by.items():
        moved = energy.mvm_by_layer.get(layer, 0)
        for name, aj in ((layer, moved), (carrier, -moved)):
            found[name, "mvm"] = found.get((name, "mvm"), 0) + aj
    place = {name: index for index, name in enumerate(plan.ops)}
    ordered = sorted(found, key=lambda key: (place.get(key[0], len(place)), WORK.index(key[1])))
    rows = [(op, work, found[op, work]) for op, work in ordered if found[op, work]]
    return pd.DataFrame(rows, columns=["op", "work", "aj"]).astype({"aj": object})


FOR_BEING_THERE = "being there"
"""What static energy is drawn for, beside ops."""


def energy_parts(energy: RunEnergy) -> pd.DataFrame:
    """Return op, part and amount [aJ]: what each part draws for each op, and for being there.

    The amounts add up to the energy of the run. MVMs count for the op whose tasks do them.
    """
    ops = energy.plan.ops
    rows = [
        (op, part, aj)
        for part in energy.by_component
        for op, aj in zip(ops, energy.by_key(energy.plan.op, len(ops), part), strict=True)
        if aj
    ]
    rows += [(FOR_BEING_THERE, part, aj) for part, aj in energy.static.items() if aj]
    return pd.DataFrame(rows, columns=["op", "part", "amount"]).astype({"amount": object})


def _kind_of_work(action: str, layer: bool) -> str:
    if action == "mvm":
        return "mvm"
    if action in _TRANSFERS:
        return "transfer"
    return "adapter" if layer else "other"


def _by_op_and_action(energy: RunEnergy) -> dict[tuple[str, str], int]:
    """Return what the tasks of each op and action draw [aJ], whatever the sum's size."""
    plan = energy.plan
    count = len(plan.labels)
    key = plan.op * count + plan.label
    total = energy.by_key(key, len(plan.ops) * count)
    return {
        (plan.ops[place // count], plan.labels[place % count]): aj
        for place, aj in enumerate(total)
        if aj
    }


MOST_STRETCHES = 400
"""Stretches that are kept; of more, as many of equal length."""
COLUMNS = ("start_ps", "end_ps", "power_w", "peak_w")
"""What is told of each stretch, beside ``<part>_w`` of each part and ``static_w``."""


def power_steps(energy: RunEnergy, most: int = MOST_STRETCHES) -> pd.DataFrame:
    """Return start_ps, end_ps, ``<part>_w``, static_w, power_w and peak_w, a row per stretch.

    Where power changes more than ``most`` times, a row is the mean of a stretch of equal length,
    and ``peak_w`` the most in it, so that the integral of every column but that one is its energy
    all the same (to rounding of floats).
    """
    curve = power_curve(energy)
    start = curve["time_ps"].to_numpy(np.int64)
    edges = np.append(start, start[-1:] + curve["duration_ps"].to_numpy(np.int64)[-1:])
    names = [str(name) for name in curve if str(name).endswith("_w")]
    if len(curve) <= most:
        table = pd.DataFrame({"start_ps": edges[:-1], "end_ps": edges[1:]})
        table[names] = curve[names]
        table["peak_w"] = table["power_w"]
        return table
    last = int(edges[-1])
    cuts = np.array([place * last // most for place in range(most + 1)], np.int64)
    table = pd.DataFrame({"start_ps": cuts[:-1], "end_ps": cuts[1:]})
    length = np.diff(edges)
    for name in names:
        drawn = np.concatenate(([0.0], np.cumsum(curve[name].to_numpy(np.float64) * length)))
        table[name] = np.diff(np.interp(cuts, edges, drawn)) / np.diff(cuts)
    first = np.searchsorted(edges, cuts[:-1], side="right") - 1
    after = np.searchsorted(edges, cuts[1:], side="left")
    power = curve["power_w"].to_numpy(np.float64)
    table["peak_w"] = [
        float(power[a:b].max()) for a, b in zip(first.tolist(), after.tolist(), strict=True)
    ]
    return table
