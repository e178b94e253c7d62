"""``hybridsim run``: one network on one machine, and its answer as a table for people."""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import pandas as pd
import typer
from rich.console import Group, RenderableType
from rich.markup import escape

from hybridsim.arch import load_machine, machine_sources
from hybridsim.certainty import with_interval
from hybridsim.cli._options import (
    Arch,
    Batch,
    Engine,
    FiguresOption,
    Json,
    NoAdapters,
    Past,
    Quiet,
    Settings,
    Tokens,
    Verbose,
    Workload,
    by_target,
    check_figures,
    check_folder,
    network_of,
    write_all,
)
from hybridsim.cli._terminal import Telling, ends_cleanly, out, plain_table, print_json
from hybridsim.errors import SpecError, UnknownNameError
from hybridsim.measure.interval import sure
from hybridsim.measure.result import AnalogNoiseRow, LayerResult, OpResult, Result
from hybridsim.simulation import Run, execute
from hybridsim.strategies import make_strategy
from hybridsim.units import format_bytes, format_ps
from hybridsim.workload import Network

if TYPE_CHECKING:
    from hybridsim.report.figures.style import Format

CheckNumerics = Annotated[
    bool, typer.Option("--check-numerics", help="Run the adapter kernels on random weights.")
]
AnalogNoise = Annotated[
    str | None,
    typer.Option("--analog-noise", help="t=TIME[,TIME]: noise of the tiles, as in t=1y."),
]
EveryLayer = Annotated[
    bool, typer.Option("--every-layer", help="One row per layer, however many there are.")
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder for page.html, result.json and tables.")
]
TraceFile = Annotated[
    Path | None, typer.Option("--trace", help="Timeline for Perfetto: a .json or .json.gz file.")
]
TraceFlows = Annotated[
    str,
    typer.Option("--trace-flows", help="Dependencies in the trace: auto, all, last or none."),
]


