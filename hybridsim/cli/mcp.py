"""``hybridsim mcp``: a Model Context Protocol server on standard input and output."""

from pathlib import Path
from typing import Annotated

import typer

from hybridsim.boundary.writing import check_place
from hybridsim.cli._terminal import ends_cleanly
from hybridsim.errors import InputError, installing


@ends_cleanly
def mcp(
    write: Annotated[
        Path | None,
        typer.Option("--write", help="Folder that tools may write into; nothing by default."),
    ] = None,
    own_code: Annotated[
        bool,
        typer.Option("--own-code", help="Let parts and strategies from Python files run."),
    ] = False,
    seconds: Annotated[
        float, typer.Option(min=1, max=86400, help="What takes longer is ended.")
    ] = 600,
) -> None:
    """Tools for agents: run, compare, explain, sweep, show and the schemas; read-only."""
    try:
        from hybridsim.agents.server import make_server
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "mcp":
            raise
        raise InputError(f"mcp needs its SDK; {installing('mcp')}") from None
    if write is not None:
        check_place(write)
    make_server(write, own_code, seconds).run("stdio")
