"""``hybridsim adapt``: train adapters against analog noise, and test them over years."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Group, RenderableType
from rich.markup import escape

from hybridsim.analog.times import format_time, in_order
from hybridsim.boundary.writing import write_all
from hybridsim.cli._folders import ADAPTERS, check_study
from hybridsim.cli._options import (
    FiguresOption,
    Json,
    JudgedOn,
    Quiet,
    StudyFile,
    StudyFolder,
    check_figures,
)
from hybridsim.cli._progress import watching
from hybridsim.cli._terminal import Sentence, ends_cleanly, out, plain_table, print_json
from hybridsim.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from hybridsim.training.run import AdaptResult, StudyRun


KINDS = (ADAPTERS,)
"""What a folder of this command holds."""


@ends_cleanly
def adapt(
    study: StudyFile,
    out_: StudyFolder,
    arm: Annotated[
        list[str] | None, typer.Option("--arm", help="Only this arm of the study; repeatable.")
    ] = None,
    on: JudgedOn = "test",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure a few steps and say how long it all takes.")
    ] = False,
    clipping: Annotated[
        bool,
        typer.Option("--clipping", help="Train nothing; say what cutting weights costs layers."),
    ] = False,
    figures: FiguresOption = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train the arms of STUDY and test them on programmed chips over time.

    A study with a key ``reinforced`` teaches a pretrained decoder by rewards.
    """
    kind = check_figures(figures, out_)
    file = check_study(study, out_, "adapt")
    # only here: torch takes seconds to import
    from hybridsim.training import is_decoder_study, is_reward_study
    from hybridsim.training.run import StudyRun

    if is_decoder_study(file):
        if arm or dry_run or clipping or kind or on != "test":
            options = "--arm, --on, --dry-run, --clipping and --figures"
            raise InputError(f"{options}: a decoder's study has none; leave them out")
        _adapt_decoder(file, out_, json_, quiet)
        return
    if is_reward_study(file):
        if arm or dry_run or clipping or kind:
            options = "--arm, --dry-run, --clipping and --figures"
            raise InputError(f"{options}: a study of rewards has none; leave them out")
        _reinforce(file, out_, on, json_, quiet)
        return
    with watching(quiet or json_, out_) as watch:
        run = StudyRun(file, out_, watch, on)
        if dry_run:
            _print_forecast(run.forecast(), json_)
            return
        if clipping:
            _print_clipping(run, json_)
            return
        result = run.run(tuple(arm or ()))
    if kind is not None and len(result.accuracy):
        # Matplotlib only where something is drawn
        from hybridsim.report.figures.studies import adaptation_file

        write_all(out_, {f"figure_adaptation.{kind}": adaptation_file(result.accuracy, kind)})
    if json_:
        tables = (result.accuracy, result.differences, result.training, result.metrics)
        names = ("accuracy", "differences", "training", "metrics")
        print_json({n: t.to_dict("records") for n, t in zip(names, tables, strict=True)})
    elif not quiet:
        out().print(render(result))


def _adapt_decoder(file: Path, folder: Path, json_: bool, quiet: bool) -> None:
    from hybridsim.training.decoder_run import STAGES, DecoderRun

    with watching(quiet or json_, folder) as watch:
        result = DecoderRun(file, folder, watch).run()
    if json_:
        print_json({"rewards": result.rewards.to_dict("records")})
        return
    if quiet:
        return
    study, table = result.study, result.rewards
    times = [str(time) for time in dict.fromkeys(table["time"])]
    shown = plain_table("stage", *times, right="|".join(times))
    for stage in STAGES:
        rows = table[table["stage"] == stage].groupby("time")["reward"].mean()
        shown.add_row(stage, *(f"{100 * float(rows[time]):.1f}" for time in times))
    out().print(
        f"{study.name}: {escape(study.question)}",
        f"\nreward of the likeliest answer in %; mean over {len(study.seeds)} training seeds, "
        f"{len(study.chips)} chips, {study.test} questions\n",
    )
    out().print(shown)


def _reinforce(
    file: Path, folder: Path, on: Literal["test", "validation"], json_: bool, quiet: bool
) -> None:
    from hybridsim.training.reward_run import RewardRun

    with watching(quiet or json_, folder) as watch:
        run = RewardRun(file, folder, watch, on)
        result = run.run()
    if json_:
        found = result.table.astype(object).where(result.table.notna(), None)
        print_json({
            "rewards": found.to_dict("records"), "training": result.training.to_dict("records"),
        })  # fmt: skip
        return
    if quiet:
        return
    study = run.study
    table = plain_table(
        "adapter", "time", "reward %", "95 %", "gain", "95 %", right="reward %|gain"
    )
    for row in found_rows(result.table):
        table.add_row(*row)
    out().print(
        Sentence(f"{study.name}: {study.question}"),
        Sentence(
            f"mean reward in % over {len(study.chips)} chips and {len(run.judged.questions)} "
            f"{on} questions, and what the adapter added on the same chips [points]; 95 % "
            "t-intervals"
        ),
        table,
    )


