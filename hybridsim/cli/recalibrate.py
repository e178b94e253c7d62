"""``hybridsim recalibrate``: correct chips without labels or training, and what that costs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.markup import escape

from hybridsim.cli._folders import check_study
from hybridsim.cli._options import Json, JudgedOn, Quiet, StudyFile, StudyFolder
from hybridsim.cli._progress import watching
from hybridsim.cli._terminal import Sentence, ends_cleanly, out, plain_table, print_json
from hybridsim.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from hybridsim.training.language_run import LanguageResult
    from hybridsim.training.recalibration_run import RecalibrationResult


@ends_cleanly
def recalibrate(
    study: StudyFile,
    out_: StudyFolder,
    on: JudgedOn = "test",
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure the chips of STUDY, correct them by low rank, and test them over time.

    A study with a key ``language`` reads text with a pretrained decoder.
    """
    from hybridsim.training import is_language_study

    if is_language_study(check_study(study, out_, "recalibrate")):
        if on != "test":
            raise InputError("--on: a study of a language model has one part; leave it out")
        _language(study, out_, json_, quiet)
        return
    # only here: torch takes seconds to import
    from hybridsim.training.recalibration_run import RecalibrationRun

    with watching(quiet or json_, out_) as watch:
        result = RecalibrationRun(study, out_, watch, on).run()
    if json_:
        print_json(result.document())
    elif not quiet:
        out().print(render(result))


def _language(study: Path, folder: Path, json_: bool, quiet: bool) -> None:
    from hybridsim.training.language_run import LanguageRun

    with watching(quiet or json_, folder) as watch:
        result = LanguageRun(study, folder, watch).run()
    if json_:
        tables = {"perplexity": result.table, "side_path": result.side_path}
        print_json({name: table.to_dict("records") for name, table in tables.items()})
    elif not quiet:
        out().print(render_language(result))


def render_language(result: "LanguageResult") -> RenderableType:
    """Return perplexity over time, and what side paths take."""
    study = result.study
    lines: list[RenderableType] = [
        Sentence(f"{study.name}: {study.question}"),
        Sentence(
            f"{study.test} documents of {study.tokens} tokens; 95 % t-intervals over chips and "
            "documents; corrected at the time of the test"
        ),
    ]
    names = ("tiles", "adapter", "time", "corrected", "perplexity", "95 %", "right %")
    table = plain_table(*names, right="|".join(names[4:]))
    for row in result.table.to_dict("records"):
        ends = f"[{row['perplexity_low']:.4g}, {row['perplexity_high']:.4g}]"
        mended = "yes" if row["corrected"] else "no"
        told = (row["tiles"], row["adapter"], row["time"], mended)
        numbers = (f"{row['perplexity']:.4g}", escape(ends), f"{row['accuracy_percent']:.1f}")
        table.add_row(*told, *numbers)
    lines.append(table)
    if len(result.side_path):
        heads = ("tiles", "streams", "layers", "kept %", "cores us", "tiles us", "added us", "nJ")
        table = plain_table(*heads, right="|".join(heads[3:]))
        for row in result.side_path.to_dict("records"):
            added = f"{row['added_least_us']:.4g} to {row['added_most_us']:.4g}"
            times = (f"{row['cores_us']:.4g}", f"{row['tiles_us']:.4g}", added)
            kind = (row["tiles"], "yes" if row["streams"] else "no", row["layers"])
            table.add_row(*kind, f"{row['kept_percent']:.2f}", *times, f"{row['energy_nj']:.4g}")
        title = f"side path of {study.batch} tokens on {study.machine}, by loops and by streams"
        lines += ["", Sentence(title), table]
    return Group(*lines)


