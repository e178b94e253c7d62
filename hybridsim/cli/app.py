"""The commands, put together."""

from typing import Annotated

import typer

from hybridsim._version import __version__
from hybridsim.cli._options import Command, GenerateCommand
from hybridsim.cli.adapt import adapt
from hybridsim.cli.codesign import codesign
from hybridsim.cli.compare import compare
from hybridsim.cli.cost import cost
from hybridsim.cli.explain import explain
from hybridsim.cli.generate import generate_command
from hybridsim.cli.report import report
from hybridsim.cli.run import run
from hybridsim.cli.serve import alternatives, serve
from hybridsim.cli.show import list_bundled, show
from hybridsim.cli.sweep import search, sweep
from hybridsim.cli.validate import app as validate_app

app = typer.Typer(
    name="hybridsim",
    help="Latency of transformers with LoRA adapters on analog tiles and RISC-V clusters.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run", cls=Command)(run)
app.command("report", cls=Command)(report)
app.command("compare", cls=Command)(compare)
app.command("explain", cls=Command)(explain)
app.command("generate", cls=GenerateCommand)(generate_command)
app.command("cost", cls=Command)(cost)
app.command("show", cls=Command)(show)
app.command("sweep", cls=Command)(sweep)
app.command("search", cls=Command)(search)
app.command("serve", cls=Command)(serve)
app.command("alternatives", cls=Command)(alternatives)
app.command("adapt", cls=Command)(adapt)
app.command("codesign", cls=Command)(codesign)
app.command("list", cls=Command)(list_bundled)
app.add_typer(validate_app, name="validate")


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
    app()
