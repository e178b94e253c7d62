"""``hybridsim compare``: strategies side by side on one machine, or two results."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.markup import escape

from hybridsim.arch import Machine, load_machine
from hybridsim.boundary.kinds import Kind
from hybridsim.boundary.values import printable
from hybridsim.boundary.writing import check_file, write_all
from hybridsim.cli._compare_results import DIFFERENCES, compare_results, is_result
from hybridsim.cli._folders import check_out
from hybridsim.cli._options import (
    Batch,
    FiguresOption,
    Json,
    Past,
    Quiet,
    Settings,
    Tokens,
    Verbose,
    by_target,
    check_figures,
    network_of,
)
from hybridsim.cli._terminal import (
    Sentence,
    Telling,
    ends_cleanly,
    out,
    plain_table,
    print_json,
    working,
)
from hybridsim.errors import InputError
from hybridsim.units import format_bytes, format_energy, format_ps, format_share

if TYPE_CHECKING:
    import pandas as pd

    from hybridsim.comparison import Comparison
    from hybridsim.report.figures.style import Format
    from hybridsim.workload import Network

FIGURES = (".png", ".svg", ".pdf")
"""Endings of the files that a plot can be written to."""

Strategies = Annotated[
    str | None,
    typer.Option("--strategies", help="Names, as in a,b; all with adapters by default."),
]
Plot = Annotated[
    Path | None, typer.Option("--plot", help="Also draw it: a .png, .svg or .pdf file.")
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder for page.html, comparison.csv and .json.")
]


KIND = Kind("comparison", ("comparison.json",))
KINDS = (KIND, DIFFERENCES)
"""What a folder of this command holds."""


@ends_cleanly
def compare(
    workload: Annotated[
        str, typer.Argument(metavar="NETWORK", help="Network as for run, or the first result.")
    ],
    arch: Annotated[
        str, typer.Argument(metavar="MACHINE", help="Machine as for run, or the second result.")
    ],
    strategies: Strategies = None,
    tokens: Tokens = None,
    past: Past = 0,
    batch: Batch = None,
    set_: Settings = None,
    csv_: Annotated[bool, typer.Option("--csv", help="Print all columns as CSV.")] = False,
    json_: Json = False,
    plot: Plot = None,
    out_: Out = None,
    figures: FiguresOption = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Strategies side by side for NETWORK on MACHINE: latency, use, memory, where time is lost.

    A strategy that cannot run says why (problem in --json and --csv), and the others are compared;
    exit code 0 if any ran, 2 if none did.

    Two results (result.json, or the folder of run --out) instead: what differs between them.
    """
    telling = Telling(verbose, quiet)
    if is_result(workload) or is_result(arch):
        _refuse_given(strategies, tokens, past, batch, set_, plot, figures)
        compare_results(workload, arch, out_, csv_, json_, quiet)
        return
    kind = check_figures(figures, out_)
    if plot is not None:
        _check_plot(plot)
    check_out(out_, KIND)
    groups = by_target(set_, batch)
    network = network_of(workload, groups["adapters"])
    machine = load_machine(arch, groups["machine"])
    telling.say("network", network.name)
    telling.say("machine", f"{machine.name}, {machine.description}")
    silent = quiet or csv_ or json_ or verbose
    with working("comparing", silent), telling.stage("simulating"):
        found, activity = _side_by_side(
            network, machine, strategies, tokens, past, groups["strategy"], out_ is not None
        )
    for row in found.rows:
        done = row["problem"] or format_ps(row["latency_ps"])
        telling.say("strategy", f"{row['strategy']}: {done}")
    with telling.stage("writing"):
        _write(found, activity, out_, plot, kind)
    if out_ is not None:
        telling.wrote(out_ / "page.html", silent)
    telling.end()
    _show(found, csv_, json_, quiet)


