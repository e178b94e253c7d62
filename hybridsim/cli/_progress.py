"""What long studies show while they run: a bar on a terminal, a line a minute elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn

from hybridsim.cli._terminal import bar_on_terminal

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
EVERY_S = 60.0
"""A line is written this often where there is no terminal."""

Watch = Callable[[str, int, int, str], None]
"""Called with (what is done, how far, of how much, a remark)."""


class Lines:
    """A line a minute: what is done, how far it is, its remark and the time that is left."""

    def __init__(
        self, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell, self._clock = tell, clock
        self._what, self._began, self._first, self._told = "", 0.0, 0, clock()

    def __call__(self, what: str, done: int, total: int, remark: str) -> None:
        """Note how far something is; tell it if a minute has gone since the last line."""
        now = self._clock()
        if what != self._what:
            self._what, self._began, self._first = what, now, done
        if now - self._told < EVERY_S:
            return
        self._told = now
        parts = [f"{what}: {done} of {total}", *([remark] if remark else [])]
        if done > self._first:
            left = (now - self._began) / (done - self._first) * (total - done)
            parts.append(f"about {_duration(left)} left")
        self._tell(", ".join(parts))


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


@contextmanager
def watching(quiet: bool, folder: Path) -> Iterator[Watch | None]:
    """Show what is done, its remark and the time left, on standard error.

    Ctrl-C ends the command with a line that says how to go on from ``folder``.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[remark]}"),
        TimeRemainingColumn(compact=True),
    )
    try:
        with bar_on_terminal(quiet, *columns) as bar:
            if bar is None:
                yield None if quiet else Lines(lambda line: typer.echo(line, err=True))
                return
            tasks: dict[str, TaskID] = {}

            def watch(what: str, done: int, total: int, remark: str) -> None:
                if what not in tasks:
                    for old in tasks.values():
                        bar.remove_task(old)
                    tasks.clear()
                    tasks[what] = bar.add_task(what, total=total, remark=remark)
                bar.update(tasks[what], completed=done, remark=remark)

            yield watch
    except KeyboardInterrupt:
        typer.echo(f"hybridsim: interrupted; the same command goes on from {folder}", err=True)
        raise typer.Exit(INTERRUPTED) from None
