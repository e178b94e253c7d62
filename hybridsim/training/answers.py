"""Tables of a study: accuracy over time per arm, differences between arms, and its trainings.

``ci95_low`` and ``ci95_high`` are the t-interval over seeds, chips and sentences; the bootstrap
stands beside it as ``boot95_low`` and ``boot95_high`` (:mod:`.intervals`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridsim.analog.times import format_time, in_order
from hybridsim.boundary.reading import read_own, read_own_json
from hybridsim.csv_files import read_table
from hybridsim.errors import InputError
from hybridsim.training.files import DIGITAL, Key
from hybridsim.training.intervals import (
    Cube,
    bootstrap,
    paired,
    percentiles,
    share_interval,
    t_interval,
)


def cube_of(correct: Mapping[Key, NDArray[Any]], arm: str, where: float | None) -> Cube | None:
    """Return all evaluations of an arm at a time, or digital ones for None; None if any lacks.

    One lacks where another time of the arm was tested on more seeds or chips. The digital
    evaluation has a single chip.
    """
    of_arm = [k for k in correct if k[0] == arm]
    keys = [k for k in of_arm if _matches(k, where)]
    seeds, chips = sorted({k[1] for k in keys}), sorted({k[2] for k in keys})
    most = max(Counter(k[3] for k in of_arm if k[2] != DIGITAL).values(), default=0)
    lacks = where is not None and len(keys) < most
    if not keys or lacks or len(keys) != len(seeds) * len(chips):
        return None
    seconds = 0.0 if where is None else where
    rows = [[correct[arm, s, c, seconds] for c in chips] for s in seeds]
    return np.array(rows, np.float64)


def _matches(key: Key, where: float | None) -> bool:
    return key[2] == DIGITAL if where is None else key[2] != DIGITAL and key[3] == where


def _chips(correct: Mapping[Key, NDArray[Any]], arm: str, where: float | None) -> set[int]:
    """Return the chips that an arm was tested on at a time."""
    return {key[2] for key in correct if key[0] == arm and _matches(key, where)}


def accuracy_table(
    correct: Mapping[Key, NDArray[np.bool_]], arms: Mapping[str, str]
) -> pd.DataFrame:
    """Return one row per arm and time: accuracy [%], its deviations and interval."""
    rows = []
    for arm in arms:
        for where in _times(correct):
            cube = cube_of(correct, arm, where)
            if cube is not None:
                rows.append(_row(arm, where, cube))
    return pd.DataFrame(rows)


def _row(arm: str, where: float | None, cube: Cube) -> dict[str, Any]:
    means = 100 * cube.mean(axis=2)
    seeds, chips, sentences = cube.shape
    return {
        "arm": arm,
        "time": "digital" if where is None else format_time(where),
        "accuracy_percent": round(float(means.mean()), 3),
        "sd_chips": round(float(means.std(axis=1, ddof=1).mean()), 3) if chips > 1 else 0.0,
        "sd_seeds": round(float(means.mean(axis=1).std(ddof=1)), 3) if seeds > 1 else 0.0,
        **_ends(share_interval(cube), percentiles(bootstrap(cube))),
        "seeds": seeds,
        "chips": chips if where is not None else 0,
        "sentences": sentences,
    }


def difference_table(
    correct: Mapping[Key, NDArray[np.bool_]], arms: Mapping[str, str], controls: Sequence[str]
) -> pd.DataFrame:
    """Return every arm against each control: computed digitally, and on the same chips and time.

    A difference is significant where its t-interval excludes zero.
    """
    rows = []
    for control in controls:
        for arm in arms:
            for where in _times(correct):
                rows += _against(correct, arm, where, control)
    return pd.DataFrame(rows)


def _against(
    correct: Mapping[Key, NDArray[np.bool_]], arm: str, where: float | None, control: str
) -> list[dict[str, Any]]:
    """Return the rows of an arm at a time against a control.

    On the same chips only where both were tested on the same: one may have run on more by now.
    """
    rows: list[dict[str, Any]] = []
    cube = cube_of(correct, arm, where)
    if cube is None:
        return rows
    digital, same = cube_of(correct, control, None), None
    if _chips(correct, arm, where) == _chips(correct, control, where):
        same = cube_of(correct, control, where)
    for name, other in (("digital", digital), ("same chips", same)):
        itself = arm == control and (name == "same chips" or where is None)
        repeated = name == "same chips" and where is None  # already compared digitally
        if other is not None and not itself and not repeated:
            time = "digital" if where is None else format_time(where)
            against = {"arm": arm, "time": time, "against": f"{control}, {name}"}
            rows.append(against | difference(cube, other))
    return rows


def difference(cube: Cube, other: Cube) -> dict[str, Any]:
    """Return by how many points an arm's answers differ from another's, and its intervals."""
    low, high = t_interval(paired(cube, other))
    return {
        "difference_points": round(100 * float(cube.mean() - other.mean()), 3),
        **_ends((low, high), percentiles(bootstrap(cube) - bootstrap(other))),
        "significant": bool(low > 0 or high < 0),
    }


def _ends(by_t: tuple[float, float], redrawn: tuple[float, float]) -> dict[str, float]:
    """Return both intervals as columns."""
    names = ("ci95_low", "ci95_high", "boot95_low", "boot95_high")
    return {name: round(end, 3) for name, end in zip(names, (*by_t, *redrawn), strict=True)}


def _times(correct: Mapping[Key, NDArray[np.bool_]]) -> list[float | None]:
    return [None, *sorted({k[3] for k in correct if k[2] != DIGITAL})]


def as_markdown(table: pd.DataFrame) -> str:
    """Return arms by times, each accuracy with its interval, as a table in Markdown."""
    times = in_order(table["time"])
    lines = [f"| arm | {' | '.join(times)} |", "|---" * (len(times) + 1) + "|"]
    for arm, rows in table.groupby("arm", sort=False):
        cells = {
            row.time: f"{row.accuracy_percent:.1f} [{row.ci95_low:.1f}, {row.ci95_high:.1f}]"
            for row in rows.itertuples()
        }
        lines.append(f"| {arm} | {' | '.join(cells.get(t, '-') for t in times)} |")
    return "\n".join(lines) + "\n"


def training_table(out: Path) -> pd.DataFrame:
    """Return one row per training run, of those as well whose folders are not kept any more."""
    table, known = out / "training.csv", {}
    if table.exists() and read_own(table).strip():
        for row in read_table(table).rows:
            try:
                place = row.cells["arm"], int(row.cells["seed"])
                known[place] = {name: _numbered(name, text) for name, text in row.cells.items()}
            except (ValueError, KeyError):
                problem = f"line {row.line} is of no training; delete the line"
                raise InputError(f"{table}: {problem}") from None
    for file in out.glob("runs/*/seed*/training.json"):
        found = read_own_json(file)
        known[found["arm"], found["seed"]] = found
    return pd.DataFrame([known[place] for place in sorted(known)])


def _numbered(name: str, text: str) -> str | int | float:
    """Return what stands in a column of the table of trainings."""
    if name == "arm":
        return text
    whole = name in ("seed", "steps", "parameters", "peak_memory_bytes")
    return int(text) if whole else float(text or "nan")