def _show(found: "Comparison", csv_: bool, json_: bool, quiet: bool) -> None:
    """Print a comparison in the form that is asked for; reasons beside data on standard error."""
    if csv_ or json_ or quiet:  # the table says it itself
        for problem in found.problems:
            typer.echo(f"hybridsim: {printable(problem)}", err=True)
    if csv_:
        typer.echo(found.to_frame().to_csv(index=False), nl=False)
    elif json_:
        print_json(document(found))
    elif not quiet:
        out().print(render(found))


def _side_by_side(
    network: "Network",
    machine: Machine,
    strategies: str | None,
    tokens: int | None,
    past: int,
    options: dict[str, Any],
    drawn: bool,
) -> tuple["Comparison", "pd.DataFrame"]:
    """Return the comparison of named strategies or of all, and their activity if it is drawn."""
    # pandas takes a second to import, which --help need not wait for
    from hybridsim.comparison import compare as side_by_side
    from hybridsim.report.page.chart_data import Activities

    seen = Activities()
    names = None if strategies is None else [name.strip() for name in strategies.split(",")]
    keep = seen.add if drawn else None
    found = side_by_side(network, machine, names, tokens, options, past, keep, intervals=True)
    return found, seen.to_frame()


def _refuse_given(*values: object) -> None:
    """Refuse what says how strategies are run, where two results are compared.

    Raises:
        InputError: One of them is given.
    """
    names = ("strategies", "tokens", "past", "batch", "set", "plot", "figures")
    given = [f"--{name}" for name, value in zip(names, values, strict=True) if value]
    if given:
        raise InputError(f"{', '.join(given)}: two results are compared as they are")


def _check_plot(plot: Path) -> None:
    """Refuse a file that no plot can be written to, before anything is run.

    Raises:
        InputError: Its name ends in no kind of picture, or its folder does not exist.
    """
    if plot.suffix.lower() not in FIGURES:
        raise InputError(f"--plot: found {plot.name!r}; a name in {', '.join(FIGURES)} would do")
    check_file(plot, "--plot")


def document(found: "Comparison") -> dict[str, Any]:
    """Return a comparison as one document."""
    return {
        "network": found.network,
        "machine": found.machine,
        "tokens": found.tokens,
        "best": found.best,
        **({"notes": list(found.notes)} if found.notes else {}),
        "strategies": list(found.rows),
    }


def _write(
    found: "Comparison",
    activity: "pd.DataFrame",
    folder: Path | None,
    plot: Path | None,
    kind: "Format | None",
) -> None:
    if folder is not None:
        import json

        from hybridsim.report.page.comparison import ACTIVITY, comparison_page
        from hybridsim.report.page.shell import PAGE

        text = json.dumps(document(found), indent=2, ensure_ascii=False) + "\n"
        table = found.to_frame().to_csv(index=False)
        files: dict[str, str | bytes] = {"comparison.csv": table, "comparison.json": text}
        files |= {ACTIVITY: activity.to_csv(index=False)}
        files |= {PAGE: comparison_page(document(found), activity)}
        if kind is not None:
            # Matplotlib only where something is drawn
            from hybridsim.report.figures.comparison import comparison_files

            files |= comparison_files(found.to_frame(), kind)
        write_all(folder, files)
    if plot is not None:
        # Matplotlib only where something is drawn
        from hybridsim.report.figures.comparison import save_comparison_figure

        save_comparison_figure(found.to_frame(), plot)


