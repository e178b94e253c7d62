"""How large the page of a whole network is, how long it takes to write, and to open."""

import json
import time
from pathlib import Path

import pytest

from hybridsim.report.page.run_page import page_files
from hybridsim.simulation import execute, load
from hybridsim.strategies import make_strategy
from tests.browser.conftest import browser, opened  # noqa: F401
from tests.browser.tools import Opened, written

CASES = (("ahwa_lora_2026", "token_parallel"), ("harp_2026", "xb_pipe"))


@pytest.mark.benchmark
@pytest.mark.parametrize(("machine", "strategy"), CASES)
def test_page_of_whole_mobilebert(
    machine: str,
    strategy: str,
    tmp_path: Path,
    opened: Opened,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    network, described = load("mobilebert", machine)
    run = execute(network, described, make_strategy(strategy, {}), tokens=320)
    page_files(run, {}, tried=False)  # compiled and imported from here on
    seconds = {}
    for tried in (False, True):
        start = time.process_time()
        files = page_files(run, {}, tried)
        seconds["tried" if tried else "plain"] = round(time.process_time() - start, 2)
    page = opened.at(written(run, tmp_path, tried=False).page, drawn=False)
    usable = page.evaluate("() => +document.documentElement.dataset.ready")
    charts = page.evaluate("() => document.querySelectorAll('.chart').length")
    rest = page.evaluate("() => hybridsim.undrawn.size")
    drawn = page.evaluate(
        "async () => { const begin = performance.now(); await hybridsim.all();"
        " return performance.now() - begin; }"
    )
    figures = {
        "machine": machine,
        "strategy": strategy,
        "tasks": len(run.schedule.plan),
        "page_bytes": len(str(files["page.html"]).encode()),
        "timeline_bytes": len(files["timeline.npz"]),
        "write_cpu_s": seconds["plain"],
        "write_with_changes_cpu_s": seconds["tried"],
        "usable_ms": round(usable),
        "rest_ms": round(drawn),
    }
    with capsys.disabled():
        print(json.dumps(figures))
    assert figures["page_bytes"] < 5_000_000
    assert rest > charts / 2
