"""``hybridsim compare A.json B.json``: two results that lie in files, side by side."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Group, RenderableType
from rich.markup import escape

from hybridsim.boundary.kinds import Kind
from hybridsim.boundary.reading import is_folder
from hybridsim.boundary.writing import write_all
from hybridsim.cli._folders import check_out
from hybridsim.cli._terminal import Sentence, out, plain_table, print_json
from hybridsim.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from hybridsim.difference import Difference

MOST_TOLD = 8
"""Inputs and layers that are told in the terminal; files have all."""


DIFFERENCES = Kind("comparison of results", ("difference.json",))
"""What a folder of two results side by side holds."""


def is_result(text: str) -> bool:
    """Return whether an argument names a result: a .json file, or a folder that holds one."""
    path = Path(text)
    if path.name == "config.json":
        return False
    return path.suffix == ".json" or (is_folder(path) and (path / "result.json").exists())


def compare_results(
    first: str, second: str, folder: Path | None, csv: bool, json: bool, quiet: bool
) -> None:
    """Read two results, tell what differs, and write its page."""
    for text in (first, second):
        if not is_result(text):
            raise InputError(
                f"{text}: is no result; two results (result.json, or the folder of hybridsim run "
                "--out) or a network and a machine would do"
            )
    check_out(folder, DIFFERENCES)
    # pandas and pydantic take a second to import, which --help need not wait for
    from hybridsim.difference import difference
    from hybridsim.measure.result import read_result

    paths = Path(first), Path(second)
    found = difference(read_result(paths[0]), read_result(paths[1]), labels(*paths))
    if folder is not None:
        _write(found, paths, folder)
    if csv:
        typer.echo(found.to_frame().to_csv(index=False), nl=False)
    elif json:
        print_json(found.model_dump(mode="json"))
    elif not quiet:
        out().print(render(found))


def labels(first: Path, second: Path) -> tuple[str, str]:
    """Return short names of two files that tell them apart."""
    names = [path.stem if path.name != "result.json" else path.parent.name for path in
             (first.absolute(), second.absolute())]  # fmt: skip
    if names[0] != names[1]:
        return names[0], names[1]
    longer = [f"{path.absolute().parent.name}/{name}" for path, name in
              zip((first, second), names, strict=True)]  # fmt: skip
    return (longer[0], longer[1]) if longer[0] != longer[1] else (str(first), str(second))


def _write(found: "Difference", paths: tuple[Path, Path], folder: Path) -> None:
    from hybridsim.report.page.comparison import ACTIVITY
    from hybridsim.report.page.difference import DIFFERENCE, difference_page
    from hybridsim.report.page.shell import PAGE

    activity = _activity(paths)
    files: dict[str, str | bytes] = {
        DIFFERENCE: found.to_json() + "\n",
        "difference.csv": found.to_frame().to_csv(index=False),
        PAGE: difference_page(found, activity),
    }
    if activity is not None:
        files[ACTIVITY] = activity.to_csv(index=False)
    write_all(folder, files)


def _activity(paths: tuple[Path, Path]) -> "pd.DataFrame | None":
    """Return when parts worked in both runs, where both lie beside their timelines."""
    from hybridsim.report.page.chart_data import activity
    from hybridsim.report.page.recording import FILE, read_recording

    folders = [path if is_folder(path) else path.parent for path in paths]
    if not all((folder / FILE).exists() for folder in folders):
        return None
    import pandas as pd

    tables = []
    for side, folder in zip(("before", "after"), folders, strict=True):
        held = read_recording(folder / FILE)
        table = activity(held.plan, held.timeline, held.timeline.makespan)
        table.insert(0, "strategy", side)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def render(found: "Difference") -> RenderableType:
    """Return the figures of both as a table, then what went in differently."""
    from hybridsim.report.page.difference import verdict
    from hybridsim.report.quantities import changed, name_of, told

    table = plain_table("figure", "before", "after", "change", right="before|after|change")
    for figure in found.figures:
        values = (figure.before, figure.after)
        cells = ("unknown" if v is None else _plain(told(figure.name, v)) for v in values)
        table.add_row(name_of(figure.name), *cells, changed(figure.name, *values))
    said = [_plain(verdict(found))]
    inputs, more = found.inputs[:MOST_TOLD], len(found.inputs) - MOST_TOLD
    said += [f"{i.path}: {i.before or 'nothing'} -> {i.after or 'nothing'}" for i in inputs]
    if more > 0:
        said.append(f"and {more:,} other inputs: --json has all")
    if not found.inputs:
        said.append("network, machine, strategy and tokens are the same")
    return Group(table, "", *(Sentence(escape(text), 2) for text in said))


def _plain(text: str) -> str:
    """Return text in signs that every terminal has."""
    return text.replace("µ", "u").replace("²", "2")
