"""``hybridsim run``: one network on one machine."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.markup import escape

from hybridsim.arch import load_machine
from hybridsim.cli._analog_noise import (
    noise_files,
    noise_lines,
    noise_times,
    with_analog_noise,
)
from hybridsim.cli._files import check_folder, write_all
from hybridsim.cli._settings import by_target, with_adapters
from hybridsim.cli._terminal import ends_cleanly, out, plain_table, print_json, working
from hybridsim.library import network_path
from hybridsim.metrics.result import LayerResult, OpResult, Result
from hybridsim.schedulers import make_scheduler
from hybridsim.simulate import simulate
from hybridsim.units import format_bytes, format_ps
from hybridsim.workload import load_network

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
        Path | None, typer.Option("--out", help="Folder for result.json and CSV tables.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only what was asked for.")] = False,
) -> None:
    """Latency per layer and overhead of WORKLOAD on ARCH."""
    if out_ is not None:
        check_folder(out_)
    times = noise_times(analog_noise)
    with working("simulating", quiet or json_):
        result = _simulated(
            workload,
            arch,
            scheduler,
            tokens,
            batch,
            engine,
            set_ or [],
            no_adapters,
            check_numerics,
        )
        result = with_analog_noise(result, times)
    if out_ is not None:
        write_all(
            out_,
            {
                "result.json": result.to_json() + "\n",
                "layers.csv": result.to_csv(),
                "resources.csv": result.resources_frame().to_csv(index=False),
                **({"ops.csv": result.ops_frame().to_csv(index=False)} if result.ops else {}),
                **noise_files(result),
            },
        )
    if json_:
        print_json(result.model_dump(mode="json"))
    elif not quiet:
        out().print(render(result, every_layer))


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
) -> Result:
    groups = by_target(settings)
    options = groups["scheduler"] | ({} if batch is None else {"batch": batch})
    strategy = make_scheduler(scheduler, options)
    network = with_adapters(load_network(network_path(workload)), groups["adapters"])
    if no_adapters:
        network = network.without_adapters()
    machine = load_machine(arch, groups["machine"])
    return simulate(network, machine, strategy, tokens, engine, check_numerics)


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
        f"{kind.replace('_', ' ')} {share:.0%}"
        for kind, share in result.critical_path_share.items()
        if share >= 0.005
    )
    rank = max((layer.rank for layer in result.layers), default=0)
    what = f"adapters of rank {rank}" if rank else "no adapters"
    lines = [
        f"{escape(result.network)} on {escape(result.machine)}, {result.tokens} tokens, {what}, "
        f"{result.scheduler}:",
        f"  latency      {format_ps(result.latency_ps)}  "
        f"({'without adapters' if result.ops else 'all-analog'} "
        f"{format_ps(result.all_analog_ps)})",
        f"  overhead     {result.overhead_percent:.2f} %",
        f"  bound by     {shares}  (share of the critical path)",
        f"  tiles        {result.tiles}, {result.occupancy:.0%} of their devices hold weights",
    ]
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
