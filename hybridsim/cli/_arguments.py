"""What a person writes on the command line, checked before any command sees it.

Texts, numbers and paths pass :mod:`hybridsim.boundary.values` as they were written, before they
are turned into anything.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args

import typer

from hybridsim.boundary.values import decimal, path_of, printable, text_of, whole
from hybridsim.errors import InputError

BAD_INPUT = 2
"""Exit code of a request that cannot be served as it stands."""

Reader = Callable[[str, str], object]
_READERS: dict[type, Reader] = {Path: path_of, str: text_of, int: whole, float: decimal}


def refuse(error: InputError) -> NoReturn:
    """End with the sentence of an error on standard error.

    Raises:
        typer.Exit: Always.
    """
    typer.echo(f"hybridsim: {printable(str(error))}", err=True)
    raise typer.Exit(BAD_INPUT) from None


def check_plain(arguments: Iterable[str]) -> None:
    """Refuse arguments that are too long, or that a terminal would obey if they were printed.

    Raises:
        SpecError: There is one.
    """
    for text in arguments:
        text_of(text, "")


def check_values(command: Any, ctx: Any, arguments: Sequence[str]) -> None:
    """End with one sentence if a value is not what its parameter of a command takes.

    Raises:
        typer.Exit: It is not.
    """
    given, _, _ = command.make_parser(ctx).parse_args(args=list(arguments))
    known = inspect.signature(command.callback).parameters
    for parameter in command.params:
        if parameter.name not in known:
            continue
        reader = _reader_of(known[parameter.name].annotation)
        values = given.get(parameter.name)
        option = parameter.opts[0] if parameter.param_type_name == "option" else parameter.name
        for text in values if isinstance(values, list | tuple) else [values]:
            if reader is not None and isinstance(text, str):
                try:
                    reader(text, option)
                except InputError as error:
                    refuse(error)


def _reader_of(hint: Any) -> Reader | None:
    """Return what reads the values of a parameter: by its type, or by that of a list's entries."""
    if hint in _READERS:
        return _READERS[hint]
    return next(filter(None, map(_reader_of, get_args(hint))), None)
