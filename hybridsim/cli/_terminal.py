"""What all commands share: where text goes, how errors end a command, what ``--verbose`` says."""

import io
import json
import os
import platform
import re
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import wraps
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import typer
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from hybridsim._old_names import said_on_stderr
from hybridsim._version import __version__
from hybridsim.boundary.values import printable
from hybridsim.cli._arguments import BAD_INPUT, check_plain, refuse
from hybridsim.errors import InputError

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

P = ParamSpec("P")
R = TypeVar("R")

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
EVERY_S = 60.0
"""A line is written this often where there is no terminal [s]."""


def out() -> Console:
    """Return the console for answers: standard output."""
    return Console(highlight=False, emoji=False)


def err() -> Console:
    """Return the console for progress and errors: standard error."""
    return Console(stderr=True, highlight=False, emoji=False)


def ends_cleanly(command: Callable[P, R]) -> Callable[P, R]:
    """Turn an input error into one message on standard error and exit code 2.

    Old names say what they are now on standard error too.
    """

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with said_on_stderr():
                return command(*args, **kwargs)
        except InputError as error:
            refuse(error)
        except Exception as error:
            from hybridsim.outside import failure_outside  # not while all goes well

            if (blamed := failure_outside(error)) is None:
                raise
            refuse(blamed)
        except KeyboardInterrupt:
            typer.echo("hybridsim: interrupted; nothing more is written", err=True)
            raise typer.Exit(INTERRUPTED) from None

    return wrapped


@contextmanager
def ending_in_a_sentence(arguments: Sequence[str]) -> Iterator[None]:
    """End the program in one sentence where its arguments or standard output are no good.

    What the terminal's encoding lacks is written out (``\\xb5``) rather than being an error.
    """
    if sys.stderr is None:  # closed: nothing that is opened later shall be taken for it
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        if sys.stdout is None:
            typer.echo("hybridsim: standard output: cannot be written: it is closed", err=True)
            sys.exit(BAD_INPUT)
        check_plain(arguments)
        try:
            yield
        finally:
            sys.stdout.flush()
    except InputError as error:
        typer.echo(f"hybridsim: {printable(str(error))}", err=True)
        sys.exit(BAD_INPUT)
    except OSError as error:
        _leave_standard_output()
        with suppress(OSError):
            typer.echo(
                f"hybridsim: standard output: cannot be written: {error.strerror}", err=True
            )
        sys.exit(BAD_INPUT)


def _leave_standard_output() -> None:
    """Let nothing more be written there, so that Python's end does not fail once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


@contextmanager
def working(what: str, quiet: bool) -> Iterator[None]:
    """Show on standard error that something goes on, and for how long.

    A terminal shows it at once; where there is none, a line a minute says so.
    """
    if quiet:
        yield
        return
    if err().is_terminal:
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with bar_on_terminal(quiet, *columns) as bar:
            if bar is not None:
                bar.add_task(what, total=None)
            yield
        return
    over = Event()
    teller = Thread(target=tell_minutes, args=(what, _to_stderr, over.wait), daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


def _to_stderr(line: str) -> None:
    with suppress(OSError):
        typer.echo(line, err=True)


def tell_minutes(what: str, tell: Callable[[str], None], over: Callable[[float], bool]) -> None:
    """Tell every minute how long something has taken, until it is ``over`` within the next one."""
    minutes = 0
    while not over(EVERY_S):
        minutes += 1
        tell(f"{what}: {minutes} min so far")


@contextmanager
def bar_on_terminal(quiet: bool, *columns: "ProgressColumn") -> "Iterator[Progress | None]":
    """Yield a bar on a terminal's standard error, gone at the end; None where there is none."""
    console = err()
    if quiet or not console.is_terminal:
        yield None
        return
    # only here, as most commands draw none
    from rich.progress import Progress

    with Progress(*columns, console=console, transient=True) as bar:
        yield bar


def print_json(document: Any) -> None:
    """Print one JSON document on standard output and nothing else."""
    ascii_only = not (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=ascii_only) + "\n")


