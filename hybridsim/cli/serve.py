"""``hybridsim serve``: requests of many tasks on one chip, adapters swapped in as they come.

``hybridsim alternatives``: adapters, reprogrammed tiles, or a chip per task.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Group, RenderableType
from rich.markup import escape

from hybridsim.arch import Machine, load_machine
from hybridsim.cli._options import (
    Arch,
    Json,
    Quiet,
    Settings,
    Tokens,
    Workload,
    by_target,
    check_folder,
    network_of,
    write_all,
)
from hybridsim.cli._terminal import ends_cleanly, out, plain_table, print_json, working
from hybridsim.errors import InputError, UnknownNameError
from hybridsim.generation import GenerationTimes, strategy_for
from hybridsim.service import (
    MIXES,
    POLICIES,
    Alternatives,
    Request,
    Service,
    ServiceResult,
    compare_alternatives,
    poisson_requests,
    read_peft,
    read_requests,
    run_service,
)
from hybridsim.simulation import execute
from hybridsim.strategies import NetworkStrategy, Strategy, make_strategy
from hybridsim.units import format_bytes, format_energy, format_ps
from hybridsim.workload import Network

Choice = TypeVar("Choice", bound=str)

Requests = Annotated[
    Path | None, typer.Option(help="CSV of requests: arrival, task, prompt and maybe output.")
]
Tasks = Annotated[int, typer.Option(help="Without a file: tasks, equally likely.")]
Load = Annotated[
    float, typer.Option(help="Without a file: share of one task's throughput that arrives.")
]
Rate = Annotated[
    float | None, typer.Option(help="Without a file: requests per second, instead of --load.")
]
RequestCount = Annotated[int, typer.Option(help="Without a file: how many requests.")]
Seed = Annotated[int, typer.Option(help="Without a file: seed of the random arrivals.")]
PromptTokens = Annotated[
    int | None, typer.Option(help="Without a file: tokens per request; the network's own.")
]
OutputTokens = Annotated[
    int, typer.Option(help="Without a file: tokens that each request generates.")
]
PolicyName = Annotated[str, typer.Option(help="Which adapters stay on chip: lru, pinned or none.")]
MixName = Annotated[str, typer.Option(help="What shares a batch: grouped (one task) or mixed.")]
MostInBatch = Annotated[int, typer.Option(help="Most requests in a batch.")]
Overlap = Annotated[
    bool, typer.Option("--overlap", help="Fetch the next adapters while a batch runs.")
]
Adapters = Annotated[
    list[str] | None,
    typer.Option("--adapter", help="task=FOLDER: a task's adapters as PEFT wrote them."),
]
ServingStrategy = Annotated[
    str | None,
    typer.Option(help="Strategy: token_parallel, or network if requests generate tokens."),
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder for service.json and requests.csv.")
]


@ends_cleanly
def serve(
    workload: Workload,
    arch: Arch,
    requests: Requests = None,
    tasks: Tasks = 8,
    load: Load = 0.7,
    rate: Rate = None,
    count: RequestCount = 1000,
    seed: Seed = 0,
    tokens: PromptTokens = None,
    output: OutputTokens = 0,
    policy: PolicyName = "lru",
    mix: MixName = "grouped",
    batch: MostInBatch = 1,
    overlap: Overlap = False,
    adapter: Adapters = None,
    strategy: ServingStrategy = None,
    set_: Settings = None,
    out_: Out = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Latency and throughput of many tasks' requests on one chip with swapped adapters."""
    if out_ is not None:
        check_folder(out_)
    groups = by_target(set_)
    network = network_of(workload, groups["adapters"])
    machine = load_machine(arch, groups["machine"])
    if requests is None:
        chosen = _strategy(output > 0, strategy, groups["strategy"])
        arrivals = _Arrivals(tasks, load, rate, count, seed, tokens, output)
        trace = arrivals.requests(network, machine, chosen)
    else:
        trace = read_requests(requests)
        generates = any(request.output for request in trace)
        chosen = _strategy(generates, strategy, groups["strategy"])
    with working("serving", quiet or json_):
        service = run_service(
            network,
            machine,
            trace,
            adapters=_adapters(adapter or [], network),
            policy=_one_of("--policy", policy, POLICIES),
            mix=_one_of("--mix", mix, MIXES),
            most=batch,
            overlap=overlap,
            strategy=chosen,
        )
    if out_ is not None:
        write_all(out_, _files(service))
    if json_:
        print_json(service.result.model_dump(mode="json"))
    elif not quiet:
        out().print(render(service.result))


