"""What all commands share: where text goes, how errors end a command, numbers for people."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from hybridsim.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")

BAD_INPUT = 2
"""Exit code of a request that cannot be served as it stands."""


def out() -> Console:
    """Return the console for answers: standard output."""
    return Console(highlight=False)


def err() -> Console:
    """Return the console for progress and errors: standard error."""
    return Console(stderr=True, highlight=False)


def ends_cleanly(command: Callable[P, R]) -> Callable[P, R]:
    """Turn an input error into one message on standard error and exit code 2."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except InputError as error:
            typer.echo(f"hybridsim: {error}", err=True)
            raise typer.Exit(BAD_INPUT) from None

    return wrapped


@contextmanager
def working(what: str, quiet: bool) -> Iterator[None]:
    """Show on a terminal's standard error that something is going on."""
    console = err()
    if quiet or not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


def print_json(document: Any) -> None:
    """Print one JSON document on standard output and nothing else."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def plain_table(*columns: str, right: str = "") -> Table:
    """Return an empty table without a frame.

    Columns named in ``right`` (``a|b``) are right-aligned; one named ``layer`` is cut, not folded.
    """
    table = Table(box=None, pad_edge=False, header_style="bold", collapse_padding=True)
    numbers = right.split("|")
    for column in columns:
        name = column == "layer"
        table.add_column(
            column,
            justify="right" if column in numbers else "left",
            overflow="ellipsis" if name else "fold",
            no_wrap=name,
        )
    return table
