"""``hybridsim sensitivity``: what each layer's analog error costs, and how sure that is."""

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.markup import escape

from hybridsim.cli._folders import check_study
from hybridsim.cli._options import Json, JudgedOn, Quiet, StudyFile, StudyFolder
from hybridsim.cli._progress import watching
from hybridsim.cli._terminal import Sentence, ends_cleanly, out, plain_table, print_json

if TYPE_CHECKING:
    from hybridsim.training.sensitivity_run import SensitivityResult

MOST_LAYERS = 12
"""Layers that are shown, those that cost most."""


@ends_cleanly
def sensitivity(
    study: StudyFile,
    out_: StudyFolder,
    on: JudgedOn = "validation",
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find what each layer of STUDY costs on tiles; writes sensitivity.json for design."""
    check_study(study, out_, "sensitivity")
    # only here: torch takes seconds to import
    from hybridsim.training.sensitivity_run import SensitivityRun

    with watching(quiet or json_, out_) as watch:
        result = SensitivityRun(study, out_, watch, on).run()
    if json_:
        print_json(result.document)
    elif not quiet:
        out().print(render(result))


def render(result: "SensitivityResult") -> RenderableType:
    """Return, for each condition, the layers that cost most and how wrong predictions were."""
    document = result.document
    lines: list[RenderableType] = [
        Sentence(f"{result.study.name}: {result.study.question}"),
        Sentence(
            f"{document['sentences']:,} {document['judged_by']} sentences, "
            f"{document['digital_accuracy_percent']:.1f} % right in digital arithmetic"
        ),
    ]
    for condition in document["conditions"]:
        lines += ["", *_told(condition, result)]
    return Group(*lines)


def _told(condition: dict[str, Any], result: "SensitivityResult") -> list[RenderableType]:
    kl, whole = condition["kl"], condition["all_on_tiles"]
    costly = sorted(kl, key=lambda name: -kl[name])
    summed = sum(kl.values()) or 1.0
    table = plain_table("layer", "KL", "share %", right="KL|share %")
    for name in costly[:MOST_LAYERS]:
        table.add_row(escape(name), f"{kl[name]:.5f}", f"{100 * kl[name] / summed:.1f}")
    rest = sum(kl[name] for name in costly[MOST_LAYERS:])
    if rest:
        table.add_row(
            f"{len(costly) - MOST_LAYERS} others", f"{rest:.5f}", f"{100 * rest / summed:.1f}"
        )
    bits = f"{condition['dac_bits']}/{condition['adc_bits']} bits"
    return [
        f"{condition['time']} after programming, {bits}, output noise "
        f"{condition['output_noise']:g}",
        table,
        Sentence(
            f"all on tiles: KL {whole['kl']:.4f} (from the pass alone "
            f"{whole['kl_of_the_pass']:.4f}), {whole['flips_percent']:.1f} % of answers flip, "
            f"{whole['drop_points']:.1f} points of accuracy lost"
        ),
        Sentence(
            f"predictions for {condition['checked_on']} placements on fresh chips were wrong by "
            f"{condition['error_flips']:.2f} % of flips and {condition['error_points']:.2f} "
            "points on average"
        ),
    ]
