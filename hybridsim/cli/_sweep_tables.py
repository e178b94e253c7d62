"""What a sweep says, as text for people: fronts, best points, shares, what is missed."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.markup import escape

from hybridsim.cli._terminal import Sentence, plain_table
from hybridsim.report.quantities import held_by, missed, name_of, told
from hybridsim.sweeps.answers import best_rows
from hybridsim.sweeps.axes import Axis
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.misses import nearest_points
from hybridsim.sweeps.run import SampledShares, SweepResult
from hybridsim.sweeps.sensitivity import sought_results, total_shares, variance_shares
from hybridsim.sweeps.study import study_constraints
from hybridsim.units import format_share

MOST_REASONS = 3
"""Reasons for points without a result that are shown."""
MOST_NEAREST = 4
"""Points that are shown where none meets all constraints."""
MOST_ROWS = 40
"""Rows of the Pareto table that are shown."""


def render(result: SweepResult) -> RenderableType:
    """Return the Pareto table, the best points and what each axis explains."""
    inputs, table = result.inputs, result.table
    study = inputs.study
    front = table[table["pareto"]]
    counts = result.counts
    lines: list[RenderableType] = [
        f"{study.name}: {counts.points:,} points, "
        f"{counts.points - counts.with_result:,} without a result, "
        f"{counts.feasible:,} meet all constraints",
        *_reasons(table),
        *_misses(inputs, table, counts.met),
    ]
    if len(front):
        names = ", ".join(study.objectives)
        lines += ["", f"Pareto front of {names}: {len(front):,} points"]
        lines.append(points_table(inputs, front.iloc[:MOST_ROWS]))
    if len(front) > MOST_ROWS:
        lines.append(f"and {len(front) - MOST_ROWS:,} more (--csv prints all)")
    for name, rows in best_rows(inputs, table).items() if len(front) else ():
        lines += ["", f"best {name}", points_table(inputs, table.iloc[rows[:MOST_ROWS]])]
    if result.sampled is not None:
        lines += ["", *_sampled(result.sampled, sought_results(inputs), len(inputs))]
    elif result.whole:
        lines += ["", "variance explained by each axis alone / with others", _shares_table(result)]
    elif own := result.told_shares()["variance_share"]:
        lines += ["", "variance explained by each axis alone", _main_table(inputs, own)]
    if result.audit is not None:
        wrong = result.audit.differences
        said = f"{len(wrong)} differences" if wrong else "all the same"
        lines += ["", f"audit: {result.audit.points:,} points again on SimPy, {said}"]
        lines += [f"  {escape(text)}" for text in wrong[:MOST_ROWS]]
    return Group(*lines)


def _reasons(table: pd.DataFrame) -> list[str]:
    """Return why points have no result, the commonest reasons first."""
    found = table.loc[table["problem"] != "", "problem"].value_counts()
    lines = [f"  {count:,} times: {escape(str(reason))}" for reason, count in found.items()]
    more = len(lines) - MOST_REASONS
    return [*lines[:MOST_REASONS], *([f"  and {more:,} other reasons"] if more > 0 else [])]


def _misses(inputs: Inputs, table: pd.DataFrame, met: Mapping[str, int]) -> list[RenderableType]:
    """Return what stands in the way where no point meets all constraints."""
    near = nearest_points(inputs, table, MOST_NEAREST)
    if not near:
        return []
    lines: list[RenderableType] = ["", "points that meet each constraint by itself"]
    lines += [f"  {count:,}: {escape(text)}" for text, count in met.items()]
    lines += ["", "nearest points", points_table(inputs, table.iloc[[own.row for own in near]])]
    lines += ["", "the first of these"]
    return [*lines, *(f"  {escape(missed(miss))}" for miss in near[0].misses)]


def points_table(inputs: Inputs, rows: pd.DataFrame) -> RenderableType:
    """Return some points as a table for people."""
    told = {c.column for c in study_constraints(inputs.study, inputs.axes)}
    told |= {*inputs.study.objectives, *(axis.column for axis in inputs.axes)}
    names = [name for name in rows.columns if name in told]
    axes = {axis.column: axis for axis in inputs.axes}
    numbers = "|".join(_heading(name) for name in names)
    table = plain_table(*(_heading(name) for name in names), right=numbers)
    for row in rows[names].itertuples(index=False):
        cells = (_cell(name, value, axes) for name, value in zip(names, row, strict=True))
        table.add_row(*map(escape, cells))
    return table


def _heading(column: str) -> str:
    return name_of(column).rpartition(".")[2]


def _cell(column: str, value: Any, axes: Mapping[str, Axis]) -> str:
    """Return a value as the study wrote it, or, for a result, with a unit."""
    axis = axes.get(column)
    if axis is not None:
        if axis.numbers is not None:
            return axis.labels[int((axis.numbers == value).argmax())]
        return str(value)
    if pd.isna(value):
        return "-"
    if held_by(column) == "percent":
        return f"{value:.2f} %"
    return str(value) if held_by(column) == "word" else told(column, value)


def _shares_table(result: SweepResult) -> RenderableType:
    names = sought_results(result.inputs)
    alone, total = (
        of(result.inputs, result.table)[names] for of in (variance_shares, total_shares)
    )
    table = plain_table("axis", *names, right="|".join(names))
    for (axis, *own), (_, *with_others) in zip(
        alone.itertuples(), total.itertuples(), strict=True
    ):
        both = (map(format_share, pair, (1, 1)) for pair in zip(own, with_others, strict=True))
        table.add_row(escape(str(axis)), *map(" / ".join, both))
    return table


def _main_table(inputs: Inputs, shares: Mapping[str, Mapping[str, float]]) -> RenderableType:
    """Return the shares of a sweep whose table is nowhere in one piece."""
    names = sought_results(inputs)
    table = plain_table("axis", *names, right="|".join(names))
    for axis in inputs.axes:
        told = (format_share(shares[name][axis.name], 1) for name in names)
        table.add_row(escape(axis.name), *told)
    return table


def _sampled(own: SampledShares, names: list[str], grid: int) -> list[RenderableType]:
    """Return the shares of a sample with their errors."""
    table = plain_table("axis", *names, right="|".join(names))
    parts = (own.alone, own.alone_error, own.with_others, own.with_others_error)
    for axis in own.alone.index:
        cells = []
        for name in names:
            a, e, t, f = (100 * part.loc[axis, name] for part in parts)
            cells.append(f"{a:.1f} ± {e:.1f} / {t:.1f} ± {f:.1f} %")
        table.add_row(escape(str(axis)), *cells)
    head = (
        f"variance explained by each axis alone / with others, with half of the 90 % interval, "
        f"from {own.complete:,} of {own.rows:,} rows of a sample of {grid:,} points"
    )
    return [Sentence(head), table]