class PlainTable(Table):
    """A table without a frame that leaves out columns rather than break words.

    ``may_go`` names columns that are left out, the first first, as long as the rest is too wide.
    """

    may_go: tuple[str, ...] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines of what fits."""
        open_ended = options.update(max_width=_NO_LIMIT)
        for name in self.may_go:
            if Measurement.get(console, open_ended, self).maximum <= options.max_width:
                break
            kept = [column for column in self.columns if column.header != name]
            self.columns = [replace(column, _index=i) for i, column in enumerate(kept)]
        yield from super().__rich_console__(console, options)


_NO_LIMIT = 10_000
"""A width that no table reaches [columns]."""


def plain_table(*columns: str, right: str = "", may_go: str = "", whole: str = "") -> PlainTable:
    """Return an empty table without a frame.

    Columns named in ``right`` (``a|b``) are right-aligned, those in ``may_go`` are left out where
    there is no room, and those in ``whole`` keep their words whole whatever that leaves for the
    others. One named ``layer`` is cut, not folded.
    """
    table = PlainTable(box=None, pad_edge=False, header_style="bold", collapse_padding=True)
    table.may_go = tuple(may_go.split("|")) if may_go else ()
    numbers = right.split("|")
    for column in columns:
        name = column == "layer"
        table.add_column(
            column,
            justify="right" if column in numbers else "left",
            overflow="ellipsis" if name else "fold",
            no_wrap=name or column in whole.split("|"),
        )
    return table


_TOGETHER = re.compile(
    r"(?<=\d) (?=(?:%|[afpnumkMGT]?(?:s|J|W|Hz|B)|[KMGT]iB)(?!\w))|(?<=--set) (?=\S)"
)
"""The space between a number and its unit, or between ``--set`` and what it sets."""
_BOUND = "\N{NO-BREAK SPACE}"


class Sentence:
    """Text for a terminal, as it stands: wrapped at words, never within one.

    Nor is a number torn from its unit. What follows the first line begins ``indent`` columns to
    the right.
    """

    def __init__(self, text: str, indent: int = 0) -> None:
        self._text, self._indent = text, indent

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return how narrow and how wide it may be in a table."""
        words = _TOGETHER.sub(_BOUND, self._text).split(" ")
        return Measurement(max(map(len, words)), len(self._text)).with_maximum(options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines; a word that is longer than a line has one of its own."""
        head = self._text[: len(self._text) - len(self._text.lstrip())]
        lines = textwrap.wrap(
            _TOGETHER.sub(_BOUND, self._text.strip()),
            max(20, options.max_width),
            initial_indent=head,
            subsequent_indent=" " * self._indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in lines or [""]:
            yield Text(line.replace(_BOUND, " "), no_wrap=True, overflow="ignore")


def told(label: str, text: str) -> Sentence:
    """Return a line of a summary: what, and what there is to say of it."""
    return Sentence(f"  {label:<13s}{text}", 15)


def noted(text: str) -> Sentence:
    """Return a note below a summary."""
    return Sentence(f"  {text}", 4)


_LIBRARIES = ("numpy", "numba", "pandas", "pydantic")


class Telling:
    """Says what a command does, if it was asked to; answers on standard output stay as they are.

    Raises:
        InputError: Both ``verbose`` and ``quiet`` are asked for.
    """

    def __init__(self, verbose: bool, quiet: bool = False) -> None:
        if verbose and quiet:
            raise InputError("--verbose and --quiet: give one of them")
        self._verbose, self._quiet = verbose, quiet
        self._began = time.perf_counter()

    def say(self, what: str, text: object) -> None:
        """Print one line: what, and what it is."""
        if self._verbose:
            typer.echo(f"{what:<10s}{text}", err=True)

    def wrote(self, path: Path, silent: bool) -> None:
        """Print where the page of an answer lies, unless told to be quiet or ``silent``."""
        if not self._quiet and not silent:
            typer.echo(f"written   {printable(str(path))}", err=True)

    @contextmanager
    def stage(self, what: str) -> Iterator[None]:
        """Print how long a part of the command took, when it is done."""
        began = time.perf_counter()
        yield
        self.say("time", f"{time.perf_counter() - began:.3f} s  {what}")

    @contextmanager
    def working(self, what: str, quiet: bool) -> Iterator[None]:
        """Show on a terminal that a part of the command goes on, or say how long it took."""
        with working(what, quiet or self._verbose), self.stage(what):
            yield

    def versions(self) -> None:
        """Print what computes: this program, Python, and the libraries that are loaded."""
        if self._verbose:
            loaded = [
                f"{name} {sys.modules[name].__version__}"
                for name in _LIBRARIES
                if name in sys.modules
            ]
            own = [f"hybridsim {__version__}", f"Python {platform.python_version()}"]
            self.say("version", ", ".join(own + loaded))

    def end(self) -> None:
        """Print versions and how long it took altogether."""
        self.versions()
        self.say("time", f"{time.perf_counter() - self._began:.3f} s  altogether")