def render(found: "Comparison") -> RenderableType:
    """Return a comparison as a table of at most 80 columns, and what it says below."""
    known = any("energy_pj" in row for row in found.rows)
    ran = [row for row in found.rows if not row["problem"]]
    apart = any(_apart(row) for row in ran)
    parts = _parts(found)
    heads = [
        "strategy", "latency", *(["energy"] if known else []), "over",
        *(["by layer"] if apart else []), "TCDM", *parts.values(),
        "loses to" if known or apart else "loses time to",
    ]  # fmt: skip
    table = plain_table(*heads, right="|".join(heads[1:-1]), may_go=f"TCDM|{heads[-2]}")
    for row in found.rows:
        cells = _cells(row, parts, known) if not row["problem"] else {}
        name, last = escape(row["strategy"]), cells.get("loses to", "cannot run")
        table.add_row(name, *(cells.get(head, "-") for head in heads[1:-1]), last)
    names = [*parts.values()]
    said = [
        f"{found.network} on {found.machine}, {found.tokens} tokens; fastest: {found.best}",
        f"{names[0]} to {names[-1]}: percent of the critical path; last column: why units idle",
        *(["by layer: over all-analog layers in turn, as the paper defines it"] if apart else []),
        *_freedoms(ran),
        *_sureness(ran),
        *found.covers,
        *found.notes,
        *found.problems,
    ]
    return Group(table, "", *(Sentence(text, 2) for text in said))


def _cells(row: dict[str, Any], parts: dict[str, str], known: bool) -> dict[str, str]:
    """Return the cells of a strategy that ran, by the heads of their columns."""
    size = format_bytes(row["tcdm_bytes"]) if row["tcdm_bytes"] else "-"
    over = f"{row['overhead_percent']:.1f} %"
    by_layer = row.get("layer_by_layer_percent")
    if known:  # one column more asks for shorter ones
        size = size if len(size) < 9 else f"{row['tcdm_bytes'] / 1024:.0f} KiB"
        over = over if len(over) < 7 else f"{row['overhead_percent']:.0f} %"
    return {
        "latency": format_ps(row["latency_ps"]),
        "energy": format_energy(round(row["energy_pj"] * 10**6)) if "energy_pj" in row else "-",
        "over": over,
        "by layer": "-" if by_layer is None else f"{by_layer:.1f} %",
        "TCDM": size,
        **{name: f"{100 * row.get(f'{kind}_critical', 0):.0f}" for kind, name in parts.items()},
        "loses to": _loss(row),
    }


def _apart(row: dict[str, Any]) -> bool:
    """Return whether the overhead of the paper is another one than that of a strategy."""
    by_layer = row.get("layer_by_layer_percent")
    return by_layer is not None and by_layer != row["overhead_percent"]


def _freedoms(ran: list[dict[str, Any]]) -> list[str]:
    """Return whose yardstick streams over layers too, so that its overhead is not the others'."""
    against: dict[int, list[str]] = {}
    for row in ran:
        if _apart(row):
            against.setdefault(row["yardstick_ps"], []).append(row["strategy"])
    return [
        f"over of {', '.join(names)}: against all-analog layers that overlap as well, "
        f"{format_ps(yardstick)}"
        for yardstick, names in against.items()
    ]


def _sureness(ran: list[dict[str, Any]]) -> list[str]:
    """Return how far latencies may be off, in one line; where they are known so well."""
    widths = [
        50 * (row["latency_high_ps"] - row["latency_low_ps"]) / row["latency_ps"]
        for row in ran
        if row.get("latency_high_ps") and row["latency_ps"]
    ]
    if not widths or not max(widths):
        return []
    return [
        f"90 % intervals of the latencies, from RTL: +-{min(widths):.2f} to {max(widths):.2f} %; "
        "both ends in --json"
    ]


def _parts(found: "Comparison") -> dict[str, str]:
    """Return the kinds of parts whose shares are shown, and how they are called."""
    if any("cluster_critical" in row for row in found.rows):
        return {"tile": "tile", "cluster": "cluster", "link": "link", "dram": "DRAM"}
    return {"tile": "tile", "matrix_engine": "engine", "cores": "cores", "dma": "DMA"}


def _loss(row: dict[str, Any]) -> str:
    """Return the largest reason for which the multiplying units are idle, with its share."""
    reasons = {why: row[f"units_{why}"] for why in ("waiting", "blocked", "starved")}
    why = max(reasons, key=lambda name: reasons[name])
    return f"{why} {format_share(reasons[why])}" if reasons[why] >= 0.005 else "-"
