"""The price of a model's side paths on a machine: kinds of layers, and all of it."""

from collections import Counter
from typing import Any

import torch

from hybridsim.analog import AnalogSettings
from hybridsim.arch import Machine
from hybridsim.programs.side_path import SidePathCost, side_path_cost
from hybridsim.training.linear import OnTiles

_PS_PER_US, _AJ_PER_NJ = 10**6, 10**9
WHOLE = "all"
"""In place of a kind of layers."""


def side_path_rows(
    model: OnTiles, settings: AnalogSettings, machine: Machine, tokens: int
) -> list[dict[str, Any]]:
    """Return a row per kind of layers and one of all, computed by loops and by streams.

    Layers follow one another; a kind is the end of their names.

    Raises:
        UnsupportedError: The machine has no cluster, or does not tell what its parts draw.
    """
    rows = []
    for indirection in (False, True):
        groups: dict[str, list[tuple[int, int, SidePathCost]]] = {}
        for name, layer in model.static_layers().items():
            side = layer.kept_digital(settings)
            if side is None:
                continue
            outputs, inputs = layer.weight.shape
            counts = torch.bincount(side.indices()[0], minlength=outputs).tolist()
            cost = side_path_cost(machine, inputs, outputs, counts, tokens, indirection)
            entry = (sum(counts), outputs * inputs, cost)
            groups.setdefault(".".join(name.split(".")[-2:]), []).append(entry)
        if groups:
            groups[WHOLE] = [entry for group in groups.values() for entry in group]
        rows += [{"streams": indirection} | _row(kind, each) for kind, each in groups.items()]
    return rows


def _row(kind: str, group: list[tuple[int, int, SidePathCost]]) -> dict[str, Any]:
    costs = [cost for _, _, cost in group]
    kept, weights = sum(k for k, _, _ in group), sum(w for _, w, _ in group)
    microseconds = {
        "cores_us": [c.cores_ps for c in costs], "moved_us": [c.moved_ps for c in costs],
        "tiles_us": [c.tile_ps for c in costs],
        "added_least_us": [c.least_added_ps for c in costs],
        "added_most_us": [c.most_added_ps for c in costs],
    }  # fmt: skip
    loop, _ = Counter(c.loop for c in costs).most_common(1)[0]
    return {
        "layers": kind, "count": len(group), "loop": loop,
        "kept": kept, "kept_percent": round(100 * kept / weights, 4),
        **{name: round(sum(each) / _PS_PER_US, 3) for name, each in microseconds.items()},
        "energy_nj": round(sum(c.energy_aj for c in costs) / _AJ_PER_NJ, 2),
        "tiles_nj": round(sum(c.tile_aj for c in costs) / _AJ_PER_NJ, 2),
    }  # fmt: skip
