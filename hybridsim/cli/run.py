"""``hybridsim run``: one network on one machine."""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Group, RenderableType
from rich.markup import escape

from hybridsim.arch import load_machine, machine_sources
from hybridsim.cli._analog_noise import (
    noise_files,
    noise_lines,
    noise_times,
    with_analog_noise,
)
from hybridsim.cli._figures import FiguresOption, check_figures
from hybridsim.cli._files import check_folder, write_all
from hybridsim.cli._settings import by_target, with_adapters
from hybridsim.cli._telling import Quiet, Telling, Verbose
from hybridsim.cli._terminal import ends_cleanly, out, plain_table, print_json, working
from hybridsim.errors import UnknownNameError
from hybridsim.library import network_path
from hybridsim.metrics.result import LayerResult, OpResult, Result
from hybridsim.schedulers import make_scheduler
from hybridsim.simulate import Run, execute
from hybridsim.units import format_bytes, format_ps
from hybridsim.workload import load_network

if TYPE_CHECKING:
    from hybridsim.report.figures.style import Format

MOST_ROWS = 40
"""Layers that are shown one by one; longer networks are shown by kind of layer."""
SHORT_KINDS = {"matrix_engine": "engine"}
"""Kinds of parts as the narrow table names them."""


@ends_cleanly
def run(
    workload: Annotated[str, typer.Argument(help="Bundled network, YAML file or config.json.")],
    arch: Annotated[str, typer.Argument(help="Bundled machine or YAML file, maybe :variant.")],
    scheduler: Annotated[
        str, typer.Option(help="Pipeline strategy; hybridsim list names them.")
    ] = "token_parallel",
    tokens: Annotated[
        int | None, typer.Option(help="Tokens per sequence; the network's own by default.")
    ] = None,
    past: Annotated[
        int, typer.Option(help="Tokens before these, whose keys and values a decoder kept.")
    ] = 0,
    batch: Annotated[
        int | None, typer.Option(help="Tokens per batch; the best that fits by default.")
    ] = None,
    engine: Annotated[str, typer.Option(help="fast (compiled) or des (SimPy).")] = "fast",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="path=value: a field of the machine, adapters.* or scheduler.*"
        ),
    ] = None,
    no_adapters: Annotated[bool, typer.Option("--no-adapters", help="Drop all adapters.")] = False,
    check_numerics: Annotated[
        bool, typer.Option("--check-numerics", help="Run the adapter kernels on random weights.")
    ] = False,
    analog_noise: Annotated[
        str | None,
        typer.Option("--analog-noise", help="t=TIME[,TIME]: noise of the tiles, as in t=1y."),
    ] = None,
    every_layer: Annotated[
        bool, typer.Option("--every-layer", help="One row per layer, however many there are.")
    ] = False,
    out_: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for page.html, result.json and tables."),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option("--trace", help="Timeline for Perfetto: a .json or .json.gz file."),
    ] = None,
    flows: Annotated[
        str,
        typer.Option("--trace-flows", help="Dependencies in the trace: auto, all, last or none."),
    ] = "auto",
    figures: FiguresOption = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Latency per layer and overhead of WORKLOAD on ARCH."""
    telling = Telling(verbose, quiet)
    if out_ is not None:
        check_folder(out_)
    if trace is not None:
        _check_trace(trace, flows)
    kind, times = check_figures(figures, out_), noise_times(analog_noise)
    with working("simulating", quiet or json_ or verbose), telling.stage("simulating"):
        done = _simulated(
            workload,
            arch,
            scheduler,
            tokens,
            batch,
            engine,
            set_ or [],
            no_adapters,
            check_numerics,
            past,
        )
        result = with_analog_noise(done.result, times)
    _tell(telling, result)
    if trace is not None:
        with working("writing the trace", quiet or json_ or verbose):
            _write_trace(done, trace, flows, telling)
    if out_ is not None:
        # templates and tables of pages only where a page is written
        from hybridsim.report.page.folder import page_files

        write_all(
            out_,
            {
                **page_files(
                    replace(done, result=result),
                    machine_sources(arch, by_target(set_ or [])["machine"]),
                ),
                "result.json": result.to_json() + "\n",
                "layers.csv": result.to_csv(),
                "resources.csv": result.resources_frame().to_csv(index=False),
                **({"ops.csv": result.ops_frame().to_csv(index=False)} if result.ops else {}),
                **({} if kind is None else run_figures(done, kind)),
                **noise_files(result),
            },
        )
        telling.say("written", out_)
    telling.end()
    if json_:
        print_json(result.model_dump(mode="json"))
    elif not quiet:
        out().print(render(result, every_layer))


def _check_trace(path: Path, flows: str) -> None:
    """Refuse a trace that could not be written, before any work is done."""
    from hybridsim.report.trace import FLOWS, check_trace_path

    if flows not in FLOWS:
        raise UnknownNameError("--trace-flows:", flows, FLOWS)
    check_trace_path(path)


def _write_trace(done: Run, path: Path, flows: str, telling: Telling) -> None:
    from hybridsim.report.trace import Flows, write_trace

    with telling.stage("writing the trace"):
        events = write_trace(done, path, cast(Flows, flows))
    telling.say("written", f"{path}: {events:,} events")


def run_figures(done: Run, kind: "Format") -> dict[str, bytes]:
    """Return file name -> figure."""
    # Matplotlib only where something is drawn
    from hybridsim.report.figures.sets import run_files

    return run_files(done, kind)


def _tell(telling: Telling, result: Result) -> None:
    """Say what was simulated: inputs as they were resolved, engine, tasks."""
    inputs = result.inputs
    options = {k: v for k, v in inputs["scheduler"].items() if k != "kind"}
    told = ", ".join(f"{key}={value}" for key, value in options.items())
    telling.say("network", f"{result.network}, {result.tokens} tokens")
    telling.say("machine", f"{result.machine}, {inputs['machine']['description']}")
    telling.say("scheduler", f"{result.scheduler} ({told})" if told else result.scheduler)
    telling.say("engine", f"{result.engine}, {result.tasks:,} tasks")


def _simulated(
    workload: str,
    arch: str,
    scheduler: str,
    tokens: int | None,
    batch: int | None,
    engine: str,
    settings: list[str],
    no_adapters: bool,
    check_numerics: bool,
    past: int,
) -> Run:
    groups = by_target(settings)
    options = groups["scheduler"] | ({} if batch is None else {"batch": batch})
    strategy = make_scheduler(scheduler, options)
    network = with_adapters(load_network(network_path(workload)), groups["adapters"])
    if no_adapters:
        network = network.without_adapters()
    machine = load_machine(arch, groups["machine"])
    return execute(network, machine, strategy, tokens, engine, check_numerics, past)


def render(result: Result, every_layer: bool = False) -> RenderableType:
    """Return a result as a table per layer, or per kind of layer, and the answer below it."""
    bare = "bare" if result.ops else "analog"
    table = plain_table(
        "layer", "#", "shape", "t", "latency", bare, "over", "bound by",
        right=f"#|shape|t|latency|{bare}|over",
    )  # fmt: skip
    one_by_one = every_layer or len(result.layers) <= MOST_ROWS
    for name, count, layer in _rows(result, one_by_one):
        table.add_row(
            escape(name),
            str(count),
            f"{layer.in_features}x{layer.out_features}",
            str(layer.batch) if layer.rank else "-",
            format_ps(layer.latency_ps),
            format_ps(layer.all_analog_ps),
            _percent(layer.overhead_percent),
            SHORT_KINDS.get(layer.bound, layer.bound),
        )
    others = [_other_ops(result), ""] if result.ops else []
    return Group(table, "", *others, *_summary(result), *noise_lines(result, one_by_one))


def _other_ops(result: Result) -> RenderableType:
    """Return the ops that are no linear layers, by kind: how many, where, the slowest of them."""
    table = plain_table(
        "other op", "#", "on", "split", "latency", "busy", "cost",
        right="#|split|latency|busy",
    )  # fmt: skip
    alike: dict[str, list[OpResult]] = {}
    for op in result.ops:
        alike.setdefault(re.sub(r"\d+", "*", op.name), []).append(op)
    for name, ops in alike.items():
        slowest = max(ops, key=lambda op: op.latency_ps)
        table.add_row(
            escape(name),
            str(len(ops)),
            slowest.where,
            str(slowest.pieces),
            format_ps(slowest.latency_ps),
            format_ps(slowest.busy_ps),
            slowest.cost_from.replace("_", " "),
        )
    return table


def _percent(value: float) -> str:
    return f"{value:.1f} %" if value < 100 else f"{value:.0f} %"


def _rows(result: Result, one_by_one: bool) -> list[tuple[str, int, LayerResult]]:
    """Return (name, how many, one of them); layers alike in all but their index are one row.

    In a run of a whole network blocks overlap and differ a little; the slowest one is shown.
    """
    if one_by_one:
        return [(layer.name, 1, layer) for layer in result.layers]
    alike: dict[tuple[Any, ...], list[LayerResult]] = {}
    for layer in result.layers:
        kind = re.sub(r"\d+", "*", layer.name)
        key: tuple[Any, ...] = (kind, layer.in_features, layer.out_features)
        if not result.ops:
            key += (layer.latency_ps, layer.bound)
        alike.setdefault(key, []).append(layer)
    return [
        (str(key[0]), len(layers), max(layers, key=lambda layer: layer.latency_ps))
        for key, layers in alike.items()
    ]


def _summary(result: Result) -> list[str]:
    shares = ", ".join(
        f"{SHORT_KINDS.get(kind, kind.replace('_', ' '))} {share:.0%}"
        for kind, share in result.critical_path_share.items()
        if share >= 0.005
    )
    rank = max((layer.rank for layer in result.layers), default=0)
    what = f"adapters of rank {rank}" if rank else "no adapters"
    tokens = f"{result.tokens} tokens" if result.tokens != 1 else "1 token"
    if result.past:
        tokens += f" after {result.past}"
    lines = [
        f"{escape(result.network)} on {escape(result.machine)}, {tokens}, {what}, "
        f"{result.scheduler}:",
        f"  latency      {format_ps(result.latency_ps)}  "
        f"({'without adapters' if result.ops else 'all-analog'} "
        f"{format_ps(result.all_analog_ps)})",
        f"  overhead     {result.overhead_percent:.2f} %",
        f"  bound by     {shares} of the critical path",
        f"  tiles        {result.tiles}, {result.occupancy:.0%} of their devices hold weights",
    ]
    if result.energy is not None:
        lines.append(f"  energy       {result.energy.summary}")
    if result.tcdm_bytes:
        lines.append(f"  TCDM         {format_bytes(result.tcdm_bytes)} at most on a cluster")
    lines += [f"  {escape(note)}" for note in result.notes]
    if result.free_ops:
        kinds = sorted({re.sub(r"block\d+\.|\d+", "", name) for name in result.free_ops})
        names = ", ".join(kinds[:4]) + (", ..." if len(kinds) > 4 else "")
        lines.append(
            f"  free         {len(result.free_ops)} ops, declared by the machine: {names}"
        )
    if result.numerics is not None:
        lines.append(f"  numerics     {result.numerics.summary}")
    return lines
