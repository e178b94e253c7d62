"""Answers of more points than one table holds: part by part, where the shards left them.

What is kept of a part are its front, its best points and sums; the points themselves stay in the
parts. So memory depends on the size of a part and on that of the front, not on the grid.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hybridsim.errors import InputError
from hybridsim.sweeps.answer_files import write_answers
from hybridsim.sweeps.answers import best_rows, build_table, cases, objective_values
from hybridsim.sweeps.cases import Cases
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.journal import Journal
from hybridsim.sweeps.merging import check_apart, parts_of_shards
from hybridsim.sweeps.misses import met_by, nearest
from hybridsim.sweeps.pareto import pareto
from hybridsim.sweeps.run import Counts, Progress, SweepInterrupted, SweepResult, until_ctrl_c
from hybridsim.sweeps.study import MOST_POINTS
from hybridsim.units import Ints

MOST_KEPT = 200_000
"""Rows from which on what parts were best in is looked through again."""


@dataclass
class Answers:
    """What is known of the points so far."""

    inputs: Inputs
    points: int = 0
    with_result: int = 0
    feasible: int = 0
    met: dict[str, int] = field(default_factory=dict)
    """Constraint -> points that meet it, whatever the others."""
    kept: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Rows that may be answers, by point: those on the front, best in something, or nearest."""
    sums: "list[_Sums]" = field(default_factory=list)
    """For each axis what its shares are from."""
    around: Any = None
    """About what objectives are summed up: their means over the first part."""

    def take(self, points: Ints, columns: Any) -> None:
        """Take in a part of the points."""
        table = build_table(self.inputs, [(points, columns)]).set_index(np.sort(points))
        self.points += len(table)
        self.with_result += int((table["problem"] == "").sum())
        self.feasible += int(table["feasible"].sum())
        for text, count in met_by(self.inputs, table).items():
            self.met[text] = self.met.get(text, 0) + count
        self._sum_up(table)
        self._keep(_answers(self.inputs, table))

    def _keep(self, rows: pd.DataFrame) -> None:
        self.kept = pd.concat([self.kept, rows]) if len(self.kept) else rows
        if len(self.kept) > MOST_KEPT:
            self.kept = _answers(self.inputs, self.kept.sort_index())

    def _sum_up(self, table: pd.DataFrame) -> None:
        values = objective_values(self.inputs, table)
        ran = np.isfinite(values).all(axis=1)
        if self.around is None and ran.any():
            self.around = values[ran].mean(axis=0)
        places = self.inputs.coordinates(table.index.to_numpy()[ran])
        if not self.sums:
            self.sums = [_Sums.of(len(axis), values.shape[1]) for axis in self.inputs.axes]
        for own, place in zip(self.sums, places, strict=True):
            own.add(place, values[ran] - (0 if self.around is None else self.around))

    def table(self) -> pd.DataFrame:
        """Return the rows that are answers, in the order of the grid."""
        return _answers(self.inputs, self.kept.sort_index()).reset_index(drop=True)

    def shares(self) -> dict[str, dict[str, float]]:
        """Return the share of each objective's variance that each axis explains alone."""
        each = [own.share() for own in self.sums]
        return {
            name: {
                axis.name: float(own[i]) for axis, own in zip(self.inputs.axes, each, strict=True)
            }
            for i, name in enumerate(self.inputs.study.objectives)
        }


@dataclass
class _Sums:
    """Of each value of an axis how many points there are, and sums of their objectives."""

    count: Ints
    sums: Any
    squares: Any

    @classmethod
    def of(cls, values: int, objectives: int) -> "_Sums":
        return cls(
            np.zeros(values, np.int64), np.zeros((objectives, values)), np.zeros(objectives)
        )

    def add(self, place: Ints, values: Any) -> None:
        self.count += np.bincount(place, minlength=len(self.count))
        for own, column in zip(self.sums, values.T, strict=True):
            own += np.bincount(place, weights=column, minlength=len(self.count))
        self.squares += (values**2).sum(axis=0)

    def share(self) -> Any:
        """Return the sum of squares between values over that of all points; 0 for constants."""
        mean = self.sums.sum(axis=1) ** 2 / max(1, self.count.sum())
        between = (self.sums**2 / np.maximum(self.count, 1)).sum(axis=1) - mean
        total = self.squares - mean
        varies = total > 1e-12 * np.maximum(self.squares, np.finfo(float).tiny)
        return np.clip(between * varies / np.where(varies, total, 1), 0, 1)


