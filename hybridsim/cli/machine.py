"""``hybridsim machine``: a file for a machine of one's own."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hybridsim.arch import load_machine, template
from hybridsim.cli._commands import Command
from hybridsim.cli._options import Json
from hybridsim.cli._terminal import ends_cleanly, print_json
from hybridsim.errors import SpecError, UnknownNameError
from hybridsim.estimates import Answer, Settings, Untold, as_yaml
from hybridsim.estimates import estimate as estimates_of
from hybridsim.estimates.figures import DRAM_BITS
from hybridsim.library import machine_names

app = typer.Typer(
    help="A file for a machine of one's own.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

_LIKE = "ahwa_lora_2026"


@app.callback()
def _commands() -> None:
    """A file for a machine of one's own."""


@app.command("new", cls=Command)
@ends_cleanly
def new(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The file to write; it must not exist.")
    ],
    like: Annotated[
        str | None, typer.Option(help=f"What it is like, maybe :variant; {_LIKE} by default.")
    ] = None,
    json_: Json = False,
) -> None:
    """Write a template: a machine like another one.

    All that can be changed is there as comments, with what it is today.
    """
    _check_new(file)
    load_machine(like or _LIKE)
    _write(file, template(like or _LIKE, file.stem, _seen_from(file, like or _LIKE)))
    if json_:
        print_json({"file": str(file), "like": like or _LIKE})
        return
    typer.echo(f"{file}: a machine like {like or _LIKE}, for you to change")
    typer.echo(f"see it whole: hybridsim show {file}")


@app.command("estimate", cls=Command)
@ends_cleanly
def estimate(
    machine: Annotated[
        str,
        typer.Argument(metavar="MACHINE", help="A machine: a name, maybe :variant, or a file."),
    ],
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The file to write; it must not exist.")
    ],
    node: Annotated[int, typer.Option(help="Of the technology [nm].", min=7, max=180)] = 28,
    bits: Annotated[int, typer.Option(help="Of the converters of tiles.", min=1, max=16)] = 8,
    dram: Annotated[str, typer.Option(help=f"{', '.join(DRAM_BITS)}.")] = "hbm2",
    json_: Json = False,
) -> None:
    """Write numbers of energy and area that a machine lacks.

    Where MACHINE has parts but no numbers of them, each estimate comes with its source.
    """
    if dram not in DRAM_BITS:
        raise UnknownNameError("external memory", dram, DRAM_BITS)
    _check_new(file)
    found = estimates_of(load_machine(machine), Settings(node, bits, dram))
    answers = [each for each in found if isinstance(each, Answer)]
    if answers:
        _write(file, as_yaml(answers, _seen_from(file, machine), file.stem))
    if json_:
        print_json(_document(machine, file if answers else None, found))
        return
    if answers:
        typer.echo(f"{file}: {machine} with {len(answers)} estimates, at {node} nm, {bits} bits")
    else:
        typer.echo(f"{machine}: nothing that can be estimated is missing; no file is written")
    for each in found:
        value, why = _told(each)
        typer.echo(f"  {each.path} = {value or 'unknown'}: {why}")
    for instead in sorted({each.instead for each in answers if each.instead}):
        typer.echo(f"published figures were taken, as {instead}")


def _told(found: Answer | Untold) -> tuple[str | None, str]:
    """Return an estimate and where it is from; None and why there is none."""
    if isinstance(found, Answer):
        return found.value, found.source.removeprefix("estimated: ")
    return None, found.why


def _document(machine: str, file: Path | None, found: Sequence[Answer | Untold]) -> dict[str, Any]:
    told = ((each.path, *_told(each)) for each in found)
    return {
        "file": None if file is None else str(file),
        "like": machine,
        "estimates": [dict(zip(("path", "value", "source"), one, strict=True)) for one in told],
    }


def _check_new(file: Path) -> None:
    if file.exists():
        raise SpecError(str(file), "", "is there already; the name of a new file would do")
    if not file.parent.is_dir() or file.suffix not in (".yaml", ".yml"):
        raise SpecError(str(file), "", "a .yaml file in a folder that exists would do")


def _seen_from(file: Path, machine: str) -> str:
    """Return what a file calls a machine: its name, or the way to its file."""
    base, colon, variant = machine.partition(":")
    if base not in machine_names():
        base = os.path.relpath(base, file.parent)
    return f"{base}{colon}{variant}"


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SpecError(str(file), "", f"cannot be written: {error.strerror}") from None
