"""Names that would like to be more than text."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hybridsim.cli.compare import document
from hybridsim.compare import compare
from hybridsim.metrics.result import Result
from hybridsim.report.page.activity import Activities
from hybridsim.report.page.comparison_page import comparison_page
from hybridsim.report.page.recording import Recording, record
from hybridsim.report.page.run_page import render_run, run_page
from hybridsim.report.page.shell import embedded
from hybridsim.simulate import execute, load
from tests.browser.tools import Opened, settled

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


@pytest.fixture(scope="module", params=HOSTILE, ids=range(len(HOSTILE)))
def hostile(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A page on which everything that has a name has a hostile one."""
    name: str = request.param
    network, machine = load("layer_512x128", "ahwa_lora_2026")
    run = execute(network, machine)
    recording = record(run, {"tile.rows": name})
    plan = recording.plan
    renamed = type(plan)(
        **{
            field: getattr(plan, field)
            for field in plan.__dataclass_fields__
            if field not in ("ops", "actions", "resources")
        },
        ops=tuple(name for _ in plan.ops),
        actions=tuple(f"{name}{i}" for i in range(len(plan.actions))),
        resources=tuple(
            type(r)(f"{name}{i}", r.kind, r.units, r.parts) for i, r in enumerate(plan.resources)
        ),
    )
    text = json.loads(run.result.to_json())
    for key in ("network", "machine", "scheduler", "engine", "bound"):
        text[key] = name
    text["notes"] = [name]
    for row in text["layers"]:
        row["name"] = row["unit"] = row["bound"] = name
    for row in text["resources"]:
        row["name"] = name
    text["inputs"]["machine"]["description"] = name
    text["inputs"]["network"]["source"] = name
    result = Result.model_validate(text)
    page = render_run(run_page(result, Recording(renamed, recording.timeline, recording.sources)))
    path = tmp_path_factory.mktemp("hostile") / "page.html"
    path.write_text(page, encoding="utf-8")
    return name, path


def test_names_are_text_on_the_page(opened: Opened, hostile: tuple[str, Path]) -> None:
    name, path = hostile
    page = opened.at(path)
    assert page.evaluate("() => window.caught") is None
    assert opened.complaints == []
    assert opened.requests == [path.as_uri()]
    assert name in page.locator("h1").text_content()
    assert page.locator("[data-table=layers] td").first.text_content() == name
    assert page.locator("h1 script, td script, td img, td svg, .tip script").count() == 0
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 1280


def test_names_are_text_in_tooltips_and_charts(opened: Opened, hostile: tuple[str, Path]) -> None:
    name, path = hostile
    page = opened.at(path)
    page.locator("#gantt").focus()
    page.keyboard.press("n")
    settled(page)
    assert name in page.locator("#gantt-task").text_content()
    mark = page.locator("#gantt .mark-rect.role-mark path").first
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.locator(".tip").wait_for(state="visible")
    assert name in page.locator(".tip").text_content()
    bar = page.locator("#figure-waterfall .mark-rect.role-mark path").first
    bar.scroll_into_view_if_needed()
    bar.hover()
    page.locator("#vg-tooltip-element.visible").wait_for()
    assert page.evaluate("() => window.caught") is None
    assert page.locator("#vg-tooltip-element script, #vg-tooltip-element img").count() == 0
    assert opened.complaints == []


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_embedded_data_reads_back_and_cannot_end_its_script(name: str) -> None:
    text = str(embedded({"name": name, name: [name]}))
    assert json.loads(text) == {"name": name, name: [name]}
    assert "<" not in text
    assert ">" not in text


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
