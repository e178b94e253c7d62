"""What several commands share: arguments and options, each said once, and what they lead to."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from hybridsim._old_names import new_path
from hybridsim.errors import InputError, SpecError
from hybridsim.library import network_path

if TYPE_CHECKING:
    from hybridsim.report.figures.style import Format
    from hybridsim.workload import Head, Network

Workload = Annotated[
    str,
    typer.Argument(
        metavar="NETWORK", help="Bundled network, YAML file, config.json or ONNX file."
    ),
]
Arch = Annotated[
    str, typer.Argument(metavar="MACHINE", help="Bundled machine or YAML file, maybe :variant.")
]
StudyFile = Annotated[
    Path, typer.Argument(metavar="STUDY", help="Study file, or a folder with study.yaml.")
]
StudyFolder = Annotated[Path, typer.Option("--out", help="Folder that keeps every step; resumes.")]
JudgedOn = Annotated[
    Literal["test", "validation"],
    typer.Option("--on", help="Sentences that judge: choose on validation, test once."),
]
Tokens = Annotated[
    int | None, typer.Option(help="Tokens per sequence; the network's own by default.")
]
Past = Annotated[
    int, typer.Option(help="Tokens before these, whose keys and values a decoder kept.")
]
Batch = Annotated[
    int | None, typer.Option(help="Tokens per batch; the fastest that fits by default.")
]
Engine = Annotated[str, typer.Option(help="compiled (Numba) or reference (SimPy).")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="path=value: a field of the machine, adapters.* or strategy.*; may be repeated.",
    ),
]
HeadOption = Annotated[
    str | None,
    typer.Option(
        "--head", help="Of a config.json: question_answering, pooler, lm_head or classifier."
    ),
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


_MEANT = {
    "alpha": "adapters.alpha",
    "batch": "strategy.batch",
    "clusters": "cluster.count, or strategy.clusters",
    "exclude": "adapters.exclude",
    "head": "the option --head",
    "past": "the option --past",
    "rank": "adapters.rank",
    "strategy": "the option --strategy",
    "targets": "adapters.targets",
    "tiles": "tile.count",
    "tokens": "the option --tokens",
    "unit": "strategy.unit",
}
"""What is set by a name that a machine lacks, or has for a mapping -> what would do."""

DEFAULT = "token_parallel"
"""The strategy unless one is named: the paper's."""


def by_target(settings: list[str] | None, batch: int | None = None) -> dict[str, dict[str, Any]]:
    """Return the settings of machine, adapters and strategy, path -> value each.

    ``batch`` is one of the strategy, where it is given.

    Raises:
        SpecError: A setting is not of the form path=value.
        InputError: It says another batch than ``batch``.
    """
    from hybridsim.arch import parse_override  # here and below, as list needs neither

    groups: dict[str, dict[str, Any]] = {"machine": {}, "adapters": {}, "strategy": {}}
    for text in settings or []:
        path, value = parse_override(text)
        path = new_path(path)
        head, _, rest = path.partition(".")
        if head in ("adapters", "strategy") and rest:
            groups[head][rest] = value
        else:
            if path in _MEANT and not isinstance(value, dict):
                problem = f"is no such field of a machine; {_MEANT[path]} would do"
                raise SpecError("--set", path, problem)
            groups["machine"][path] = value
    if batch is not None:
        if groups["strategy"].get("batch", batch) != batch:
            raise InputError("--batch and --set strategy.batch: give one of them")
        groups["strategy"]["batch"] = batch
    return groups


def network_of(
    workload: str,
    changes: dict[str, Any],
    no_adapters: bool = False,
    head: str | None = None,
) -> "Network":
    """Return a network with some fields of its adapters replaced, or without any.

    ``head`` is what follows a config.json whose file names no head.

    Raises:
        UnknownNameError: Adapters have no such setting.
        InputError: Adapters are changed and dropped.
    """
    from hybridsim.workload import load_network

    if no_adapters and changes:
        given = ", ".join(f"--set adapters.{path}" for path in changes)
        raise InputError(f"--no-adapters and {given}: give one of them")
    network = load_network(network_path(workload), cast("Head | None", head))
    network = network.with_adapter_settings(changes)
    return network.without_adapters() if no_adapters else network


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