def _answers(inputs: Inputs, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a table on its front, best in something, or nearest where none is
    feasible; which are on the front is found anew."""
    values, feasible = objective_values(inputs, table), table["feasible"].to_numpy()
    front = np.zeros(len(table), bool)
    for rows in cases(inputs, table):
        front[rows] = pareto(values[rows], feasible[rows])
    kept = front.copy()
    for places in best_rows(inputs, table).values():
        kept[places] = True
    near = nearest(inputs, table)
    if near is not None:
        kept[near.row] = True
    return table.assign(pareto=front)[kept]


@dataclass(frozen=True)
class LargeResult(SweepResult):
    """What a sweep found whose table would be too large: ``table`` has the answers alone."""

    answers: Answers | None = None

    @property
    def counts(self) -> Counts:
        """How many points there are, and are what."""
        own = self.answers
        assert own is not None
        return Counts(own.points, own.with_result, own.feasible, own.met)

    def told_shares(self) -> dict[str, Any]:
        """Return the shares of main effects; those of total effects are left to a sample."""
        assert self.answers is not None
        return {"variance_share": self.answers.shares(), "total_effect_share": {}}


def merge_large(
    inputs: Inputs, shards: Sequence[Path], out: Path, progress: Progress | None = None
) -> LargeResult:
    """Return what the parts of shards say together, which stay where they are.

    Raises:
        InputError: A shard is of another study, or none; points are missing or there twice; or a
            folder cannot be used.
        SweepInterrupted: Ctrl-C was pressed.
    """
    start, found = time.perf_counter(), Answers(inputs)
    check_apart(shards, out)
    _check_whole(inputs, shards)
    report = progress or (lambda done, recorded, points: None)
    names = (*inputs.columns, "problem")
    with Journal(out), until_ctrl_c() as stopped:
        for recorded in parts_of_shards(inputs, shards, names):
            if stopped():
                raise SweepInterrupted(found.points, len(inputs))
            found.take(recorded.points, recorded.columns)
            report(found.points, 0, len(inputs))
        seconds = time.perf_counter() - start
        result = LargeResult(inputs, found.table(), None, 0, seconds, None, found)
        write_answers(out, inputs, result.table, result.summary(), "answers")
    return result


def _check_whole(inputs: Inputs, shards: Sequence[Path]) -> None:
    """Refuse shards that do not make the whole: each holds a stretch of places, and all of them
    follow each other.

    Raises:
        InputError: They do not.
    """
    at, stretches = Cases(inputs), []
    for folder in shards:
        # read twice, so that no more is held of a share than a byte for each of its points
        places = (at.places(r.points) for r in parts_of_shards(inputs, [folder], ()))
        ends = np.array([(own.min(), own.max()) for own in places])
        first, last = ends[:, 0].min(), ends[:, 1].max()
        if last - first >= MOST_POINTS:
            raise InputError(
                f"merge: {folder} has points from all over the grid; "
                "folders of sweep --shard i/N, each of one share, would do"
            )
        times = np.zeros(last - first + 1, np.uint8)
        for recorded in parts_of_shards(inputs, [folder], ()):
            times[at.places(recorded.points) - first] += 1
        if not (times == 1).all():
            what = "lacks points of its share" if (times == 0).any() else "has points twice"
            raise InputError(f"merge: {folder} {what}; the same shard run to its end would do")
        stretches.append((int(first), int(last) + 1, folder))
    end = 0
    for first, following, folder in sorted(stretches):
        if first != end:
            what = "are missing before those" if first > end else "are there twice with those"
            raise InputError(_not_whole(inputs, abs(first - end), f"{what} of {folder}"))
        end = following
    if end < len(inputs):
        raise InputError(_not_whole(inputs, len(inputs) - end, "are missing at the end"))


def _not_whole(inputs: Inputs, points: int, what: str) -> str:
    return (
        f"merge: {points:,} of {len(inputs):,} points {what}; all shards of one N, each run to "
        "its end and given once, would do"
    )
