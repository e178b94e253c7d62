"""What lies in the folder of a sweep: one study, and run pages to which its page links."""

from pathlib import Path

import numpy as np

from hybridsim.boundary.writing import write_all
from hybridsim.errors import InputError, SpecError
from hybridsim.simulation import execute
from hybridsim.sweeps.answers import best_rows
from hybridsim.sweeps.inputs import Resolver
from hybridsim.sweeps.run import SweepResult
from hybridsim.sweeps.study import STUDY, Study, read_written_study

MOST_PAGES = 100
"""Run pages that are written beside a sweep: some 100 MB."""


def check_same_study(folder: Path | None, study: Study) -> None:
    """Refuse a folder whose page and tables are those of another study; more points are no other.

    Raises:
        SpecError: A study of another name lies there.
    """
    if folder is None or not (folder / STUDY).exists():
        return
    try:
        name = read_written_study(folder).name
    except SpecError:  # torn when a process died: it is written again
        return
    if name != study.name:
        problem = f"holds the study {name!r}, whose page and tables {study.name!r} would replace"
        raise SpecError("--out", str(folder), f"{problem}; another folder would do")


def check_pages(count: int, folder: Path | None) -> None:
    """Refuse a number of pages that cannot be written, before any work is done.

    Raises:
        InputError: There is no folder, or they are too many.
    """
    if count and folder is None:
        raise InputError("--pages: give --out DIR as well, the folder that they go to")
    if not 0 <= count <= MOST_PAGES:
        raise InputError(f"--pages: found {count}; 0 to {MOST_PAGES} would do")


def write_run_pages(result: SweepResult, folder: Path, count: int) -> list[int]:
    """Run the best points again and write the page of each; return their numbers in the grid.

    The best in each objective come first, then others of the Pareto front.
    """
    # templates and tables of pages take a second to import, which --help need not wait for
    from hybridsim.report.page.run_page import page_files
    from hybridsim.report.page.sweep_charts import axis_codes
    from hybridsim.report.page.sweep_points import FOLDER

    inputs, table = result.inputs, result.table
    best = [row for rows in best_rows(inputs, table).values() for row in rows]
    front = np.flatnonzero(table["pareto"].to_numpy(bool)).tolist()
    rows = table.iloc[list(dict.fromkeys((*best, *front)))[:count]]
    codes = tuple(axis_codes(axis, rows) for axis in inputs.axes)
    numbers = [int(n) for n in np.ravel_multi_index(codes, inputs.shape)] if len(rows) else []
    resolver = Resolver(inputs)
    for number in numbers:
        point = resolver.point(number)
        run = execute(point.network, point.machine, point.strategy, point.tokens)
        files = {"result.json": run.result.to_json() + "\n", **page_files(run, {}, tried=False)}
        write_all(folder / FOLDER / str(number), files)
    return numbers
