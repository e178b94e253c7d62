"""A run as it lies in a folder: its plan, when each task ran, and where the numbers came from."""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hybridsim.boundary.reading import MOST_OWN_DIGITS, json_of, read_own
from hybridsim.errors import SpecError
from hybridsim.measure.energy import energy_of_run
from hybridsim.measure.occupancy import tcdm_occupancy
from hybridsim.plan import Loop, Plan, Resource, Timeline
from hybridsim.report.page.energy import COLUMNS as _POWER
from hybridsim.report.page.energy import energy_parts, energy_work, power_steps
from hybridsim.simulation import Run
from hybridsim.units import format_bytes
from hybridsim.work import Work

FILE = "timeline.npz"
"""Name of the file in a folder of results."""
MOST_UNPACKED = 8 * 2**30
"""The largest timeline that is read, unpacked [bytes]: some 10^8 tasks."""
_FORMAT = 1
_COLUMNS = ("use_first", "use", "need_first", "need", "room", "op", "item")
_OCCUPANCY = ["cluster", "time_ps", "bytes"]
_TIMES = ("ready", "start", "end")
_WORK = ["op", "work", "aj"]
_FLOWS = ["op", "part", "amount"]


@dataclass(frozen=True, slots=True)
class Recording:
    """The tasks of a run with their times, and what a result does not carry."""

    plan: Plan
    timeline: Timeline
    sources: Mapping[str, str] = field(default_factory=dict)
    """Dotted path of the machine -> where the value comes from."""
    occupancy: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=_OCCUPANCY))
    """What lies in the scratchpads: see :func:`hybridsim.measure.occupancy.tcdm_occupancy`."""
    power: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=[*_POWER]))
    """Power over time, see :func:`hybridsim.report.page.energy.power_steps`; empty if unknown."""
    work: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=_WORK))
    """Energy by op and work, see :func:`hybridsim.report.page.energy.energy_work`."""
    flows: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=_FLOWS))
    """Energy by op and part, see :func:`hybridsim.report.page.energy.energy_parts`."""

    def to_bytes(self) -> bytes:
        """Return a compressed NumPy archive; the same run gives the same bytes."""
        plan = self.plan
        columns = {name: getattr(plan, name) for name in _COLUMNS}
        columns |= {name: getattr(self.timeline, name) for name in _TIMES}
        columns["action"] = plan.label
        if plan.order is not None:
            columns["order"] = plan.order
        head: dict[str, Any] = {
            "format": _FORMAT,
            "resources": [[getattr(r, f.name) for f in fields(r)] for r in plan.resources],
            "ops": plan.ops,
            "actions": plan.labels,
            "loops": [[loop.first, loop.size, loop.count] for loop in plan.loops],
            "sources": dict(self.sources),
            "clusters": list(dict.fromkeys(self.occupancy["cluster"])),
            "power": [str(name) for name in self.power if name not in _POWER[:2]],
            "work": self.work[_WORK].to_numpy(object).tolist(),
            "flows": self.flows[_FLOWS].to_numpy(object).tolist(),
        }
        place = {name: index for index, name in enumerate(head["clusters"])}
        columns["tcdm_cluster"] = self.occupancy["cluster"].map(place).to_numpy(np.int64)
        columns["tcdm_time"] = self.occupancy["time_ps"].to_numpy(np.int64)
        columns["tcdm_bytes"] = self.occupancy["bytes"].to_numpy(np.int64)
        columns["power_time"] = self.power[[*_POWER[:2]]].to_numpy(np.int64)
        columns["power_w"] = self.power[head["power"]].to_numpy(np.float64)
        text = np.frombuffer(json.dumps(head).encode(), np.uint8)
        file = io.BytesIO()
        np.savez_compressed(file, head=text, **columns)
        return file.getvalue()


def read_recording(path: Path) -> Recording:
    """Return what :meth:`Recording.to_bytes` wrote.

    Raises:
        SpecError: The file is missing, holds no recording, or has changed since it was written.
    """
    would_do = "what hybridsim run --out wrote would do"
    raw = read_own(path, would_do=would_do)
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as file:
            _check_sizes(path, file.zip)
            head = json_of(bytes(file["head"]), str(path), MOST_OWN_DIGITS)
            if head["format"] != _FORMAT:
                raise SpecError(str(path), "", f"has format {head['format']}; {would_do}")
            columns = {name: file[name] for name in file.files if name != "head"}
        return _recording(head, columns)
    except SpecError:
        raise
    except Exception:  # readers of archives raise whatever a broken one makes of them
        raise SpecError(str(path), "", f"is no timeline; {would_do}") from None


def _check_sizes(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse an archive whose members are larger than memory should have to hold."""
    size = sum(member.file_size for member in archive.infolist())
    if size > MOST_UNPACKED:
        most = format_bytes(MOST_UNPACKED)
        raise SpecError(str(path), "", f"is more than {most} when unpacked; at most that is read")


def _recording(head: dict[str, Any], columns: dict[str, Any]) -> Recording:
    plan = Plan(
        resources=tuple(Resource(*values) for values in head["resources"]),
        ops=tuple(head["ops"]),
        works=tuple(Work("recorded", "", label) for label in head["actions"]),
        work=columns["action"],
        loops=tuple(Loop(*values) for values in head["loops"]),
        order=columns.get("order"),
        **{name: columns[name] for name in _COLUMNS},
    )
    timeline = Timeline(*(columns[name] for name in _TIMES))
    if not len(plan) == len(timeline.ready) == len(timeline.start) == len(timeline.end):
        raise ValueError("as many times as tasks")
    names = np.array(head["clusters"], dtype=object)
    occupancy = pd.DataFrame(
        {
            "cluster": names[columns["tcdm_cluster"]],
            "time_ps": columns["tcdm_time"],
            "bytes": columns["tcdm_bytes"],
        }
    )
    return Recording(plan, timeline, head["sources"], occupancy, *_energies(head, columns))


def _energies(
    head: dict[str, Any], columns: dict[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return power over time, and energy by op; empty where an older version left none."""
    flows = pd.DataFrame(head.get("flows", []), columns=_FLOWS).astype({"amount": object})
    if "power" not in head:
        return pd.DataFrame(columns=[*_POWER]), pd.DataFrame(columns=_WORK), flows
    power = pd.DataFrame(columns["power_time"], columns=[*_POWER[:2]])
    power[head["power"]] = columns["power_w"]
    return power, pd.DataFrame(head["work"], columns=_WORK).astype({"aj": object}), flows


def record(run: Run, sources: Mapping[str, str]) -> Recording:
    """Return what a folder of results keeps of a run."""
    plan, timeline = run.schedule.plan, run.timeline
    found = Recording(plan, timeline, sources, tcdm_occupancy(run))
    energy = energy_of_run(run.job, run.schedule, timeline)
    if energy is None:
        return found
    return replace(
        found,
        power=power_steps(energy),
        work=energy_work(run, energy),
        flows=energy_parts(energy),
    )
