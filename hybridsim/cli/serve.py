"""``hybridsim serve``: requests of many tasks on one chip, adapters swapped in as they come."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from hybridsim.arch import Machine, load_machine
from hybridsim.boundary.kinds import Kind
from hybridsim.boundary.writing import write_all
from hybridsim.cli._folders import check_out
from hybridsim.cli._options import (
    Arch,
    Json,
    Quiet,
    Settings,
    Workload,
    by_target,
    network_of,
)
from hybridsim.cli._progress import showing
from hybridsim.cli._serve_answer import render
from hybridsim.cli._terminal import ends_cleanly, out, print_json
from hybridsim.errors import InputError, UnknownNameError
from hybridsim.generation import GenerationTimes, strategy_for
from hybridsim.service import (
    FORMATS,
    MIXES,
    POLICIES,
    TOO_LONG,
    Mix,
    PeftAdapter,
    Requests,
    Service,
    Targets,
    fitted,
    poisson_requests,
    read_peft,
    read_requests,
    run_service,
    service_interval,
    with_adapters,
)
from hybridsim.service.arrivals import read_ps
from hybridsim.service.decoders import CHUNK, FEW_PASSES
from hybridsim.service.passes import Interpolated
from hybridsim.service.requests import MOST_REQUESTS, MOST_TASKS
from hybridsim.service.result import requests_csv
from hybridsim.simulation import MOST_TOKENS, execute
from hybridsim.strategies import NetworkStrategy, Strategy, make_strategy
from hybridsim.workload import Network

Choice = TypeVar("Choice", bound=str)

RequestFile = Annotated[
    Path | None,
    typer.Option(
        "--requests",
        help="File of requests: arrival, task, prompt and maybe output, or a published trace.",
    ),
]
FormatName = Annotated[
    str | None,
    typer.Option(
        "--format", help=f"Format of the file, if not by its columns: {', '.join(FORMATS)}."
    ),
]
TooLongName = Annotated[
    str, typer.Option(help="Requests longer than the model: refuse, skip, or cut their prompts.")
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
MixName = Annotated[
    str | None,
    typer.Option(
        help="What shares a batch: grouped (one task), mixed, or continuous, where requests join "
        "and leave between tokens; continuous if any generates, grouped otherwise."
    ),
]
MostInBatch = Annotated[
    int | None, typer.Option(help="Most requests in a batch: 1, or 32 in continuous batching.")
]
Chunk = Annotated[
    int, typer.Option(help="Continuous batching: most prompt tokens between two tokens.")
]
Exact = Annotated[
    bool | None,
    typer.Option(
        "--exact/--interpolate",
        help="Continuous batching: simulate every pass, or some and what lies between by lines; "
        "by the size of the trace unless given.",
    ),
]
Reuse = Annotated[
    bool,
    typer.Option(
        "--reuse/--no-reuse",
        help="Continuous batching: keep what prompts have in common, if the trace tells it.",
    ),
]
TargetFirst = Annotated[
    str | None, typer.Option(help="Goodput: most time to the first token, as in '500 ms'.")
]
TargetToken = Annotated[
    str | None, typer.Option(help="Goodput: most time per token after it, as in '50 ms'.")
]
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


KIND = Kind("service", ("service.json",))
KINDS = (KIND,)
"""What a folder of this command holds."""


def _check_continuous(mixed: str) -> None:
    """Refuse options of continuous batching where requests are not batched so.

    Raises:
        InputError: They are not.
    """
    if mixed != "continuous":
        raise InputError("--chunk, --exact, --interpolate and --no-reuse: are of continuous "
                         "batching; leave them out, or give --mix continuous")  # fmt: skip


@ends_cleanly
def serve(
    workload: Workload,
    arch: Arch,
    requests: RequestFile = None,
    format_: FormatName = None,
    too_long: TooLongName = "refuse",
    tasks: Tasks = 8,
    load: Load = 0.7,
    rate: Rate = None,
    count: RequestCount = 1000,
    seed: Seed = 0,
    tokens: PromptTokens = None,
    output: OutputTokens = 0,
    policy: PolicyName = "lru",
    mix: MixName = None,
    batch: MostInBatch = None,
    chunk: Chunk = CHUNK,
    exact: Exact = None,
    reuse: Reuse = True,
    overlap: Overlap = False,
    target_first_token: TargetFirst = None,
    target_token: TargetToken = None,
    adapter: Adapters = None,
    strategy: ServingStrategy = None,
    set_: Settings = None,
    out_: Out = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Latency and throughput of many tasks' requests on one chip with swapped adapters."""
    check_out(out_, KIND)
    how = _one_of("--too-long", too_long, TOO_LONG)
    targets = Targets(
        _time("--target-first-token", target_first_token), _time("--target-token", target_token)
    )
    groups = by_target(set_)
    network, own = _network(workload, adapter or [], groups["adapters"])
    machine = load_machine(arch, groups["machine"])
    arrivals = _Arrivals(tasks, load, rate, count, seed, tokens, output)
    trace = None if requests is None else fitted(read_requests(requests, format_), network, how)
    generates = output > 0 if trace is None else trace.requests.generate
    mixed = _mix(mix, generates)
    if chunk != CHUNK or exact is not None or not reuse:
        _check_continuous(mixed)
    chosen = _strategy(generates or mixed == "continuous", strategy, groups["strategy"])
    served = arrivals.requests(network, machine, chosen) if trace is None else trace.requests
    options = {
        "adapters": own, "policy": _one_of("--policy", policy, POLICIES), "mix": mixed,
        "most": batch, "overlap": overlap, "chunk": chunk, "exact": exact, "reuse": reuse,
        "targets": targets,
    }  # fmt: skip
    service = _serve(network, machine, served, chosen, options, quiet or json_)
    if trace is not None:
        service = service.of_trace(trace)
    if out_ is not None:
        write_all(out_, _files(service))
    if json_:
        print_json(service.result.model_dump(mode="json"))
    elif not quiet:
        out().print(render(service.result))


