"""``hybridsim explain``: why a run took as long as it did, and what would help."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.markup import escape

from hybridsim.arch import load_machine
from hybridsim.cli._options import DEFAULT, Json, Quiet, Verbose, by_target, network_of
from hybridsim.cli._run_answer import caveats, headline, part_name
from hybridsim.cli._terminal import (
    Sentence,
    Telling,
    ends_cleanly,
    noted,
    out,
    plain_table,
    print_json,
    working,
)
from hybridsim.errors import InputError
from hybridsim.measure.result import Result, read_result
from hybridsim.simulation import simulate
from hybridsim.strategies import make_strategy
from hybridsim.units import format_ps
from hybridsim.whole import run_by_default

if TYPE_CHECKING:
    import pandas as pd

    from hybridsim.explanation import Explanation

LEAST_SHARE = 0.005
"""Parts of the critical path below this share are not printed."""
MOST_KINDS = 12
"""Kinds of layers that are printed."""
ROUNDED = 1e-4
"""By how much a yardstick may be off that is worked out from an overhead, as a share."""
ACTIONS = {
    "mvm": "product of a tile",
    "xa": "U = X A of an adapter",
    "ub": "its U B",
    "ub+y": "its U B + Y",
}
"""What short names of tasks stand for."""
STALLS = (
    "waiting: for another part; blocked: no room downstream; starved: no data yet; finished: "
    "nothing left to do"
)


@ends_cleanly
def explain(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="RESULT",
            help="A result.json or its folder; with --run a network and a machine.",
        ),
    ],
    run: Annotated[bool, typer.Option("--run", help="Run NETWORK on MACHINE now.")] = False,
    strategy: Annotated[
        str | None, typer.Option(help="With --run: strategy; token_parallel by default.")
    ] = None,
    tokens: Annotated[int | None, typer.Option(help="With --run: tokens per sequence.")] = None,
    past: Annotated[
        int, typer.Option(help="With --run: tokens before these, as hybridsim run takes it.")
    ] = 0,
    batch: Annotated[int | None, typer.Option(help="With --run: tokens per batch.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="With --run: path=value, as hybridsim run takes it."),
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """The critical path, stalls, what is free that would help, and then which hardware."""
    from hybridsim.explanation import explain as explained

    telling = Telling(verbose, quiet)
    with working("explaining", json_ or quiet or verbose):
        if run:
            with telling.stage("simulating"):
                result = _run(what, strategy, tokens, past, batch, set_ or [])
        else:
            result = _read(what)
        telling.say("network", f"{result.network}, {result.tokens} tokens")
        telling.say("machine", result.machine)
        telling.say("strategy", result.strategy)
        telling.say("engine", f"{result.engine}, {result.tasks:,} tasks")
        with telling.stage("explaining"):
            found = explained(result)
    telling.end()
    if json_:
        print_json(found.to_text())
    elif not quiet:
        out().print(render(found))


def _run(
    what: list[str],
    strategy: str | None,
    tokens: int | None,
    past: int,
    batch: int | None,
    settings: list[str],
) -> Result:
    if len(what) != 2:
        raise InputError(f"--run: found {len(what)} names; give a network and a machine")
    groups = by_target(settings, batch)
    network = network_of(what[0], groups["adapters"])
    machine = load_machine(what[1], groups["machine"])
    if strategy is None and not groups["strategy"] and not past:
        return run_by_default(network, machine, tokens).result
    chosen = make_strategy(strategy or DEFAULT, groups["strategy"])
    return simulate(network, machine, chosen, tokens, past=past)


def _read(what: list[str]) -> Result:
    """Return the result that a file or a folder holds.

    Raises:
        SpecError: There is none.
    """
    if len(what) != 1:
        raise InputError(f"found {len(what)} names; give one result, or a network and a machine "
                         "with --run")  # fmt: skip
    return read_result(Path(what[0]))


def render(found: "Explanation") -> RenderableType:
    """Return an explanation as tables of at most 80 columns."""
    worth = Sentence("elasticity: the share of a part's gain in speed that the run gains", 2)
    parts: list[RenderableType] = [*headline(found.result), *caveats(found.result), worth, ""]
    for table in (_path(found), _kinds(found), _stalls(found), _free(found)):
        parts += [table, ""]
    parts.append(_changes(found))
    return Group(*parts)


def _path(found: "Explanation") -> RenderableType:
    table = plain_table("critical path", "on", "tasks", "time", "share", right="tasks|time|share")
    for row in found.path.to_dict("records"):
        if row["share"] >= LEAST_SHARE:
            table.add_row(
                escape(str(row["action"])),
                part_name(str(row["on"])),
                str(row["tasks"]),
                format_ps(int(row["time_ps"])),
                f"{100 * row['share']:.1f} %",
            )
    there = set(found.path["action"])
    meant = "; ".join(f"{name}: {words}" for name, words in ACTIONS.items() if name in there)
    return Group(table, Sentence(meant, 2)) if meant else table


def _kinds(found: "Explanation") -> RenderableType:
    over = ["over"] if found.result.layers_in_turn else []
    table = plain_table(
        "layer", "#", "shape", "latency", *over, "share", "bound by",
        right="#|shape|latency|over|share", may_go="over|share",
    )  # fmt: skip
    for row in found.kinds.head(MOST_KINDS).to_dict("records"):
        table.add_row(
            escape(str(row["kind"])),
            str(row["layers"]),
            str(row["shape"]),
            format_ps(int(row["latency_ps"])),
            *([f"{row['overhead_percent']:.0f} %"] if over else []),
            f"{100 * row['share']:.0f} %",
            part_name(str(row["bound"])),
        )
    left = len(found.kinds) - MOST_KINDS
    more = f"and {left} more kinds (--json has all); " if left > 0 else ""
    return Group(
        table, Sentence(f"{more}latency: of the slowest; share: of those of all layers", 2)
    )


def _stalls(found: "Explanation") -> RenderableType:
    columns = ("busy", "waiting", "blocked", "starved", "finished")
    table = plain_table("part", "#", *columns, right="|".join(("#", *columns)))
    for row in found.stalls.to_dict("records"):
        shares = [f"{100 * row[column]:.1f} %" for column in columns]
        table.add_row(part_name(str(row["kind"])), str(row["parts"]), *shares)
    return Group(table, Sentence(STALLS, 2))


def _free(found: "Explanation") -> RenderableType:
    best, tried = found.best_free, len(found.free)
    if not tried:
        return Sentence("on the same machine there is nothing to choose")
    if best.empty:
        return Sentence(f"on the same machine none of {tried} other settings makes it faster")
    said = f"the best of {tried} other strategies and options (--json has all), each run again"
    own = found.result.yardstick_ps
    yardsticks = best["latency_ps"] / (1 + best["overhead_percent"] / 100)
    if ((yardsticks - own).abs() > ROUNDED * own).any():
        itself = "each against itself without adapters"
        streams = "where a strategy streams, against all-analog layers that stream as well"
        said += f"; over: {itself if found.result.ops else streams}"
    return Group(*_tried("what is free", best, said))


def _changes(found: "Explanation") -> RenderableType:
    best, tried, beside, over = found.best_changes, len(found.changes), "alone", ""
    if not found.best_free.empty:
        beside = "beside the best of what is free"
        over = f"; gain: over its {format_ps(int(found.best_free.iloc[0]['latency_ps']))}"
    if best.empty:
        return Sentence(f"no change of the machine that was tried, {beside}, makes it faster", 2)
    said = f"the best of {tried} changes, each run again {beside}{over}"
    return Group(*_tried("what hardware would help", best, said))


def _tried(head: str, rows: "pd.DataFrame", said: str) -> Iterator[RenderableType]:
    """Yield settings or changes as a table, what they are, and what to give to hybridsim run."""
    table = plain_table(head, "latency", "gain", "over", right="latency|gain|over")
    for row in rows.to_dict("records"):
        table.add_row(
            escape(str(row["change"])),
            format_ps(int(row["latency_ps"])),
            f"{row['gain_percent']:.1f} %",
            f"{row['overhead_percent']:.1f} %",
        )
    yield table
    yield Sentence(f"{said}; as options of hybridsim run:", 2)
    yield from (noted(str(arguments)) for arguments in rows["arguments"])
