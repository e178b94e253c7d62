"""The joint answer: a table of all points, its Pareto front, and the adapter to ship."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hybridsim._version import __version__
from hybridsim.codesign.points import Point, Simulator, Watch, format_exact, placed, points_of
from hybridsim.codesign.results import read_candidates
from hybridsim.codesign.study import NUMERIC, CodesignStudy, read_codesign_study
from hybridsim.errors import SpecError
from hybridsim.measure.result import Result
from hybridsim.sweeps.columns import parse_constraint
from hybridsim.sweeps.pareto import pareto


@dataclass(frozen=True, slots=True)
class CodesignResult:
    """The answer of a study."""

    study: CodesignStudy
    table: pd.DataFrame
    """One row per point, units in the column names."""
    folder: Path
    """Where the study lies."""
    notes: tuple[str, ...]
    """What to know before believing it, a line each."""

    @property
    def shipped(self) -> dict[str, Any] | None:
        """The row of the adapter to ship; None where no point meets all constraints."""
        rows = self.table[self.table["ship"]]
        return _plain(rows.iloc[0].to_dict()) if len(rows) else None

    def document(self) -> dict[str, Any]:
        """Return all of it as one JSON document; it repeats the study's text."""
        front = self.table[self.table["pareto"]]
        return {
            "hybridsim_version": __version__,
            "study": self.study.to_text(),
            "points": len(self.table),
            "feasible": int(self.table["feasible"].sum()),
            "pareto": [_plain(row) for row in front.to_dict("records")],
            "ship": self.shipped,
            "command": self.command,
            "notes": list(self.notes),
        }

    @property
    def command(self) -> str | None:
        """The command that simulates what is shipped; None where nothing is."""
        row = self.shipped
        if row is None:
            return None
        choice = self.study.machines[row["machine"]]
        changes = {**choice.set, **self.study.set_by_bits.get(row["adc_bits"] or 0, {})}
        changes["tile.integration_time"] = format_exact(row["integration_time_ps"])
        changes |= {"adapters.rank": row["rank"]}
        changes["adapters.targets"] = row["layers"].split()
        options = [f"--set {shlex.quote(f'{k}={_as_yaml(v)}')}" for k, v in changes.items()]
        if self.study.tokens is not None:
            options.insert(0, f"--tokens {self.study.tokens}")
        if row["batch"] is not None:
            options.insert(0, f"--batch {row['batch']}")
        network = placed(self.study.network, self.folder)
        machine = placed(choice.machine, self.folder)
        strategy = f"--strategy {self.study.strategy}"
        return " ".join(
            ["hybridsim run", shlex.quote(network), shlex.quote(machine), strategy, *options]
        )


def run_codesign(path: str | Path, watch: Watch | None = None) -> CodesignResult:
    """Return the answer of a study file, or of ``study.yaml`` in a folder.

    Raises:
        InputError: The study, its results, a machine or the network cannot be used.
    """
    study, file = read_codesign_study(Path(path))
    candidates = read_candidates(study, file.parent)
    points = points_of(study, candidates)
    simulator = Simulator(study, file.parent)
    rows = []
    for done, point in enumerate(points):
        if watch is not None:
            watch(done, len(points))
        rows.append(_row(point, simulator))
    table = _finished(study, rows)
    return CodesignResult(study, table, file.parent, _notes(study, points, rows))


def _row(point: Point, simulator: Simulator) -> dict[str, Any]:
    candidate, found = point.candidate, simulator.result(point)
    row: dict[str, Any] = {
        "results": candidate.folder.name,
        "arm": candidate.arm,
        "rank": candidate.rank,
        "layers": " ".join(simulator.pattern(target) for target in candidate.targets),
        "dac_bits": candidate.dac_bits,
        "adc_bits": candidate.adc_bits,
        "machine": point.machine,
        "integration_time_ps": point.integration_ps,
        "batch": point.batch,
        "output_noise": round(point.output_noise, 6),
        "tested_noise": candidate.output_noise,
        "stands_in": point.stands_in,
        "accuracy_percent": candidate.accuracy_percent,
        "ci95_low": candidate.ci95_low,
        "ci95_high": candidate.ci95_high,
        "seeds": candidate.seeds,
        "chips": candidate.chips,
    }
    row |= _measured(found) if isinstance(found, Result) else {"problem": found}
    return row | {"adapter": str(candidate.adapter)}


def _measured(result: Result) -> dict[str, Any]:
    energy = result.energy
    adapters = [layer.rank * (layer.in_features + layer.out_features) for layer in result.layers]
    return {
        "latency_ps": result.latency_ps,
        "yardstick_ps": result.yardstick_ps,
        "overhead_percent": result.overhead_percent,
        "energy_pj": energy.total_pj if energy else None,
        "energy_overhead_percent": energy.overhead_percent if energy else None,
        "adapter_parameters": sum(adapters),
        "tcdm_bytes": result.tcdm_bytes,
        "problem": "",
    }