def _serve(
    network: Network,
    machine: Machine,
    served: Requests,
    strategy: Strategy,
    options: dict[str, Any],
    silent: bool,
) -> Service:
    """Serve requests, and find how sure that is; show on standard error how far it is."""
    with showing(silent) as watch:

        def tell(done: int) -> None:
            if watch is not None:
                watch("requests", done, len(served), "")

        service = run_service(network, machine, served, strategy=strategy, watch=tell, **options)
    sure = service_interval(service.result, network, machine, served, strategy, **options)
    return service.with_interval(sure)


def _mix(name: str | None, generates: bool) -> Mix:
    """Return what shares a batch: what is asked for, or what suits the requests."""
    if name is None:
        return "continuous" if generates else "grouped"
    return _one_of("--mix", name, MIXES)


def _time(option: str, text: str | None) -> int | None:
    """Return a time that an option gives [ps]."""
    if text is None:
        return None
    found = read_ps(text, unit="")
    if not found:
        raise InputError(f"{option}: found {text[:60]!r}; write a time above 0, as in '50 ms'")
    return found


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

    def requests(self, network: Network, machine: Machine, strategy: Strategy) -> Requests:
        """Return them, ``load`` times as many per second as the chip can serve at best."""
        prompt = (network.sequence_length or 0) if self.tokens is None else self.tokens
        for option, value, least, most in (
            ("--tasks", self.tasks, 1, MOST_TASKS),
            ("--count", self.count, 1, MOST_REQUESTS),
            ("--tokens", prompt, 1, MOST_TOKENS),
            ("--output", self.output, 0, MOST_TOKENS),
            ("--seed", self.seed, 0, 2**63 - 1),
        ):
            if not least <= value <= most:
                raise InputError(
                    f"{option}: found {value}; write a whole number from {least} to {most}"
                )
        if not 0 < self.load < float("inf"):
            raise InputError(f"--load: found {self.load}; write a number above 0")
        rate = self.rate
        if rate is None:
            rate = self.load * 1e12 / self._alone_ps(network, machine, strategy, prompt)
            if rate == float("inf"):
                raise InputError(
                    f"--load: found {self.load}; a share that is no such number would do"
                )
        names = [f"task{i}" for i in range(self.tasks)]
        return poisson_requests(names, rate, self.count, prompt, self.output, self.seed)

    def _alone_ps(
        self, network: Network, machine: Machine, strategy: Strategy, prompt: int
    ) -> int:
        """Return how long one request takes that has the chip to itself [ps]."""
        if not self.output:
            return execute(network, machine, strategy, prompt).timeline.makespan
        assert isinstance(strategy, NetworkStrategy)
        times = GenerationTimes(network, machine, strategy)
        if self.output <= FEW_PASSES:
            return times.times(prompt, self.output)[1]
        times.check(prompt, self.output)
        passes = Interpolated(times, prompt + self.output - 1, 1, prompt)
        tokens = passes.token_ps(1, prompt, self.output - 1)
        return passes.prompt_ps(prompt, 0, 1) + int(tokens.sum())


def _network(
    workload: str, adapters: list[str], changes: dict[str, Any]
) -> tuple[Network, dict[str, Network]]:
    """Return a network and what each task has on it; what was chosen for both is told."""
    network, own, chosen_for_them = with_adapters(
        _adapters(adapters), lambda head: network_of(workload, changes, head=head)
    )
    for note in chosen_for_them:
        typer.echo(f"hybridsim: {note}", err=True)
    return network, own


def _adapters(given: list[str]) -> dict[str, PeftAdapter]:
    """Return task -> the adapters of a PEFT folder."""
    found = {}
    for text in given:
        task, equals, folder = text.partition("=")
        if not equals or not task or not folder:
            raise InputError(f"--adapter: found {text[:60]!r}; write task=FOLDER")
        found[task] = read_peft(Path(folder))
    return found


def _files(service: Service) -> dict[str, str | bytes]:
    return {
        "service.json": service.result.to_json() + "\n",
        "requests.csv": requests_csv(service.served),
    }