def _one_of(option: str, value: str, known: tuple[Choice, ...]) -> Choice:
    for one in known:
        if one == value:
            return one
    raise UnknownNameError(f"{option}:", value, known)


def _strategy(generates: bool, kind: str | None, options: dict[str, Any]) -> Strategy:
    """Return the strategy asked for, with the defaults of a generation if tokens are generated."""
    if generates:
        return strategy_for(options, kind or "network")
    return make_strategy(kind or "token_parallel", options)


@dataclass(frozen=True)
class _Arrivals:
    """Random requests, as the options describe them."""

    tasks: int
    load: float
    rate: float | None
    count: int
    seed: int
    tokens: int | None
    output: int

    def requests(
        self, network: Network, machine: Machine, strategy: Strategy
    ) -> tuple[Request, ...]:
        """Return them, ``load`` times as many per second as the chip can serve at best."""
        prompt = (network.sequence_length or 0) if self.tokens is None else self.tokens
        counts = (("--tasks", self.tasks), ("--count", self.count), ("--tokens", prompt))
        for option, value in counts:
            if value < 1:
                raise InputError(f"{option}: found {value}; write a whole number of 1 or more")
        if self.output < 0:
            raise InputError(f"--output: found {self.output}; write a whole number of 0 or more")
        rate = self.rate
        if rate is None:
            rate = self.load * 1e12 / self._alone_ps(network, machine, strategy, prompt)
        names = [f"task{i}" for i in range(self.tasks)]
        return poisson_requests(names, rate, self.count, prompt, self.output, self.seed)

    def _alone_ps(
        self, network: Network, machine: Machine, strategy: Strategy, prompt: int
    ) -> int:
        """Return how long one request takes that has the chip to itself [ps]."""
        if not self.output:
            return execute(network, machine, strategy, prompt).timeline.makespan
        assert isinstance(strategy, NetworkStrategy)
        return GenerationTimes(network, machine, strategy).times(prompt, self.output)[1]


def _adapters(given: list[str], network: Network) -> dict[str, Network]:
    """Return task -> network with the adapters of a PEFT folder."""
    found = {}
    for text in given:
        task, equals, folder = text.partition("=")
        if not equals or not task or not folder:
            raise InputError(f"--adapter: found {text[:60]!r}; write task=FOLDER")
        found[task] = read_peft(Path(folder)).on(network)
    return found


def _files(service: Service) -> dict[str, str]:
    return {
        "service.json": service.result.to_json() + "\n",
        "requests.csv": service.requests.to_csv(index=False),
    }


def _generated(result: ServiceResult) -> list[tuple[str, str]]:
    """Return the rows of what requests generate."""
    if result.first_token_ms is None or result.tokens_per_s is None:
        return []
    return [
        *(
            (f"first token {p}", f"{result.first_token_ms[p]:.4g} ms")
            for p in ("p50", "p90", "p99")
        ),
        ("generated", f"{result.tokens_per_s:.4g} tokens/s"),
    ]


def render(result: ServiceResult) -> RenderableType:
    """Return the answer as a table for people."""
    table = plain_table("", "value", right="value")
    for name, value in (
        ("requests", f"{result.requests} of {result.tasks} tasks in {result.span_s:.3g} s"),
        ("throughput", f"{result.throughput_per_s:.4g} requests/s"),
        ("latency p50", f"{result.latency_ms['p50']:.4g} ms"),
        ("latency p90", f"{result.latency_ms['p90']:.4g} ms"),
        ("latency p99", f"{result.latency_ms['p99']:.4g} ms"),
        *_generated(result),
        ("waiting, mean", f"{result.waiting_mean_ms:.4g} ms"),
        ("chip works", f"{result.utilization:.1%} of the time"),
        ("a batch", f"{result.service_mean_ms:.4g} ms, mean of {result.batches}"),
        ("swaps", f"{result.swaps} ({result.swaps_per_s:.4g}/s)"),
        ("swapped", format_bytes(result.swapped_bytes)),
        ("adapters kept in", result.tier.upper()),
        ("lost to swaps", f"{result.lost_to_swaps:.1%} of the time"),
    ):
        table.add_row(name, value)
    head = (
        f"{escape(result.network)} on {escape(result.machine)}, {result.strategy}; "
        f"policy {result.policy}, {result.mix} batches of up to {result.most}"
        f"{', fetches overlap' if result.overlap else ''}"
    )
    return Group(table, "", head, *(f"  {escape(note)}" for note in result.notes))


