"""Names that would like to be more than text."""

import json
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pandas as pd
import pytest

from hybridsim.cli.compare import document
from hybridsim.comparison import compare
from hybridsim.measure.result import Result
from hybridsim.report.page.chart_data import Activities
from hybridsim.report.page.comparison import comparison_page
from hybridsim.report.page.recording import Recording, record
from hybridsim.report.page.run_page import render_run, run_page
from hybridsim.report.page.shell import embedded
from hybridsim.simulation import load
from tests.browser.tools import Opened, Written, settled

HOSTILE = (
    "<script>window.caught=1</script>",
    "</script><script>window.caught=1</script>",
    "<img src=x onerror=window.caught=1>",
    "\"'><svg onload=window.caught=1>",
    "{{ 7 * 7 }} {% raw %}",
    "größe 测试 \u202e desrever \u2028 line",
    "a]]>&amp;--><!--",
    "x" * 4000,
)


@pytest.fixture(scope="module")
def hostile(network_run: Written, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page on which everything that has a name has a hostile one."""
    names = cycle(HOSTILE)
    result, run = network_run.run.result, network_run.run
    recording = record(run, {"tile.rows": HOSTILE[0], "tile.columns": HOSTILE[-1]})
    of_op = {op: f"{next(names)}{i}" for i, op in enumerate(recording.plan.ops)}
    of_label = {label: f"{next(names)}{i}" for i, label in enumerate(recording.plan.labels)}
    plan = replace(
        recording.plan,
        ops=tuple(of_op.values()),
        works=tuple(replace(work, label=of_label[work.label]) for work in recording.plan.works),
        resources=tuple(
            replace(r, name=f"{next(names)}{i}") for i, r in enumerate(recording.plan.resources)
        ),
    )
    text = json.loads(result.to_json())
    for key in ("network", "machine", "strategy", "engine", "bound"):
        text[key] = next(names)
    text["notes"] = list(HOSTILE)
    for row in text["layers"]:
        row["unit"] = row["bound"] = next(names)
        row["name"] = of_op[row["name"]]
    for row, resource in zip(text["resources"], plan.resources, strict=True):
        row["name"] = resource.name
    text["inputs"]["machine"]["description"] = next(names)
    text["inputs"]["network"]["source"] = next(names)
    shown = run_page(
        Result.model_validate(text), Recording(plan, recording.timeline, recording.sources)
    )
    path = tmp_path_factory.mktemp("hostile") / "page.html"
    path.write_text(render_run(shown), encoding="utf-8")
    return path


def test_names_are_text_on_the_page(opened: Opened, hostile: Path, network_run: Written) -> None:
    page = opened.at(hostile)
    assert page.evaluate("() => window.caught") is None
    assert opened.complaints == []
    assert opened.requests == [hostile.as_uri()]
    names = page.evaluate(
        "() => [...document.querySelectorAll('[data-table=layers] tbody td:first-child')]"
        ".map((cell) => cell.textContent)"
    )
    ops = page.evaluate("() => hybridsim.data.gantt.ops")
    assert set(names) <= set(ops)
    for name in HOSTILE:
        assert any(shown.startswith(name) for shown in names)
        assert name in page.locator("main").text_content()
    inside = "h1 script, td script, td img, td svg, li script, li img, option img, main script"
    assert page.locator(inside).count() == 0
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 1280


@pytest.mark.slow
def test_names_are_text_in_tooltips_and_charts(opened: Opened, hostile: Path) -> None:
    page = opened.at(hostile)
    page.locator("#gantt").focus()
    page.keyboard.press("n")
    settled(page)
    assert page.evaluate("() => hybridsim.data.gantt.ops[0]") in (
        page.locator("#gantt-task").text_content()
    )
    mark = page.locator("#gantt .mark-rect.role-mark path").first
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.locator(".tip").wait_for(state="visible")
    assert page.locator(".tip script, .tip img").count() == 0
    page.locator("#figure-waterfall .mark-rect.role-mark path").nth(1).hover()
    page.locator("#vg-tooltip-element.visible").wait_for()
    assert page.locator("#vg-tooltip-element script, #vg-tooltip-element img").count() == 0
    assert page.evaluate("() => window.caught") is None
    assert opened.complaints == []


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_embedded_data_reads_back_and_cannot_end_its_script(name: str) -> None:
    text = str(embedded({"name": name, name: [name]}))
    assert json.loads(text) == {"name": name, name: [name]}
    assert "<" not in text
    assert ">" not in text


@pytest.mark.slow
def test_a_comparison_of_hostile_names_is_text(opened: Opened, tmp_path: Path) -> None:
    network, machine = load("layer_128x128", "ahwa_lora_2026")
    seen = Activities()
    told = document(compare(network, machine, ["layer_serial"], on_run=seen.add))
    name = HOSTILE[1]
    told["network"] = told["best"] = told["strategies"][0]["strategy"] = name
    activity: pd.DataFrame = seen.to_frame().assign(strategy=name)
    path = tmp_path / "page.html"
    path.write_text(comparison_page(told, activity), encoding="utf-8")
    page = opened.at(path)
    assert page.evaluate("() => window.caught") is None
    assert name in page.locator("h1").text_content()
    assert opened.complaints == []
