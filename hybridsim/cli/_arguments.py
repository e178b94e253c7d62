"""What a person writes on the command line, checked before any command sees it.

Texts, numbers and paths pass :mod:`hybridsim.boundary.values` as they were written, before they
are turned into anything.
"""

import inspect
from collections.abc import Callable, Container, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, get_args

import typer

from hybridsim.boundary.values import decimal, path_of, printable, text_of, whole
from hybridsim.errors import InputError, SpecError

BAD_INPUT = 2
"""Exit code of a request that cannot be served as it stands."""

Reader = Callable[..., object]
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
    _check_together(command, set(given))
    known = inspect.signature(command.callback).parameters
    for parameter in command.params:
        if parameter.name not in known:
            continue
        hint = known[parameter.name].annotation
        reader = _reader_of(hint)
        if reader in (whole, decimal):
            reader = _within(reader, hint)
        values = given.get(parameter.name)
        option = parameter.opts[0] if parameter.param_type_name == "option" else parameter.name
        for text in values if isinstance(values, list | tuple) else [values]:
            if reader is not None and isinstance(text, str):
                try:
                    if reader is text_of and not text.strip():
                        raise SpecError("", option, "found an empty text; a value would do")
                    reader(text, option)
                except InputError as error:
                    refuse(error)


APART = (
    ("--csv", "--json"),
    ("--rate", "--load"),
    *(("--clipping", f"--{name}") for name in ("arm", "dry-run", "figures", "on")),
    *(("--requests", f"--{name}") for name in (
        "tasks", "load", "rate", "count", "seed", "tokens", "output",
    )),
)  # fmt: skip
"""Options of which a command takes one, as the other would have no effect."""
ONLY_WITH = {
    "explain": {f"--{name}": "--run" for name in ("strategy", "tokens", "past", "batch", "set")},
    "run": {"--trace-flows": "--trace"},
    "serve": {"--format": "--requests", "--too-long": "--requests"},
    "sweep": {"--seed": "--sample"},
}
"""Command -> option -> the option without which it would have no effect."""


def _check_together(command: Any, given: Container[str]) -> None:
    """End with one sentence if an option has no effect beside another one, or without it.

    Raises:
        typer.Exit: It has none.
    """
    there = {
        option
        for parameter in command.params
        if parameter.name in given
        for option in parameter.opts[:1]
    }
    for pair in APART:
        if there.issuperset(pair):
            refuse(InputError(f"{' and '.join(pair)}: give one of them"))
    for option, other in ONLY_WITH.get(command.name, {}).items():
        if option in there and other not in there:
            refuse(InputError(f"{option}: give it with {other}, or leave it out"))


def _within(reader: Reader, hint: Any) -> Reader:
    """Return what reads a number in the range that an option is declared with."""
    ends = [(one.min, one.max) for one in get_args(hint) if hasattr(one, "min")]
    least, most = ends[0] if ends else (None, None)
    return partial(reader, least=least, most=most)


def _reader_of(hint: Any) -> Reader | None:
    """Return what reads the values of a parameter: by its type, or by that of a list's entries."""
    if hint in _READERS:
        return _READERS[hint]
    return next(filter(None, map(_reader_of, get_args(hint))), None)