@ends_cleanly
def alternatives(
    workload: Workload,
    arch: Arch,
    tasks: Annotated[
        str, typer.Option(help="Numbers of tasks, with commas.")
    ] = "1,2,4,8,16,32,64",
    tokens: Tokens = None,
    strategy: Annotated[str, typer.Option(help="Strategy.")] = "token_parallel",
    set_: Settings = None,
    json_: Json = False,
    csv_: Annotated[bool, typer.Option("--csv", help="Print the table as CSV.")] = False,
) -> None:
    """Several tasks: adapters, tiles written anew for each, or a chip for each."""
    groups = by_target(set_)
    network = network_of(workload, groups["adapters"])
    machine = load_machine(arch, groups["machine"])
    chosen = make_strategy(strategy, groups["strategy"])
    with working("simulating", json_ or csv_):
        found = compare_alternatives(network, machine, _numbers(tasks), chosen, tokens)
    if json_:
        rows = found.table.astype(object).where(found.table.notna(), None)
        print_json({"facts": found.facts, "table": rows.to_dict("records")})
    elif csv_:
        typer.echo(found.table.to_csv(index=False), nl=False)
    else:
        out().print(render_alternatives(found))


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) < 8 and 0 < int(part) <= 10**6 for part in parts):
        raise InputError(f"--tasks: found {text[:60]!r}; write numbers as in 1,2,4,8")
    return [int(part) for part in parts]


def render_alternatives(found: Alternatives) -> RenderableType:
    """Return the table, and below it what one sequence and one switch cost."""
    table = plain_table(
        "tasks", "way", "parameters", "tiles", "stored", "area", "switch", "energy",
        right="tasks|parameters|tiles|stored|area|switch|energy",
    )  # fmt: skip
    for row in found.table.to_dict("records"):
        area = row["area_mm2"]
        table.add_row(
            str(row["tasks"]),
            str(row["way"]).replace("_", " "),
            f"{row['parameters'] / 1e6:.1f} M",
            str(row["tiles"]),
            format_bytes(row["stored_bytes"]),
            "?" if area is None or area != area else f"{area:.0f} mm2",
            _range(row["switch_least_ps"], row["switch_most_ps"]),
            _energy(row["switch_pj"]),
        )
    return Group(table, "", *_facts(found.facts))


def _range(least: Any, most: Any) -> str:
    if most is None or most != most:
        return "?"
    if least and least != most:
        return f"{format_ps(int(least))}+"
    return format_ps(int(most)) if most else "-"


def _energy(pj: Any) -> str:
    return "?" if pj is None or pj != pj else format_energy(round(pj * 1e6)) if pj else "-"


def _facts(facts: dict[str, Any]) -> list[str]:
    lines = [
        f"a sequence: {format_ps(facts['sequence_ps'])} with adapters, "
        f"{format_ps(facts['yardstick_ps'])} without",
        f"tiles anew: {format_ps(facts['reprogram_least_ps'])} if all are written at once, "
        f"{format_ps(facts['reprogram_most_ps'])} one by one",
    ]
    if facts["even_after_least"] is not None:
        lines.append(
            f"in time, adapters win below {facts['even_after_least']:.1f} to "
            f"{facts['even_after_most']:.0f} sequences between two switches"
        )
    else:
        lines.append("in time, adapters never lose: a sequence takes no longer with them")
    if facts["even_after_energy"] is not None:
        lines.append(f"in energy, below {facts['even_after_energy']:.1f} sequences")
    return lines
