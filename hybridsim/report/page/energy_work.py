"""Energy of each op by the work that draws it: MVMs, transfers, adapters, all else."""

import numpy as np
import pandas as pd

from hybridsim.measure.energy import RunEnergy
from hybridsim.simulation import Run

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
        key = (op, _work(action, op in layers))
        found[key] = found.get(key, 0) + aj
    for layer, carrier in schedule.carried_by.items():
        moved = energy.mvm_by_layer.get(layer, 0)
        for name, aj in ((layer, moved), (carrier, -moved)):
            found[name, "mvm"] = found.get((name, "mvm"), 0) + aj
    place = {name: index for index, name in enumerate(plan.ops)}
    ordered = sorted(found, key=lambda key: (place.get(key[0], len(place)), WORK.index(key[1])))
    rows = [(op, work, found[op, work]) for op, work in ordered if found[op, work]]
    return pd.DataFrame(rows, columns=["op", "work", "aj"]).astype({"aj": object})


def _work(action: str, layer: bool) -> str:
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
    total = [0] * (len(plan.ops) * count)
    whole, rest = np.divmod(energy.by_task, 2**20)
    for part, scale in ((whole, 2**20), (rest, 1)):
        added = np.zeros(len(total), np.int64)
        np.add.at(added, key, part)
        total = [old + int(new) * scale for old, new in zip(total, added, strict=True)]
    return {
        (plan.ops[place // count], plan.labels[place % count]): aj
        for place, aj in enumerate(total)
        if aj
    }
