"""``hybridsim report``: the page of a run, a comparison, a sweep or a design, written again."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError
from rich.markup import escape

from hybridsim.boundary.reading import is_folder
from hybridsim.boundary.writing import check_place, write_all
from hybridsim.cli._options import Json
from hybridsim.cli._terminal import ends_cleanly, out, print_json, working
from hybridsim.errors import InputError, SpecError
from hybridsim.units import Duration

_TIME: TypeAdapter[int] = TypeAdapter(Duration)


@ends_cleanly
def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="A folder that run, compare, sweep or design --out wrote."
        ),
    ],
    window: Annotated[
        str | None,
        typer.Option("--window", help="Stretch of the Gantt chart, as in 1.5ms:1.7ms."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also try what would help, and say the best three.")
    ] = False,
    json_: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing.")] = False,
) -> None:
    """Write page.html of FOLDER again, from the files that lie there."""
    chosen = None if window is None else _window(window)
    # templates and tables of pages take a second to import, which --help need not wait for
    from hybridsim.report.page.run_page import page_of_folder
    from hybridsim.report.page.shell import PAGE

    if not is_folder(folder):
        if folder.name != "result.json" or not folder.exists():
            problem = "is no folder of results" if folder.exists() else "no such folder"
            raise SpecError(str(folder), "", f"{problem}; what hybridsim run --out wrote would do")
        folder = folder.parent
    check_place(folder, option="")
    with working("writing the page", json_ or quiet):
        page = page_of_folder(folder, chosen, explain)
    write_all(folder, {PAGE: page})
    if json_:
        print_json({"page": str(folder / PAGE)})
    elif not quiet:
        out().print(escape(str(folder / PAGE)), soft_wrap=True)


def _window(text: str) -> tuple[int, int]:
    """Return the two times of ``BEGIN:END`` [ps].

    Raises:
        InputError: The text is not of that form.
    """
    begin, colon, end = text.partition(":")
    try:
        if colon:
            window = _TIME.validate_python(begin.strip()), _TIME.validate_python(end.strip())
            if window[0] < window[1]:
                return window
            raise InputError(f"--window: found {text!r}; an end after its begin would do")
    except ValidationError:
        pass
    raise InputError(f"--window: found {text!r}; write two times, as in '1.5 ms:1.7 ms'")
