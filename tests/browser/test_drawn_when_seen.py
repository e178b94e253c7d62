"""Charts are drawn when they are seen, printed or searched, and not before."""

from typing import Any

import pytest

from tests.browser.tools import Opened, Written, settled

# the default command opens the page of a run; its charts are scrolled to where the slow tests are
pytestmark = pytest.mark.slow

CHARTS = "[...document.querySelectorAll('.chart')]"
DRAWN = "(place) => place.querySelector('svg') !== null"
NEAR = "(place) => place.getBoundingClientRect().top < 1.5 * innerHeight"
"""Half a window below the view; nothing lies above it at the top of a page."""


def drawn(page: Any) -> int:
    """Return how many charts are drawn."""
    found: int = page.evaluate(f"() => {CHARTS}.filter({DRAWN}).length")
    return found


@pytest.fixture
def fresh(opened: Opened, network_run: Written) -> Opened:
    """The page of a network that nobody has scrolled; the Gantt chart is far below."""
    page = opened.at(network_run.page, drawn=False)
    page.wait_for_function(f"() => {CHARTS}.every((p) => ({NEAR})(p) === ({DRAWN})(p))")
    assert page.evaluate("() => hybridsim.undrawn.has(document.querySelector('#gantt .chart'))")
    return opened


def test_a_chart_is_drawn_when_it_comes_near_the_view(fresh: Opened) -> None:
    page = fresh.page
    count = page.evaluate(f"() => {CHARTS}.length")
    assert drawn(page) < count / 2
    for i in range(count):
        page.evaluate(f"(i) => {CHARTS}[i].scrollIntoView({{behavior: 'instant'}})", i)
        page.wait_for_function(f"(i) => ({DRAWN})({CHARTS}[i])", arg=i)
    assert drawn(page) == count
    assert page.evaluate("() => hybridsim.undrawn.size") == 0
    assert fresh.complaints == []


def test_all_is_drawn_before_it_is_printed(fresh: Opened) -> None:
    page = fresh.page
    seen = f"() => {{ window.printed = {CHARTS}.filter({DRAWN}).length; }}"
    page.evaluate(f"() => addEventListener('afterprint', {seen})")
    page.pdf()
    assert page.evaluate("() => window.printed") == page.evaluate(f"() => {CHARTS}.length")
    assert fresh.complaints == []


def test_all_is_drawn_for_a_search(fresh: Opened) -> None:
    fresh.page.keyboard.press("Control+f")
    fresh.page.wait_for_function(f"() => {CHARTS}.every({DRAWN})")


def test_what_is_marked_before_the_timeline_is_drawn_is_drawn_with_it(
    fresh: Opened, network_run: Written
) -> None:
    page = fresh.page
    layer = network_run.run.result.layers[3].name
    page.evaluate("(layer) => hybridsim.tiles.mark([layer])", layer)
    settled(page)
    begin, end = page.evaluate("() => ['from', 'to'].map((e) => +gantt.dataset[e])")
    assert (begin, end) != (0, network_run.run.result.latency_ps)
    page.locator("#gantt").scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('#gantt .mark-rect.role-mark path')")
    bars = page.evaluate(
        "() => [...document.querySelectorAll('#gantt .mark-rect.role-mark path')]"
        ".map((path) => path.__data__.datum)"
    )
    assert {bar["marked"] for bar in bars} >= {True}
    assert all(bar["end"] > begin and bar["start"] < end for bar in bars)


@pytest.mark.parametrize("section", ["energy-section", "inputs"])
def test_a_link_leads_to_its_section_past_charts_that_are_not_drawn(
    fresh: Opened, section: str
) -> None:
    page = fresh.page
    page.emulate_media(reduced_motion="reduce")
    page.locator(f"nav a[href='#{section}']").click()
    page.wait_for_function(
        "(id) => { const top = document.getElementById(id).getBoundingClientRect().top;"
        " const end = scrollY + innerHeight >= document.documentElement.scrollHeight - 1;"
        " return end || (top >= 0 && top < 120); }",
        arg=section,
    )
    settled(page)
    box = page.locator(f"#{section} h2").bounding_box()
    assert 0 <= box["y"] < 900


def test_tables_stand_without_scripts(opened: Opened, network_run: Written) -> None:
    page = opened.page
    page.context.new_cdp_session(page).send(
        "Emulation.setScriptExecutionDisabled", {"value": True}
    )
    page.goto(network_run.page.as_uri())
    cell = page.locator("[data-table=layers] tbody tr").last.locator("td").first
    assert cell.inner_text() == network_run.run.result.layers[-1].name
