"""The command line as a whole."""

import sys
from typing import Annotated

import typer

from hybridsim._version import __version__
from hybridsim.cli._commands import Commands
from hybridsim.cli._terminal import ending_in_a_sentence

app = typer.Typer(
    cls=Commands,
    name="hybridsim",
    help="Latency of transformers with LoRA adapters on analog tiles and RISC-V clusters.\n\n"
    "Begin with: hybridsim run mobilebert ahwa_lora_2026",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"hybridsim {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; the entry point of the ``hybridsim`` script."""
    with ending_in_a_sentence(sys.argv[1:]):
        app()
