"""The pages of comparisons and sweeps, in a browser."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hybridsim.cli.sweep import inputs_of
from hybridsim.report.page.cells import short_names
from hybridsim.report.page.sweep import sweep_page
from hybridsim.sweeps.run import SweepResult, run_study
from tests.browser.tools import Opened, new_tab, serious, settled

# the default command opens the page of a run; these are opened where the slow tests are
pytestmark = pytest.mark.slow

STUDY = """
name: batches
question: Which batch and clock?
machine: ahwa_lora_2026
network: layer_512x128
axes:
  cluster.clock.frequency: [250 MHz, 500 MHz]
  strategy.batch: {from: 8, to: 32, factor: 2}
  tile.integration_time: [128 ns, 256 ns]
per: [tile.integration_time]
constraints: [overhead_percent <= 900]
objectives: {latency_ps: minimise, tcdm_bytes: minimise}
"""


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from typer.testing import CliRunner

    from hybridsim.cli import app

    folder = tmp_path_factory.mktemp("compared")
    arguments = ["compare", "layer_512x128", "ahwa_lora_2026", "--strategies"]
    arguments += ["layer_serial,token_parallel,swapped", "--out", str(folder), "--quiet"]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[SweepResult, Path]:
    folder = tmp_path_factory.mktemp("swept")
    (folder / "study.yaml").write_text(STUDY)
    result = run_study(inputs_of(folder))
    (folder / "page.html").write_text(sweep_page(result), encoding="utf-8")
    return result, folder


@pytest.fixture(scope="module")
def compared_tab(browser: Any, compared: Path) -> Iterator[Opened]:
    tab = new_tab(browser)
    tab.at(compared / "page.html")
    yield tab
    tab.page.close()


@pytest.fixture(scope="module")
def swept_tab(browser: Any, swept: tuple[SweepResult, Path]) -> Iterator[Opened]:
    tab = new_tab(browser)
    tab.at(swept[1] / "page.html")
    yield tab
    tab.page.close()


def test_a_comparison_shows_its_numbers(compared_tab: Opened, compared: Path) -> None:
    page = compared_tab.again()
    told = json.loads((compared / "comparison.json").read_text())
    assert page.locator("[data-json=best]").text_content() == told["best"]
    best = next(r for r in told["strategies"] if r["strategy"] == told["best"])
    shown = page.locator("[data-json=latency_ps]").get_attribute("data-value")
    assert int(shown) == best["latency_ps"]
    rows = page.evaluate(
        "() => [...document.querySelectorAll('[data-table=strategies] tbody tr')].map((row) =>"
        "[row.cells[0].textContent, Number(row.cells[1].dataset.value)])"
    )
    assert rows == [[r["strategy"], r["latency_ps"]] for r in told["strategies"]]
    assert compared_tab.complaints == []
    assert compared_tab.requests == [(compared / "page.html").as_uri()]


def test_strategies_share_one_time_axis(compared_tab: Opened, compared: Path) -> None:
    """The last bar of each strategy ends at its latency, on the same scale."""
    page = compared_tab.again()
    told = json.loads((compared / "comparison.json").read_text())
    ends: dict[str, float] = page.evaluate(
        """() => {
             const found = {};
             const marks = '#figure-lanes .mark-rect.role-mark path';
             for (const path of document.querySelectorAll(marks)) {
               const row = path.__data__.datum;
               const box = path.getBoundingClientRect();
               found[row.strategy] = Math.max(found[row.strategy] ?? 0, box.right);
             }
             return found;
           }"""
    )
    left = page.evaluate(
        "() => Math.min(...["
        "...document.querySelectorAll('#figure-lanes .mark-rect.role-mark path')]"
        ".map((path) => path.getBoundingClientRect().left))"
    )
    rows = {r["strategy"]: r["latency_ps"] for r in told["strategies"]}
    scale = {(ends[name] - left) / latency for name, latency in rows.items()}
    assert max(scale) == pytest.approx(min(scale), rel=0.02)


def test_a_comparison_is_rebuilt_byte_for_byte(compared: Path) -> None:
    from hybridsim.report.page.run_page import page_of_folder

    assert page_of_folder(compared) == (compared / "page.html").read_text(encoding="utf-8")


def test_a_sweep_shows_its_numbers(swept_tab: Opened, swept: tuple[SweepResult, Path]) -> None:
    result, _ = swept
    page = swept_tab.again()
    summary = result.summary()
    for key in ("points", "with_result", "feasible"):
        assert int(page.locator(f"[data-json={key}]").get_attribute("data-value")) == summary[key]
    front = page.evaluate(
        "() => [...document.querySelectorAll('[data-table=pareto] tbody tr')].map((row) =>"
        "Number(row.cells[3].dataset.value))"
    )
    assert front == [row["latency_ps"] for row in summary["pareto"]]
    assert page.locator("#figure-shares svg").count() == 1
    assert swept_tab.complaints == []


def cells(page: Any) -> set[tuple[str, str, float]]:
    found = page.evaluate(
        "() => [...document.querySelectorAll('#heat-map .mark-rect.role-mark path')]"
        ".map((path) => { const {x, y, value} = path.__data__.datum; return [x, y, value]; })"
    )
    return {(x, y, round(value, 3)) for x, y, value in found}


def best(table: pd.DataFrame, x: str, y: str, column: str) -> dict[tuple[Any, Any], int]:
    """The definition: the least of the feasible points with both values."""
    found: dict[tuple[Any, Any], int] = {}
    for row in table[table["feasible"]].to_dict("records"):
        key = (row[x], row[y])
        found[key] = min(found.get(key, row[column]), row[column])
    return found


def test_the_heat_map_shows_the_best_of_the_other_axes(
    swept_tab: Opened, swept: tuple[SweepResult, Path]
) -> None:
    result, _ = swept
    page = swept_tab.again()
    table = result.table
    expected = best(table, "cluster.clock.frequency_hz", "strategy.batch", "latency_ps")
    assert cells(page) == {
        (f"{hz // 10**6} MHz", str(batch), round(ps / 1e6, 3))
        for (hz, batch), ps in expected.items()
    }
    page.locator("#heat-case").select_option(label="128 ns")
    page.locator("#heat-x").select_option(label="strategy.batch")
    page.locator("#heat-y").select_option(label="cluster.clock.frequency")
    page.locator("#heat-objective").select_option(label="TCDM")
    settled(page)
    own = table[table["tile.integration_time_ps"] == 128_000]
    expected = best(own, "strategy.batch", "cluster.clock.frequency_hz", "tcdm_bytes")
    page.wait_for_function("() => document.querySelector('#heat-map svg text') !== null")
    settled(page)
    assert cells(page) == {
        (str(batch), f"{hz // 10**6} MHz", round(size / 1024, 3))
        for (batch, hz), size in expected.items()
    }


@pytest.mark.parametrize("which", ["compared_tab", "swept_tab"])
def test_axe_finds_no_serious_fault(which: str, request: pytest.FixtureRequest) -> None:
    from axe_playwright_python.sync_playwright import Axe

    assert serious(Axe().run(request.getfixturevalue(which).page)) == []


# --- two results, and points that are chosen ----------------------------------------------------


@pytest.fixture(scope="module")
def differing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from typer.testing import CliRunner

    from hybridsim.cli import app

    folder = tmp_path_factory.mktemp("differing")
    for name, more in (("one", []), ("other", ["--strategy", "early_xa"])):
        arguments = ["run", "layer_512x128", "ahwa_lora_2026", *more, "--layers-only"]
        arguments += ["--out", str(folder / name)]
        assert CliRunner().invoke(app, [*arguments, "--quiet"]).exit_code == 0
    arguments = ["compare", str(folder / "one"), str(folder / "other"), "--out", str(folder)]
    done = CliRunner().invoke(app, [*arguments, "--quiet"], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def differing_tab(browser: Any, differing: Path) -> Iterator[Opened]:
    tab = new_tab(browser)
    tab.at(differing / "page.html")
    yield tab
    tab.page.close()


def test_two_results_show_their_numbers(differing_tab: Opened, differing: Path) -> None:
    page = differing_tab.again()
    for side, name in (("before", "one"), ("after", "other")):
        told = json.loads((differing / name / "result.json").read_text())["latency_ps"]
        shown = page.locator(f"[data-json='{side}.latency_ps']").get_attribute("data-value")
        assert int(shown) == told
    assert page.locator("#figure-lanes svg").count() == 1
    assert page.locator("[data-table=inputs]").text_content().count("early") >= 1
    assert differing_tab.complaints == []
    assert differing_tab.requests == [(differing / "page.html").as_uri()]


def test_two_results_are_rebuilt_byte_for_byte(differing: Path) -> None:
    from hybridsim.report.page.run_page import page_of_folder

    assert page_of_folder(differing) == (differing / "page.html").read_text(encoding="utf-8")


def chosen(page: Any) -> list[int]:
    found: list[int] = page.evaluate(
        "() => [...document.querySelectorAll('#chosen tbody tr')].map((r) => +r.dataset.point)"
    )
    return found


def test_what_is_dragged_in_one_view_is_chosen_in_all(
    swept_tab: Opened, swept: tuple[SweepResult, Path]
) -> None:
    page = swept_tab.again()
    data = page.evaluate("() => hybridsim.data.points")
    page.locator("#chosen-none").click()
    everything = chosen(page)
    assert len(everything) == len(data["index"]) == int(swept[0].table["feasible"].sum())
    # along the first axis: the upper half is the higher frequency
    grip = page.locator("#parallel .grip").first
    grip.scroll_into_view_if_needed()
    box = grip.bounding_box()
    x = box["x"] + box["width"] / 2
    page.mouse.move(x, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(x, box["y"] + box["height"] / 3, steps=4)
    page.mouse.up()
    settled(page)
    codes = data["axes"][0]["codes"]
    kept = {i for i in everything if codes[i] == max(codes)}
    assert set(chosen(page)) == kept != set(everything)
    signal = page.evaluate("() => hybridsim.views.front.signal('chosen')")
    assert {int(i) for i in signal} == kept
    # in the chart, the other way round
    page.locator("#chosen-none").click()
    settled(page)
    chart = page.locator("#figure-front svg")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.move(box["x"] + 70, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 50, steps=4)
    page.mouse.up()
    settled(page)
    some = set(chosen(page))
    assert 0 < len(some) < len(everything)
    faint = page.evaluate(
        "() => [...document.querySelectorAll('#parallel path')].flatMap("
        "(line, i) => line.classList.contains('out') ? [] : [i])"
    )
    assert set(faint) == some
    page.locator("#chosen-none").click()
    settled(page)
    assert set(chosen(page)) == set(everything)
    assert swept_tab.complaints == []


def test_a_point_says_how_its_run_page_is_had(
    swept_tab: Opened, swept: tuple[SweepResult, Path]
) -> None:
    """The command, run, gives the latency that the table shows."""
    import shlex

    from typer.testing import CliRunner

    from hybridsim.cli import app

    page = swept_tab.again()
    page.locator("#chosen-none").click()
    page.locator("#chosen tbody tr").first.click()
    command = shlex.split(page.locator("#chosen-point code").text_content())
    assert command[:2] == ["hybridsim", "run"]
    assert command[-2] == "--out"
    done = CliRunner().invoke(app, [*command[1:-2], "--json"], catch_exceptions=False)
    table = swept[0].table
    best = table[table["feasible"]]["latency_ps"].min()
    assert json.loads(done.stdout)["latency_ps"] == best


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["differing_tab", "swept_tab"])
def test_axe_and_narrow_pages(which: str, scheme: str, request: pytest.FixtureRequest) -> None:
    from axe_playwright_python.sync_playwright import Axe

    tab = request.getfixturevalue(which)
    page = tab.again()
    page.emulate_media(color_scheme=scheme)
    found = serious(Axe().run(page))
    page.set_viewport_size({"width": 390, "height": 800})
    wide = page.evaluate("() => document.documentElement.scrollWidth")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.emulate_media(color_scheme="light")
    assert found == []
    assert wide <= 390


def test_names_are_cut_in_the_browser_as_in_drawings_of_the_program(swept_tab: Opened) -> None:
    page = swept_tab.again()
    names = [
        "a",
        *(f"block{i}.attention.output.{end}" for i in range(3) for end in ("dense", "sum")),
    ]
    for most in (8, 12, 30):
        cut = page.evaluate("([names, most]) => [...hybridsim.short(names, most)]", [names, most])
        assert dict(cut) == short_names(names, most)


def test_a_drawing_that_is_wider_than_a_telephone_says_so(swept_tab: Opened) -> None:
    page = swept_tab.again()
    said = "getComputedStyle(document.getElementById('parallel'), '::before').content"
    assert page.evaluate(said) == "none"
    page.set_viewport_size({"width": 390, "height": 800})
    assert "scroll it sideways" in page.evaluate(said)
    page.set_viewport_size({"width": 1280, "height": 900})
