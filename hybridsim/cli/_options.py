"""What several commands share: arguments and options, each said once, and what they lead to."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperCommand

from hybridsim._old_names import OPTIONS, new_path, said_on_stderr, say
from hybridsim.arch import parse_override
from hybridsim.errors import InputError, SpecError, UnknownNameError
from hybridsim.library import network_path
from hybridsim.workload import Network, load_network

if TYPE_CHECKING:
    from hybridsim.report.figures.style import Format

Workload = Annotated[str, typer.Argument(help="Bundled network, YAML file or config.json.")]
Arch = Annotated[str, typer.Argument(help="Bundled machine or YAML file, maybe :variant.")]
StudyFile = Annotated[Path, typer.Argument(help="Study file, or a folder with study.yaml.")]
Tokens = Annotated[
    int | None, typer.Option(help="Tokens per sequence; the network's own by default.")
]
Past = Annotated[
    int, typer.Option(help="Tokens before these, whose keys and values a decoder kept.")
]
Batch = Annotated[
    int | None, typer.Option(help="Tokens per batch; the best that fits by default.")
]
Engine = Annotated[str, typer.Option(help="compiled (Numba) or reference (SimPy).")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="path=value: a field of the machine, adapters.* or strategy.*"),
]
NoAdapters = Annotated[bool, typer.Option("--no-adapters", help="Drop all adapters.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print only what was asked for.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", help="Say on standard error what is done, and how long.")
]
FiguresOption = Annotated[
    str | None,
    typer.Option("--figures", help="Also draw figures for print into --out: pdf, png or svg."),
]
_KINDS = ("pdf", "png", "svg")
"""Formats of figures."""


DEFAULT = "token_parallel"
"""The strategy unless one is named: the paper's."""


class Command(TyperCommand):
    """A command that takes options under the names of earlier releases too, and says so."""

    old_options: Mapping[str, str] = OPTIONS
    """Old option -> option of today."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments, old names of options replaced."""
        with said_on_stderr():
            return super().parse_args(ctx, [*_by_names_of_today(args, self.old_options)])


class GenerateCommand(Command):
    """``generate``, whose sequences were a batch."""

    old_options = OPTIONS | {"--batch": "--sequences"}


def _by_names_of_today(args: list[str], old_options: Mapping[str, str]) -> Iterator[str]:
    for place, text in enumerate(args):
        name, equals, value = text.partition("=")
        if name in old_options and "--" not in args[:place]:
            say(name, old_options[name])
            text = f"{old_options[name]}{equals}{value}"
        yield text


def by_target(settings: list[str] | None, batch: int | None = None) -> dict[str, dict[str, Any]]:
    """Return the settings of machine, adapters and strategy, path -> value each.

    ``batch`` is one of the strategy, where it is given.

    Raises:
        SpecError: A setting is not of the form path=value.
    """
    groups: dict[str, dict[str, Any]] = {"machine": {}, "adapters": {}, "strategy": {}}
    for text in settings or []:
        path, value = parse_override(text)
        path = new_path(path)
        head, _, rest = path.partition(".")
        if head in ("adapters", "strategy") and rest:
            groups[head][rest] = value
        else:
            groups["machine"][path] = value
    if batch is not None:
        groups["strategy"]["batch"] = batch
    return groups


def network_of(workload: str, changes: dict[str, Any], no_adapters: bool = False) -> Network:
    """Return a network with some fields of its adapters replaced, or without any.

    Raises:
        UnknownNameError: Adapters have no such field.
    """
    network = load_network(network_path(workload))
    known = ("rank", "alpha", "targets", "exclude")
    for key in changes:
        if key not in known:
            raise UnknownNameError("--set: adapter field", key, known)
    if changes:
        network = network.with_adapters(**changes)
    return network.without_adapters() if no_adapters else network


def check_folder(folder: Path) -> None:
    """Refuse a place that cannot become a folder of results, before any work is done.

    Raises:
        SpecError: Something that is not a folder lies there, or on the way there.
    """
    for place in (folder, *folder.parents):
        if place.is_dir():
            if not os.access(place, os.W_OK):
                raise SpecError("--out", str(folder), f"{place} cannot be written to")
            return
        if place.exists():
            raise SpecError("--out", str(folder), f"{place} is a file; give a folder")


def write_all(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write every file under a temporary name, then rename them all into place.

    Raises:
        SpecError: The disk refuses; files that were there before are as they were.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".hybridsim-", dir=folder) as unfinished:
            for name, content in files.items():
                held = content.encode() if isinstance(content, str) else content
                (Path(unfinished) / name).write_bytes(held)
            for name in files:
                os.replace(Path(unfinished) / name, folder / name)
    except OSError as error:
        raise SpecError("--out", str(folder), f"cannot be written: {error.strerror}") from None


def check_figures(kind: str | None, folder: Path | None) -> "Format | None":
    """Return the kind of files to draw, or None, before any work is done.

    Raises:
        InputError: The kind is not known, or no folder is given.
    """
    if kind is None:
        return None
    if kind not in _KINDS:
        raise InputError(f"--figures: found {kind!r}; {', '.join(_KINDS)} would do")
    if folder is None:
        raise InputError("--figures: give --out DIR as well, the folder that they go to")
    return cast("Format", kind)
