"""Arguments and options that several commands share, each said once."""

from pathlib import Path
from typing import Annotated

import typer

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
    typer.Option("--set", help="path=value: a field of the machine, adapters.* or scheduler.*"),
]
NoAdapters = Annotated[bool, typer.Option("--no-adapters", help="Drop all adapters.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print only what was asked for.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", help="Say on standard error what is done, and how long.")
]
