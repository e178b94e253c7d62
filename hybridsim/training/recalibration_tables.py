"""Tables of a study of recalibration: what corrections gain, and what schedules are worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridsim.analog.times import format_time
from hybridsim.training.answers import difference
from hybridsim.training.intervals import Cube, share_interval, t_interval
from hybridsim.training.maintenance import mean_over_time
from hybridsim.training.recalibration_study import RecalibrationStudy

NEVER = "never"
"""In place of the last event."""

Key = tuple[str, int, int, float | None, float]
"""Arm, training seed, chip, last event before or None [s], time [s]."""


@dataclass(frozen=True, slots=True)
class Row:
    """One evaluation."""

    correct: NDArray[np.bool_]
    """Which sentences were answered rightly."""
    flipped: NDArray[np.bool_]
    """Which were answered otherwise than in digital arithmetic."""
    kl: float
    """Mean divergence from the digital outputs [nats]."""


@dataclass(frozen=True, slots=True)
class Known:
    """All evaluations that are known."""

    rows: dict[Key, Row]

    def group(self, arm: str, event: float | None, seconds: float) -> dict[tuple[int, int], Row]:
        """Return (seed, chip) -> evaluation."""
        return {
            (key[1], key[2]): row
            for key, row in self.rows.items()
            if (key[0], key[3], key[4]) == (arm, event, seconds)
        }


def cube_of(group: dict[tuple[int, int], Row], name: str) -> Cube:
    """Return answers of shape (seeds, chips, sentences), of chips that every seed has."""
    seeds = sorted({seed for seed, _ in group})
    chips = [c for c in sorted({c for _, c in group}) if all((s, c) in group for s in seeds)]
    return np.array([[getattr(group[s, c], name) for c in chips] for s in seeds], np.float64)


def table_of(known: Known, arms: Sequence[str], times: Sequence[float]) -> pd.DataFrame:
    """Return one row per arm, time and last event.

    Flips and accuracy have 95 % t-intervals over seeds, chips and sentences; ``fewer_flips`` is
    against doing nothing on the same chips at the same time.
    """
    rows = []
    for arm in arms:
        for time in times:
            events = {k[3] for k in known.rows if k[0] == arm and k[4] == time}
            for event in sorted(events, key=lambda e: -1.0 if e is None else e):
                group = known.group(arm, event, time)
                rows.append(_row(arm, time, event, group, known.group(arm, None, time)))
    return pd.DataFrame(rows)


def _row(
    arm: str,
    time: float,
    event: float | None,
    group: dict[tuple[int, int], Row],
    untouched: dict[tuple[int, int], Row],
) -> dict[str, Any]:
    flipped, correct = cube_of(group, "flipped"), cube_of(group, "correct")
    row: dict[str, Any] = {
        "arm": arm,
        "time": format_time(time),
        "corrected_at": _told(event),
    }
    means = _means(group)
    for name, cube in (("flips", flipped), ("accuracy", correct)):
        low, high = share_interval(cube)
        row |= {f"{name}_percent": means[f"{name}_percent"]}
        row |= {f"{name}_low": round(low, 3), f"{name}_high": round(high, 3)}
    row["kl"] = means["kl"]
    both = {key: row_ for key, row_ in untouched.items() if key in group}
    fewer = cube_of(both, "flipped") - cube_of({k: group[k] for k in both}, "flipped")
    low, high = t_interval(fewer)
    row |= {
        "fewer_flips": round(100 * float(fewer.mean()), 3),
        "fewer_low": round(low, 3),
        "fewer_high": round(high, 3),
        "significant": bool(low > 0 or high < 0),
    }
    seeds, chips, sentences = flipped.shape
    return row | {"seeds": seeds, "chips": chips, "sentences": sentences}


def _means(group: dict[tuple[int, int], Row]) -> dict[str, float]:
    """Return flips and accuracy [%] and the divergence [nats] of some evaluations."""
    return {
        "flips_percent": round(100 * float(cube_of(group, "flipped").mean()), 3),
        "accuracy_percent": round(100 * float(cube_of(group, "correct").mean()), 3),
        "kl": round(float(np.mean([each.kl for each in group.values()])), 6),
    }


def compared(
    corrected: Known, trained: Known, arms: Sequence[str], events: Sequence[float]
) -> pd.DataFrame:
    """Return one row per arm and event: trained on, corrected at once, and nothing done.

    ``fewer_flips`` is what training on flips less than the correction, ``fewer_than_nothing`` than
    doing nothing, both on the same chips.
    """
    rows = []
    for arm in arms:
        for event in events:
            group = trained.group(arm, event, event)
            mended, untouched = (corrected.group(arm, e, event) for e in (event, None))
            both = {key: group[key] for key in group if key in mended and key in untouched}
            if both:
                row = _row(arm, event, event, both, mended)
                beside = _row(arm, event, event, both, untouched)
                row["fewer_than_nothing"] = beside["fewer_flips"]
                row |= {f"fewer_than_nothing_{e}": beside[f"fewer_{e}"] for e in ("low", "high")}
                for name, others in (("corrected", mended), ("nothing", untouched)):
                    same = {key: others[key] for key in both}
                    row |= {f"{name}_{column}": value for column, value in _means(same).items()}
                rows.append(row)
    return pd.DataFrame(rows)


def difference_table(
    known: Known, arms: Sequence[str], times: Sequence[float], controls: Mapping[str, Cube]
) -> pd.DataFrame:
    """Return one row per arm, time, last event and control, which computes digitally.

    Args:
        known: What was tested.
        arms: Arms that were corrected.
        times: When they were tested.
        controls: Control -> its digital answers to the same sentences, (seeds, 1, sentences).
    """
    rows = []
    for arm in arms:
        for time in times:
            events = {k[3] for k in known.rows if k[0] == arm and k[4] == time}
            for event in sorted(events, key=lambda e: -1.0 if e is None else e):
                cube = cube_of(known.group(arm, event, time), "correct")
                place = {"arm": arm, "time": format_time(time), "corrected_at": _told(event)}
                rows += [
                    place | {"against": f"{name}, digital"} | difference(cube, control)
                    for name, control in controls.items()
                ]
    return pd.DataFrame(rows)


def _told(event: float | None) -> str:
    return NEVER if event is None else format_time(event)


def schedule_rows(
    study: RecalibrationStudy, known: Known, arm: str, times: Sequence[float]
) -> list[dict[str, Any]]:
    """Return one row per schedule: flips and accuracy at the end, and their mean over all times.

    Schedules that lack an evaluation are left out.
    """
    values: dict[str, dict[tuple[float | None, float], float]] = {"flipped": {}, "correct": {}}
    for key in {(k[3], k[4]) for k in known.rows if k[0] == arm}:
        group = known.group(arm, *key)
        for name, found in values.items():
            found[key] = 100 * float(cube_of(group, name).mean())
    rows = []
    for name, schedule in study.schedules.items():
        last = max(schedule, default=None)
        try:
            means = [mean_over_time(schedule, times, values[n]) for n in ("correct", "flipped")]
            ends = [values[n][last, times[-1]] for n in ("correct", "flipped")]
        except KeyError:
            continue
        rows.append(
            {
                "schedule": name,
                "events": " ".join(map(format_time, schedule)) or "-",
                "accuracy_mean": round(means[0], 3),
                "accuracy_end": round(ends[0], 3),
                "flips_mean": round(means[1], 3),
                "flips_end": round(ends[1], 3),
            }
        )
    return rows
