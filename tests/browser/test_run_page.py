"""The page of a run, in a browser."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from hybridsim.measure.stalls import stalls_by_resource
from tests.browser.tools import Opened, Written, serious, settled

MOST_BYTES = 5_000_000


def bars(page: Any) -> list[dict[str, Any]]:
    """Return what each bar of the Gantt chart stands for, and where it is."""
    found: list[dict[str, Any]] = page.evaluate(
        """() => [...document.querySelectorAll('#gantt .mark-rect.role-mark path')].map((path) => {
             const box = path.getBoundingClientRect();
             const {row, start, end, count, task, action, critical} = path.__data__.datum;
             return {row, start, end, count, task, action, critical,
                     x: box.x + box.width / 2, y: box.y + box.height / 2, width: box.width};
           })"""
    )
    return found


def at(result: dict[str, Any], path: str) -> Any:
    """Return what lies at a dotted path."""
    for key in path.split("."):
        result = result[key]
    return result


def test_it_loads_without_a_complaint_and_without_the_network(
    network_tab: Opened, network_run: Written
) -> None:
    page = network_tab.page
    assert network_tab.complaints == []
    assert network_tab.requests == [network_run.page.as_uri()]
    assert network_run.page.stat().st_size < MOST_BYTES
    assert page.locator(".chart svg").count() >= 5


def test_its_numbers_are_those_of_the_json(on_network: Any, network_run: Written) -> None:
    page = on_network
    result = json.loads((network_run.folder / "result.json").read_text())
    told = page.evaluate(
        "() => Object.fromEntries([...document.querySelectorAll('[data-json][data-value]')]"
        ".map((e) => [e.dataset.json, Number(e.dataset.value)]))"
    )
    assert set(told) >= {"latency_ps", "overhead_percent", "throughput_tokens_per_s"}
    assert set(told) >= {"energy.total_pj", "energy.tdp_w", "area.total_um2"}
    assert told == {key: pytest.approx(at(result, key), rel=1e-12) for key in told}
    rows = page.evaluate(
        """() => {
             const table = document.querySelector('[data-table=layers] table');
             const keys = [...table.tHead.rows[0].cells].map((head) => head.dataset.key);
             return [...table.tBodies[0].rows].map((row) => Object.fromEntries(keys.map((key, i) =>
               [key, row.cells[i].dataset.value === undefined ? row.cells[i].textContent
                     : Number(row.cells[i].dataset.value)])));
           }"""
    )
    assert len(rows) == len(result["layers"])
    for row, layer in zip(rows, result["layers"], strict=True):
        for key, value in row.items():
            expected = layer[key]
            if isinstance(expected, str):
                assert value.replace(" ", "_") == expected.replace(" ", "_")
            else:
                assert value == pytest.approx(expected, rel=1e-12)


def test_the_table_sorts_by_number_and_filters_by_words(
    on_network: Any, network_run: Written
) -> None:
    page = on_network
    box = page.locator("[data-table=layers]")
    column = "() => [...document.querySelectorAll('[data-table=layers] tbody tr:not([hidden])')]"
    latencies = column + ".map((row) => Number(row.cells[6].dataset.value))"
    layers = network_run.run.result.layers
    expected = sorted(layer.latency_ps for layer in layers)
    head = box.get_by_role("button", name="latency")
    head.press("Enter")
    assert page.evaluate(latencies) == expected
    assert head.locator("xpath=..").get_attribute("aria-sort") == "ascending"
    head.press("Enter")
    assert page.evaluate(latencies) == expected[::-1]
    box.get_by_role("searchbox").fill("layer3. output")
    named = [r.name for r in layers if "layer3." in r.name and "output" in r.name]
    names = page.evaluate(column + ".map((row) => row.cells[0].textContent)")
    assert sorted(names) == sorted(named)
    assert box.locator("output").text_content() == f"{len(named)} of {len(layers)} rows"


def test_the_csv_has_the_rows_that_are_left(
    on_network: Any, network_run: Written, tmp_path: Path
) -> None:
    page = on_network
    box = page.locator("[data-table=layers]")
    box.get_by_role("searchbox").fill("layer3.attention")
    with page.expect_download() as download:
        box.get_by_role("button", name="Download CSV").click()
    download.value.save_as(tmp_path / "layers.csv")
    rows = list(csv.DictReader((tmp_path / "layers.csv").read_text("utf-8").splitlines()))
    layers = {layer.name: layer for layer in network_run.run.result.layers}
    assert {row["name"] for row in rows} == {n for n in layers if "layer3.attention" in n}
    for row in rows:
        assert int(row["latency_ps"]) == layers[row["name"]].latency_ps


def test_hover_shows_the_task_under_the_mouse(on_layer: Any, layer_run: Written) -> None:
    page = on_layer
    plan, timeline = layer_run.run.schedule.plan, layer_run.run.timeline
    page.locator("#gantt").scroll_into_view_if_needed()
    shown = [bar for bar in bars(page) if bar["count"] == 1 and bar["width"] > 4]
    assert len(shown) >= 5
    for bar in shown[:12]:
        page.mouse.move(bar["x"], bar["y"])
        tip = page.locator(".tip")
        tip.wait_for(state="visible")
        text = tip.text_content().replace(",", "")
        match = [
            task
            for task in range(len(plan))
            if timeline.start[task] == bar["start"]
            and timeline.end[task] == bar["end"]
            and f"{plan.name(task)}" in tip.text_content()
        ]
        assert match, text
        task = match[0]
        assert f"{timeline.start[task]} ps" in text
        assert f"{timeline.end[task]} ps" in text
        assert all(plan.resources[r].name in text for r in plan.uses_of(task))


@pytest.mark.slow
def test_hover_says_why_a_task_waited(on_layer: Any, layer_run: Written) -> None:
    page = on_layer
    facts = page.evaluate(
        "() => hybridsim.data.gantt.step.map((_, i) => hybridsim.gantt.facts(i))"
    )
    plan, timeline = layer_run.run.schedule.plan, layer_run.run.timeline
    by_name = {dict(pairs)["task"]: pairs for pairs in facts}
    assert len(by_name) == len(plan)
    for task in range(len(plan)):
        pairs = by_name[plan.name(task)]
        why = dict(pairs)["started by"]
        waited = [text for key, text in pairs if key == "waited"]
        if timeline.start[task] == 0:
            assert why.startswith("at once")
        else:
            assert re.match("data|room|turn|resource", why)
        late = timeline.start[task] > timeline.ready[task]
        assert any("for a resource" in text for text in waited) == late
        if why.startswith("data"):
            cause = why.removeprefix("data: came from ")
            needs = [plan.name(need) for need in plan.needs_of(task)]
            assert cause in needs


@pytest.mark.slow
def test_it_zooms_and_pans_by_button_key_and_wheel(on_layer: Any, layer_run: Written) -> None:
    page = on_layer
    gantt = page.locator("#gantt")
    window = "() => ['from', 'to'].map((e) => Number(document.getElementById('gantt').dataset[e]))"

    def after(act: Any) -> tuple[list[float], list[float]]:
        before = page.evaluate(window)
        act()
        settled(page)
        return before, page.evaluate(window)

    page.get_by_role("button", name="All", exact=True).click()
    settled(page)
    assert page.evaluate(window) == [0, layer_run.run.result.latency_ps]
    zoom = page.get_by_role("button", name="Zoom in")
    (a, b), (c, d) = after(zoom.click)
    assert d - c == pytest.approx((b - a) / 2, rel=1e-3)
    gantt.focus()
    (a, b), (c, d) = after(lambda: page.keyboard.press("+"))
    assert d - c == pytest.approx((b - a) / 2, rel=1e-3)
    (a, b), (c, d) = after(lambda: page.keyboard.press("ArrowRight"))
    assert c > a
    assert d - c == pytest.approx(b - a, rel=1e-3)
    box = gantt.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.keyboard.down("Control")
    (a, b), (c, d) = after(lambda: page.mouse.wheel(0, -200))
    page.keyboard.up("Control")
    assert d - c < b - a
    assert a <= c < d <= b
    (a, b), (c, d) = after(lambda: drag(page, gantt.bounding_box(), 200))
    assert c < a


def drag(page: Any, box: dict[str, float], by: float) -> None:
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] - 20
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by, y, steps=4)
    page.mouse.up()


@pytest.mark.slow
def test_zooming_in_tells_tasks_apart_and_no_time_is_lost(
    on_network: Any, network_run: Written
) -> None:
    """Bars of a part cover the time that its tasks in the window cover, at every zoom."""
    page = on_network
    run = network_run.run
    page.locator("#gantt-layer").select_option(label=run.result.layers[4].name)
    settled(page)
    first = bars(page)
    assert len({bar["action"] for bar in first}) > 2
    begin, end = (int(page.locator("#gantt").get_attribute(f"data-{e}")) for e in ("from", "to"))
    engine = next(
        i for i, r in enumerate(run.schedule.plan.resources) if r.name.endswith("engine")
    )
    plan, timeline = run.schedule.plan, run.timeline
    tasks = [
        t
        for t in range(len(plan))
        if engine in plan.uses_of(t) and timeline.start[t] < end and timeline.end[t] > begin
    ]
    drawn = [bar for bar in first if bar["row"] == plan.resources[engine].name]
    assert sum(bar["count"] for bar in drawn) == len(tasks)
    assert min(bar["start"] for bar in drawn) == min(timeline.start[t] for t in tasks)
    assert max(bar["end"] for bar in drawn) == max(timeline.end[t] for t in tasks)


@pytest.mark.slow
def test_the_critical_path_can_be_walked(on_layer: Any, layer_run: Written) -> None:
    page = on_layer
    page.locator("#gantt").focus()
    page.keyboard.press("n")
    settled(page)
    first = page.locator("#gantt-task").text_content()
    assert "on the critical path" in first
    page.keyboard.press("n")
    settled(page)
    second = page.locator("#gantt-task").text_content()
    assert second != first
    page.keyboard.press("c")  # what it waited for is the task before it on the path
    settled(page)
    assert page.locator("#gantt-task").text_content() == first


@pytest.mark.slow
def test_stalls_on_the_page_are_the_metric(on_layer: Any, layer_run: Written) -> None:
    page = on_layer
    expected = stalls_by_resource(layer_run.run.schedule.plan, layer_run.run.timeline)
    rows = page.evaluate(
        "() => [...document.querySelectorAll('[data-table=stalls] tbody tr')].map((row) =>"
        "[row.cells[0].textContent, ...[3, 4, 5, 6, 7].map((i) => +row.cells[i].dataset.value)])"
    )
    columns = ["busy_ps", "waiting_ps", "blocked_ps", "starved_ps", "finished_ps"]
    assert {row[0]: row[1:] for row in rows} == {
        name: [int(v) for v in values] for name, *values in expected[columns].itertuples()
    }


@pytest.mark.slow
def test_sources_stand_beside_the_values(on_layer: Any, layer_run: Written) -> None:
    page = on_layer
    row = page.locator("#inputs tr", has_text="tile.rows").first
    assert row.locator("td").all_text_contents() == ["tile.rows", "512", "[paper] a source"]


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 390), ("dark", 1280), ("light", 1280), ("dark", 390)]
)
@pytest.mark.slow
def test_light_dark_wide_and_narrow(
    opened: Opened, layer_run: Written, scheme: str, width: int
) -> None:
    opened.page.emulate_media(color_scheme=scheme)
    opened.page.set_viewport_size({"width": width, "height": 800})
    page = opened.at(layer_run.page)
    paper = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[scheme]
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    page.locator("#theme").click()
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") != paper
    page.evaluate("() => localStorage.clear()")


@pytest.mark.slow
def test_print_is_light_and_shows_whole_tables(opened: Opened, network_run: Written) -> None:
    opened.page.emulate_media(color_scheme="dark", media="print")
    page = opened.at(network_run.page)
    paper = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(255, 255, 255)"
    heights = page.evaluate(
        "() => [...document.querySelectorAll('.scroll')]"
        ".map((e) => [e.clientHeight, e.scrollHeight])"
    )
    assert all(shown == needed for shown, needed in heights)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(on_layer: Any, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    on_layer.emulate_media(color_scheme=scheme)
    on_layer.get_by_text("What the numbers of this page mean").click()
    found = serious(Axe().run(on_layer))
    on_layer.get_by_text("What the numbers of this page mean").click()
    on_layer.emulate_media(color_scheme="light")
    assert found == []


@pytest.mark.slow
def test_the_roofline_has_one_legend_and_flows_go_on_at_a_telephones_width(on_layer: Any) -> None:
    legends = on_layer.locator("#figure-roofline .role-legend")
    assert legends.count() == 1
    said = "getComputedStyle(document.querySelector('.sankey'), '::before').content"
    assert on_layer.evaluate(said) == "none"
    on_layer.set_viewport_size({"width": 390, "height": 800})
    assert "scroll it sideways" in on_layer.evaluate(said)
    on_layer.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.slow
def test_a_layer_is_marked_on_the_map_and_in_the_timeline(
    on_network: Any, network_run: Written
) -> None:
    page = on_network
    layer = network_run.run.result.layers[3].name
    page.locator("#tiles-layer").select_option(label=layer)
    settled(page)
    assert page.locator("#tiles .group.marked").count() == 1
    plan, timeline = network_run.run.schedule.plan, network_run.run.timeline
    own = [task for task in range(len(plan)) if plan.ops[plan.op[task]] == layer]
    begin, end = (int(page.locator("#gantt").get_attribute(f"data-{e}")) for e in ("from", "to"))
    assert begin <= min(timeline.start[own])
    assert end >= max(timeline.end[own])
    assert f"{len(own)} of its tasks" in page.locator("#tiles-picked").text_content()
    page.locator("#tiles-layer").select_option(label="any")
    settled(page)
    assert page.locator("#tiles .group.marked").count() == 0


@pytest.mark.slow
def test_a_tile_says_what_it_holds_and_is_no_fuller_than_it_is(
    on_network: Any, network_run: Written
) -> None:
    page = on_network
    page.locator("#tiles").scroll_into_view_if_needed()
    page.locator("#tiles [data-group='5']").hover()
    tip = page.locator(".tip")
    tip.wait_for(state="visible")
    group = page.evaluate("() => hybridsim.data.tiles.groups[5]")
    assert group["layers"][0] in tip.text_content()
    page.locator("#tiles-color").select_option(label="use, 0 to 100 %")
    shares = page.evaluate(
        "() => [...document.querySelectorAll('#tiles .group')].map((g) => g.style.fill)"
    )
    told = {round(float(re.search(r"([\d.]+)%", fill)[1]), 1) for fill in shares}
    used = {r.utilization for r in network_run.run.result.resources if r.kind == "tile"}
    assert told == {round(u * 100, 1) for u in used}
    page.mouse.move(0, 0)


@pytest.mark.slow
def test_the_map_zooms_by_button_and_key(on_network: Any) -> None:
    page = on_network
    size = "() => Number(document.getElementById('tiles').dataset.box.split(' ')[2])"
    before = page.evaluate(size)
    page.locator("[data-tiles=in]").click()
    larger = page.evaluate(size)
    assert larger < before
    page.locator("#tiles").focus()
    page.keyboard.press("-")
    page.keyboard.press("-")
    assert page.evaluate(size) == before
