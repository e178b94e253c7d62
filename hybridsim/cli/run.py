"""``hybridsim run``: one network on one machine, and its answer as a table for people."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hybridsim.arch import load_machine, machine_sources
from hybridsim.boundary.kinds import Kind
from hybridsim.boundary.values import printable
from hybridsim.boundary.writing import write_all
from hybridsim.certainty import with_interval
from hybridsim.cli._folders import check_out
from hybridsim.cli._options import (
    DEFAULT,
    Arch,
    Batch,
    Engine,
    FiguresOption,
    HeadOption,
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
    network_of,
)
from hybridsim.cli._run_answer import render
from hybridsim.cli._terminal import Telling, ends_cleanly, out, print_json
from hybridsim.errors import SpecError, UnknownNameError
from hybridsim.measure.result import Result
from hybridsim.simulation import Run, execute
from hybridsim.strategies import make_strategy
from hybridsim.whole import run_by_default, with_whole_network
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
LayersOnly = Annotated[
    bool,
    typer.Option("--layers-only", help="Leave out what all ops of the network take beside them."),
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


KIND = Kind("run", ("result.json",))
KINDS = (KIND,)
"""What a folder of this command holds."""


@ends_cleanly
def run(
    workload: Workload,
    arch: Arch,
    strategy: Annotated[
        str | None, typer.Option(help="Strategy; token_parallel by default, list names all.")
    ] = None,
    tokens: Tokens = None,
    past: Past = 0,
    batch: Batch = None,
    engine: Engine = "compiled",
    set_: Settings = None,
    no_adapters: NoAdapters = False,
    head: HeadOption = None,
    check_numerics: CheckNumerics = False,
    analog_noise: AnalogNoise = None,
    every_layer: EveryLayer = False,
    layers_only: LayersOnly = False,
    out_: Out = None,
    trace: TraceFile = None,
    flows: TraceFlows = "auto",
    figures: FiguresOption = None,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Latency per layer and overhead of NETWORK on MACHINE."""
    telling = Telling(verbose, quiet)
    check_out(out_, KIND)
    if trace is not None:
        _check_trace(trace, flows)
    kind, times = check_figures(figures, out_), noise_times(analog_noise)
    groups = by_target(set_, batch)
    with telling.working("simulating", quiet or json_):
        options = groups["strategy"]
        network = network_of(workload, groups["adapters"], no_adapters, head)
        machine = load_machine(arch, groups["machine"])
        if strategy is None and not options and not past:
            done = run_by_default(network, machine, tokens, engine, check_numerics)
        else:
            chosen = make_strategy(strategy or DEFAULT, options)
            done = execute(network, machine, chosen, tokens, engine, check_numerics, past)
        result = with_analog_noise(with_interval(done), times)
    if not layers_only:
        with telling.working("running the whole network", quiet or json_):
            result = with_whole_network(result, network, machine)
    _tell(telling, result)
    _note_no_adapters(network, no_adapters or quiet or json_)
    if trace is not None:
        with telling.working("writing the trace", quiet or json_):
            events = _write_trace(done, trace, flows)
        telling.say("written", f"{trace}: {events:,} events")
    if out_ is not None:
        sources = machine_sources(arch, groups["machine"])
        write_all(out_, _files(replace(done, result=result), sources, kind))
        telling.wrote(out_ / "page.html", json_)
    telling.end()
    if json_:
        print_json(result.model_dump(mode="json"))
    elif not quiet:
        out().print(render(result, every_layer))


def _note_no_adapters(network: Network, silent: bool) -> None:
    """Say how a network without adapters, as a config.json leads to, would have some."""
    if network.static_linear_layers and not network.adapted_layers and not silent:
        note = f"{network.name} has no adapters; --set adapters.rank=8 would put some on it"
        typer.echo(f"hybridsim: {printable(note)}", err=True)


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
    import pandas as pd  # slow to import

    frame = pd.DataFrame([row.model_dump() for row in result.analog_noise.rows])
    return {"analog_noise.csv": frame.to_csv(index=False)}
