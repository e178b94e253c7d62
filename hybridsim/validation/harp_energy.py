"""HARP's published energies beside those of the simulator, row by row.

Digital energy compares as it stands: node power x busy time, link, DDR. HARP's analog sums leave
layers out, as reading its ``summarize_energy`` shows: of layers that start at the same instant on
one tile only the first counts; and a layer is taken for counted if its name begins that of a layer
counted before on another tile, which loses block 1 where there are blocks 10 and more. So the
analog energy is given twice: of all layers, and as HARP counts. Static energy is in neither, as
HARP has none.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hybridsim.errors import InputError
from hybridsim.measure.charge import ANALOG
from hybridsim.measure.energy import PJ, RunEnergy, energy_of_run
from hybridsim.strategies import Schedule
from hybridsim.validation.harp import compare, executed, read_case

COLUMNS = (
    "simulated_energy_mJ",
    "energy_error_percent",
    "simulated_digital_mJ",
    "digital_error_percent",
    "simulated_analog_mJ",
    "analog_as_counted_mJ",
    "analog_error_percent",
)
"""What is added to a table. The total is digital and analog as HARP counts; errors are of what is
before them, that of the analog part as HARP counts."""
_MJ = 10**9
"""Picojoules of a millijoule."""
_LOST_BLOCK, _TENS = 1, 10
"""The block whose layers HARP's sums lose, and the one whose names begin alike."""


def compare_energies(table: Path | None = None) -> pd.DataFrame:
    """Return the rows of a table with latencies and energies of the simulator.

    Columns of :func:`hybridsim.validation.harp.compare`, then :data:`COLUMNS`; empty where no
    energy is published, or where ``reason`` says why there is no run.

    Raises:
        SpecError: The file is no such table.
    """
    return with_energies(compare(table))


def with_energies(compared: pd.DataFrame) -> pd.DataFrame:
    """Return compared rows with :data:`COLUMNS` before the reason."""
    added = [_energies(row) for row in compared.to_dict("records")]
    frame = compared.drop(columns="reason")
    for name in COLUMNS:
        frame[name] = pd.array([row.get(name) for row in added], dtype="Float64").astype(float)
    frame["reason"] = compared["reason"]
    return frame


def _energies(row: Mapping[Any, Any]) -> dict[str, float]:
    """Return what is added to a row; nothing if no energy is published or nothing ran."""
    total = _published(str(row.get("energy_mJ", "")))
    digital = _published(_parameters(str(row["other_params"])).get("digital_mj", ""))
    analog = _published(str(row.get("analog_energy_mJ", "")))
    if row["reason"] or total is None:
        return {}
    try:
        job, schedule, timeline = executed(read_case(row))
        run = energy_of_run(job, schedule, timeline)
    except InputError:
        return {}
    if run is None:
        return {}
    ours = {name: value / PJ / _MJ for name, value in _parts(run, schedule).items()}
    found = {
        "simulated_energy_mJ": ours["digital"] + ours["counted"],
        "energy_error_percent": _error(ours["digital"] + ours["counted"], total),
        "simulated_digital_mJ": ours["digital"],
        "digital_error_percent": _error(ours["digital"], digital),
        "simulated_analog_mJ": ours["analog"],
        "analog_as_counted_mJ": ours["counted"],
        "analog_error_percent": _error(ours["counted"], analog),
    }
    return {name: value for name, value in found.items() if value is not None}


def _parts(run: RunEnergy, schedule: Schedule) -> dict[str, int]:
    """Return digital and analog energy, and the analog energy as HARP counts [aJ]."""
    analog = sum(run.by_component.get(part, 0) for part in ANALOG)
    lost = sum(run.mvm_by_layer[name] for name in _not_counted(schedule))
    return {
        "digital": sum(run.by_component.values()) - analog,
        "analog": analog,
        "counted": analog - lost,
    }


def _not_counted(schedule: Schedule) -> Iterator[str]:
    """Yield the layers that HARP's sums leave out."""
    layers = {decided.layer.name: decided.layer for decided in schedule.layers}
    tens = any(layer.op.block == _TENS for layer in layers.values())
    for name, layer in layers.items():
        carrier = schedule.carried_by.get(name)
        beside = carrier is not None and set(layer.tiles) <= set(layers[carrier].tiles)
        if beside or (tens and layer.op.block == _LOST_BLOCK):
            yield name


def _parameters(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";"))
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def _published(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


def _error(simulated: float, published: float | None) -> float | None:
    return None if published is None else (simulated / published - 1) * 100


def energy_summary(compared: pd.DataFrame) -> dict[str, Any]:
    """Return how many energies were compared, and the largest errors of each kind [%]."""
    found: dict[str, Any] = {"energies": int(compared["energy_error_percent"].notna().sum())}
    for kind in ("energy", "digital", "analog"):
        error = compared[f"{kind}_error_percent"].dropna().abs()
        found[f"largest_{kind}_error_percent"] = float(error.max()) if len(error) else None
        found[f"{kind}_within_5_percent"] = int((error <= 5).sum())
    return found