def _finished(study: CodesignStudy, rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return the table with slowdown, feasibility, front and the row to ship."""
    measured = (*_MEASURED, "problem")
    table = pd.DataFrame([dict.fromkeys(measured) | row for row in rows])[list(_ORDER)]
    for name in NUMERIC:
        table[name] = pd.array(
            table[name].to_numpy(), dtype="Int64" if name in _WHOLE else "Float64"
        )
    if not (table["problem"] == "").any():
        problem = f"no point can be simulated; the first: {table['problem'].iloc[0]}"
        raise SpecError("study", study.name, problem)
    fastest = float(table["yardstick_ps"].min())
    slower = (table["latency_ps"].astype("Float64") - fastest) * 100 / fastest
    table["slowdown_percent"] = slower
    feasible = table["problem"] == ""
    for text in study.constraints:
        feasible &= parse_constraint(text, NUMERIC).holds(table)
    table["feasible"] = feasible.to_numpy(bool)
    table["pareto"] = pareto(_objectives(study, table), table["feasible"].to_numpy())
    table["ship"] = _to_ship(study, table)
    return table


_MEASURED = (
    "latency_ps", "yardstick_ps", "overhead_percent", "slowdown_percent", "energy_pj",
    "energy_overhead_percent", "adapter_parameters", "tcdm_bytes",
)  # fmt: skip
_WHOLE = (
    "rank", "dac_bits", "adc_bits", "integration_time_ps", "batch", "latency_ps", "yardstick_ps",
    "adapter_parameters", "tcdm_bytes",
)  # fmt: skip
_ORDER = (
    "results", "arm", "rank", "layers", "dac_bits", "adc_bits", "machine", "integration_time_ps",
    "batch", "output_noise", "tested_noise", "stands_in", "accuracy_percent", "ci95_low",
    "ci95_high", "seeds", "chips", "latency_ps", "yardstick_ps", "overhead_percent",
    "slowdown_percent", "energy_pj", "energy_overhead_percent", "adapter_parameters",
    "tcdm_bytes", "adapter", "problem",
)  # fmt: skip
"""Columns of the table; what a point is chosen for stands behind them."""


def _objectives(study: CodesignStudy, table: pd.DataFrame) -> "np.ndarray[Any, np.dtype[Any]]":
    """Return the objectives of each row, smaller being better; NaN where there is no result."""
    columns = []
    for name, direction in study.objectives.items():
        values = table[name].astype("Float64").to_numpy(np.float64, na_value=np.nan)
        ran = values[table["problem"].to_numpy() == ""]
        if np.isnan(ran).any():
            hint = "a machine with an energy section would do, or objectives without energy_pj"
            raise SpecError("study", "objectives", f"{name} of a point is not known; {hint}")
        columns.append(values if direction == "minimise" else -values)
    return np.stack(columns, axis=1)


def _to_ship(study: CodesignStudy, table: pd.DataFrame) -> "np.ndarray[Any, np.dtype[Any]]":
    """Return which row is shipped: at most one."""
    chosen = np.zeros(len(table), bool)
    front = table[table["pareto"]]
    if len(front):
        accuracy = front["accuracy_percent"].astype(float)
        near = front[accuracy >= accuracy.max() - study.ship.within_points]
        best = near.sort_values(list(study.ship.then), kind="stable").index[0]
        chosen[int(best)] = True
    return chosen


def _notes(
    study: CodesignStudy, points: Sequence[Point], rows: Sequence[dict[str, Any]]
) -> tuple[str, ...]:
    notes = [f"output noise over integration time: {study.noise.source}"]
    standing = sum(point.stands_in for point in points)
    if standing:
        notes.append(
            f"{standing} of {len(points)} points have the accuracy of noisier tiles than theirs"
        )
    least = min(point.candidate.seeds for point in points)
    if least < 3:
        runs = "one training run" if least == 1 else "two training runs"
        notes.append(f"some accuracies are of {runs}: their intervals miss its scatter")
    failed = sum(bool(row["problem"]) for row in rows)
    if failed:
        notes.append(f"{failed} of {len(points)} points cannot be simulated; column problem")
    bits = {point.candidate.adc_bits for point in points}
    if len(bits) > 1 and not bits <= set(study.set_by_bits):
        notes.append("energy and time do not depend on converter bits but where set_by_bits says")
    return tuple(notes)


def _as_yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a row with values of plain Python, and None for what is not there."""
    plain = {}
    for name, value in row.items():
        missing = not isinstance(value, str) and pd.isna(value)
        plain[name] = None if missing else getattr(value, "item", lambda v=value: v)()
    return plain