def found_rows(table: "pd.DataFrame") -> list[tuple[str, ...]]:
    """Return the cells of a table of rewards."""
    rows: list[tuple[str, ...]] = []
    for row in table.to_dict("records"):
        ends = escape(f"[{row['low']:.1f}, {row['high']:.1f}]")
        gain = ("", "")
        if row["adapter"] != "-":
            inner = escape(f"[{row['gain_low']:+.1f}, {row['gain_high']:+.1f}]")
            gain = (f"{row['gain_points']:+.1f}", inner)
        rows.append((row["adapter"], row["time"], f"{row['reward_percent']:.1f}", ends, *gain))
    return rows


def render(result: "AdaptResult") -> RenderableType:
    """Return accuracy per arm over time, and what differs from the first arm."""
    study = result.study
    judging = study.data.test if result.on == "test" else study.data.validation
    lines: list[RenderableType] = [
        f"{study.name}: {escape(study.question)}",
        *result.notes,
        "",
        f"accuracy in % and its 95 % t-interval; {len(study.seeds)} training seeds, "
        f"{len(study.chips)} programmed chips, {judging:,} {result.on} sentences",
        _table(result.accuracy, "accuracy_percent"),
        "",
        "difference in points; * excludes zero",
    ]
    against = result.differences
    own = result.metrics.rename(columns={"boot95_low": "ci95_low", "boot95_high": "ci95_high"})
    for metric, shown in own.groupby("metric", sort=False) if len(own) else ():
        title = f"{metric} in % and its 95 % bootstrap interval"
        lines[-1:-1] = [title, _table(shown, "percent"), ""]
    for name in dict.fromkeys(against["against"]) if len(against) else ():
        chosen = against[against["against"] == name]
        lines += [f"against {name}", _table(chosen, "difference_points")]
    return Group(*lines)


def _table(table: "pd.DataFrame", column: str) -> RenderableType:
    times = in_order(table["time"]) if len(table) else []
    shown = plain_table("arm", *times, right="|".join(times))
    for arm, rows in table.groupby("arm", sort=False) if len(table) else ():
        cells = {}
        for row in rows.to_dict("records"):
            star = "*" if row.get("significant") else ""
            low, high = row["ci95_low"], row["ci95_high"]
            cells[row["time"]] = f"{row[column]:.1f}{star} [{low:.1f}, {high:.1f}]"
        shown.add_row(escape(str(arm)), *(escape(cells.get(t, "-")) for t in times))
    return shown


def _print_clipping(run: "StudyRun", json_: bool) -> None:
    found = run.clipping()
    rows = found.astype(object).where(found.notna(), None).to_dict("records")
    if json_:
        print_json({"clipping": rows})
        return
    study, columns = run.study, ("clipped", "left", "tiles", "together")
    heads = ("alone", "with adapter", "tiles", "together")
    table = plain_table("cut at", *heads, right="|".join(heads))
    for row in rows:
        shares = (f"{100 * row[name]:.2f}" for name in columns)
        table.add_row(_cut_at(row["clip_sigmas"]), *shares)
    out().print(
        Sentence(
            "errors of layers, in % of the variance of their products: what cutting weights costs "
            f"alone and with the best adapter of rank {study.lora.rank} (in closed form, without "
            f"labels), and what tiles cost after {format_time(max(study.times))}; mean over "
            f"layers, chip {study.chips[0]}"
        ),
        table,
    )
    best = min(rows, key=lambda row: float(row["together"]))["clip_sigmas"]
    key = f"analog.clip_sigmas: {'null' if best is None else format(best, 'g')}"
    out().print(Sentence(f"least together where weights are cut {_cut_at(best)} ({key})"))


def _cut_at(sigmas: float | None) -> str:
    return "nowhere" if sigmas is None else f"at {sigmas:g} sigma"


def _print_forecast(seconds: dict[str, float], json_: bool) -> None:
    total = sum(seconds.values())
    if json_:
        print_json({"seconds": seconds, "total_seconds": total})
        return
    table = plain_table("part", "minutes", right="minutes")
    for part, value in (seconds | {"all": total}).items():
        table.add_row(part, f"{value / 60:.1f}")
    out().print(table)