@ends_cleanly
def run(
    workload: Workload,
    arch: Arch,
    strategy: Annotated[
        str, typer.Option(help="Strategy; hybridsim list names them.")
    ] = "token_parallel",
    tokens: Tokens = None,
    past: Past = 0,
    batch: Batch = None,
    engine: Engine = "compiled",
    set_: Settings = None,
    no_adapters: NoAdapters = False,
    check_numerics: CheckNumerics = False,
    analog_noise: AnalogNoise = None,
    every_layer: EveryLayer = False,
    out_: Out = None,
    trace: TraceFile = None,
    flows: TraceFlows = "auto",
    figures: FiguresOption = None,
    json_: Json = False,
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
    groups = by_target(set_, batch)
    with telling.working("simulating", quiet or json_):
        chosen = make_strategy(strategy, groups["strategy"])
        network = network_of(workload, groups["adapters"], no_adapters)
        machine = load_machine(arch, groups["machine"])
        done = execute(network, machine, chosen, tokens, engine, check_numerics, past)
        result = with_analog_noise(with_interval(done), times)
    _tell(telling, result)
    if trace is not None:
        with telling.working("writing the trace", quiet or json_):
            events = _write_trace(done, trace, flows)
        telling.say("written", f"{trace}: {events:,} events")
    if out_ is not None:
        sources = machine_sources(arch, groups["machine"])
        write_all(out_, _files(replace(done, result=result), sources, kind))
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


def _write_trace(done: Run, path: Path, flows: str) -> int:
    from hybridsim.report.trace import Flows, write_trace

    return write_trace(done, path, cast(Flows, flows))


def _files(done: Run, sources: dict[str, str], kind: "Format | None") -> dict[str, str | bytes]:
    # templates and tables of pages only where a page is written
    from hybridsim.report.page.run_page import page_files

    result = done.result
    return {
        **page_files(done, sources),
        "result.json": result.to_json() + "\n",
        "layers.csv": result.to_csv(),
        "resources.csv": result.resources_frame().to_csv(index=False),
        **({"ops.csv": result.ops_frame().to_csv(index=False)} if result.ops else {}),
        **({} if kind is None else run_figures(done, kind)),
        **noise_files(result),
    }


def run_figures(done: Run, kind: "Format") -> dict[str, bytes]:
    """Return file name -> figure."""
    # Matplotlib only where something is drawn
    from hybridsim.report.figures.run import run_files

    return run_files(done, kind)


def _tell(telling: Telling, result: Result) -> None:
    """Say what was simulated: inputs as they were resolved, engine, tasks."""
    inputs = result.inputs
    options = {k: v for k, v in inputs["strategy"].items() if k != "kind"}
    told = ", ".join(f"{key}={value}" for key, value in options.items())
    telling.say("network", f"{result.network}, {result.tokens} tokens")
    telling.say("machine", f"{result.machine}, {inputs['machine']['description']}")
    telling.say("strategy", f"{result.strategy} ({told})" if told else result.strategy)
    telling.say("engine", f"{result.engine}, {result.tasks:,} tasks")


MOST_ROWS = 40
"""Layers that are shown one by one; longer networks are shown by kind of layer."""
SHORT_KINDS = {"matrix_engine": "engine"}
"""Kinds of parts as the narrow table names them."""


def render(result: Result, every_layer: bool = False) -> RenderableType:
    """Return a result as a table per layer, or per kind of layer, and the answer below it."""
    table = plain_table(
        "layer", "#", "shape", "t", "latency", "yardstick", "over", "bound by",
        right="#|shape|t|latency|yardstick|over",
    )  # fmt: skip
    one_by_one = every_layer or len(result.layers) <= MOST_ROWS
    for name, count, layer in _rows(result, one_by_one):
        table.add_row(
            escape(name),
            str(count),
            f"{layer.in_features}x{layer.out_features}",
            str(layer.batch) if layer.rank else "-",
            format_ps(layer.latency_ps),
            format_ps(layer.yardstick_ps),
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
    interval = result.interval
    lines = [
        f"{escape(result.network)} on {escape(result.machine)}, {tokens}, {what}, "
        f"{result.strategy}:",
        f"  latency      {format_ps(result.latency_ps)}{sure(interval, 'latency')}  "
        f"(yardstick {format_ps(result.yardstick_ps)}, "
        f"{'without adapters' if result.ops else 'all-analog'})",
        f"  overhead     {result.overhead_percent:.2f} %{sure(interval, 'overhead')}",
        f"  bound by     {shares} of the critical path",
        f"  tiles        {result.tiles}, {result.occupancy:.0%} of their devices hold weights",
    ]
    if result.energy is not None:
        lines.append(f"  energy       {result.energy.summary}{sure(interval, 'energy')}")
    if result.tcdm_bytes:
        lines.append(f"  TCDM         {format_bytes(result.tcdm_bytes)} at most on a cluster")
    if interval and interval.assumed:
        lines.append(f"  assumed      {interval.assumed}")
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


def noise_times(text: str | None) -> tuple[float, ...]:
    """Return the seconds since programming that ``t=1h,1y`` asks for; none for None.

    Raises:
        SpecError: The text is not of that form.
    """
    if text is None:
        return ()
    # here and below imported on use: a run without noise shall not wait for it
    from hybridsim.analog.times import STANDARD_TIMES, parse_time

    name, equals, values = text.partition("=")
    if name.strip() != "t" or not equals:
        problem = (
            f"found {text[:60]!r}; t=TIME would do, as in t=1y or t={','.join(STANDARD_TIMES)}"
        )
        raise SpecError("", "--analog-noise", problem)
    try:
        return tuple(dict.fromkeys(parse_time(value) for value in values.split(",")))
    except ValueError as error:
        raise SpecError("", "--analog-noise", f"t: {error}") from None


def with_analog_noise(result: Result, seconds: tuple[float, ...]) -> Result:
    """Return the result with the noise of its network's layers at these times, if any."""
    if not seconds:
        return result
    from hybridsim.measure.numerics import analog_noise_of

    network = Network.model_validate(result.inputs["network"])
    return result.model_copy(update={"analog_noise": analog_noise_of(network, seconds)})


def noise_files(result: Result) -> dict[str, str]:
    """Return the table of the noise as a file, where it was asked for."""
    if result.analog_noise is None:
        return {}
    frame = pd.DataFrame([row.model_dump() for row in result.analog_noise.rows])
    return {"analog_noise.csv": frame.to_csv(index=False)}


def noise_lines(result: Result, one_by_one: bool) -> list[RenderableType]:
    """Return the noise as a table: one row per layer or kind of layer, columns per time."""
    noise = result.analog_noise
    if noise is None:
        return []
    from hybridsim.analog.times import format_time

    times = list(dict.fromkeys(row.seconds for row in noise.rows))
    heads = [f"{format_time(t)} {what}" for t in times for what in ("SNR", "1-cos")]
    table = plain_table("layer", "#", *heads, right="|".join(["#", *heads]))
    alike: dict[tuple[str, ...], list[str]] = {}
    by_layer: dict[str, list[AnalogNoiseRow]] = {}
    for row in noise.rows:
        by_layer.setdefault(row.layer, []).append(row)
    for name, rows in by_layer.items():
        kind = name if one_by_one else re.sub(r"\d+", "*", name)
        cells = [
            text for row in rows for text in (f"{row.snr_db:.1f} dB", f"{row.cosine_error:.4f}")
        ]
        alike.setdefault((kind, *cells), []).append(name)
    for (kind, *cells), names in alike.items():
        table.add_row(escape(kind), str(len(names)), *cells)
    return [
        "",
        f"analog noise over time since programming, mean of {noise.chips} chips, tiles as in the "
        "paper:",
        table,
        f"weights {noise.weights}; IR drop left out",
    ]