def render(result: "RecalibrationResult") -> RenderableType:
    """Return what corrections gain over time, and schedules with what they cost."""
    study = result.study
    chips = "a chip" if result.chips == 1 else f"{result.chips} chips"
    lines: list[RenderableType] = [
        Sentence(f"{study.name}: {study.question}"),
        *map(Sentence, result.notes),
        "",
        Sentence(
            f"rank {study.rank} {study.keep}, {study.sentences} unlabelled sentences, {chips}, "
            f"judged by {result.on} sentences; a flip is an answer that differs from digital "
            "arithmetic; 95 % t-intervals; * excludes zero"
        ),
    ]
    for arm, rows in result.table.groupby("arm", sort=False) if len(result.table) else ():
        lines += [escape(str(arm)), _gains(rows)]
    if len(result.retraining):
        told = "trained on for as long, in place of corrected; fewer flips than corrected"
        lines += ["", told, _gains(result.retraining)]
    if len(result.differences):
        told = "accuracy against controls in digital arithmetic [points]; * excludes zero"
        lines += ["", told, _differences(result.differences)]
    if len(result.maintenance):
        lines += ["", *_schedules(result)]
    return Group(*lines)


def _gains(rows: "pd.DataFrame") -> RenderableType:
    names = ("time", "corrected", "flips %", "fewer flips", "KL", "accuracy %")
    table = plain_table(*names, right="|".join(names[2:]))
    for row in rows.to_dict("records"):
        star = "*" if row["significant"] else ""
        fewer = f"{row['fewer_flips']:.1f}{star} [{row['fewer_low']:.1f}, {row['fewer_high']:.1f}]"
        never = row["corrected_at"] == "never"
        table.add_row(
            row["time"],
            row["corrected_at"],
            f"{row['flips_percent']:.1f}",
            escape("" if never else fewer),
            f"{row['kl']:.4f}",
            escape(
                f"{row['accuracy_percent']:.1f} "
                f"[{row['accuracy_low']:.1f}, {row['accuracy_high']:.1f}]"
            ),
        )
    return table


def _differences(rows: "pd.DataFrame") -> RenderableType:
    names = ("arm", "time", "corrected", "against", "points")
    table = plain_table(*names, right="points")
    for row in rows.to_dict("records"):
        star = "*" if row["significant"] else ""
        ends = f"[{row['ci95_low']:+.1f}, {row['ci95_high']:+.1f}]"
        told = (row["arm"], row["time"], row["corrected_at"], row["against"].split(",")[0])
        table.add_row(*map(escape, told), escape(f"{row['difference_points']:+.1f}{star} {ends}"))
    return table


def _schedules(result: "RecalibrationResult") -> list[RenderableType]:
    """Return the table of schedules and what an event takes."""
    rows: list[dict[Any, Any]] = result.maintenance.to_dict("records")
    known = "event_j" in rows[0]
    names = (
        "schedule",
        "accuracy",
        "at end",
        "flips",
        "at end ",
        *(("s/year", "J/year", "us", "uJ") if known else ()),
    )
    table = plain_table(*names, right="|".join(names[1:]))
    for row in rows:
        cells = [row[n] for n in ("accuracy_mean", "accuracy_end", "flips_mean", "flips_end")]
        costs = (
            [row[n] for n in ("year_most_s", "year_j", "sentence_us", "sentence_uj")]
            if known
            else []
        )
        table.add_row(
            escape(row["schedule"]),
            *(f"{cell:.1f}" for cell in cells),
            *("-" if cost is None else f"{cost:.3g}" for cost in costs),
        )
    lines: list[RenderableType] = ["mean over all times and at the end [%]", table]
    if known:
        first = rows[0]
        lines.append(
            Sentence(
                f"an event on {result.study.machine} takes {first['event_least_s']:.3g} to "
                f"{first['event_most_s']:.3g} s (tiles {first['event_tiles_s']:.3g} s, cluster "
                f"{first['event_cluster_s']:.3g} s) and {first['event_j']:.3g} J; us and uJ are "
                "of a sentence in between"
            )
        )
    return lines
