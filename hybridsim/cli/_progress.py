"""What long studies show while they run: a bar on a terminal, a line a minute elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn

from hybridsim.cli._terminal import EVERY_S, INTERRUPTED, bar_on_terminal

Watch = Callable[[str, int, int | None, str], None]
"""Called with (what is done, how far, of how much if that is known, a remark)."""


class Lines:
    """A line a minute: what is done, how far it is, its remark and the time that is left."""

    def __init__(
        self, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell, self._clock = tell, clock
        self._what, self._began, self._first, self._told = "", 0.0, 0, clock()

    def __call__(self, what: str, done: int, total: int | None, remark: str) -> None:
        """Note how far something is; tell it if a minute has gone since the last line."""
        now = self._clock()
        if what != self._what:
            self._what, self._began, self._first = what, now, done
        if now - self._told < EVERY_S:
            return
        self._told = now
        much = f"{done:,}" if total is None else f"{done:,} of {total:,}"
        parts = [f"{what}: {much}", *([remark] if remark else [])]
        if done > self._first and total is not None:
            left = (now - self._began) / (done - self._first) * (total - done)
            parts.append(f"about {_duration(left)} left")
        self._tell(", ".join(parts))


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


@contextmanager
def showing(quiet: bool) -> Iterator[Watch | None]:
    """Show what is done, how far it is, its remark and the time left, on standard error."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[remark]}"),
        TimeRemainingColumn(compact=True),
    )
    with bar_on_terminal(quiet, *columns) as bar:
        if bar is None:
            yield None if quiet else Lines(lambda line: typer.echo(line, err=True))
            return
        tasks: dict[str, TaskID] = {}

        def watch(what: str, done: int, total: int | None, remark: str) -> None:
            if what not in tasks:
                for old in tasks.values():
                    bar.remove_task(old)
                tasks.clear()
                tasks[what] = bar.add_task(what, total=total, remark=remark)
            bar.update(tasks[what], completed=done, total=total, remark=remark)

        yield watch


@contextmanager
def watching(quiet: bool, folder: Path) -> Iterator[Watch | None]:
    """Show the same; Ctrl-C ends the command with a line that says how to go on from a folder."""
    try:
        with showing(quiet) as watch:
            yield watch
    except KeyboardInterrupt:
        typer.echo(f"hybridsim: interrupted; the same command goes on from {folder}", err=True)
        raise typer.Exit(INTERRUPTED) from None
