"""How large the page of a whole network is, how long it takes to write, and to open."""

import json
import time
from pathlib import Path

import pytest

from hybridsim.report.page.run_page import page_files
from hybridsim.simulation import execute, load
from hybridsim.strategies import make_strategy
from tests.browser.conftest import browser, opened  # noqa: F401
from tests.browser.tools import Opened, settled, written

CASES = (("ahwa_lora_2026", "token_parallel"), ("harp_2026", "xb_pipe"))


def opening(opened: Opened, path: Path) -> tuple[float, float, int]:  # noqa: F811
    """Return the CPU of a page until what is in view is drawn, and until all is [s]; what is left.

    That of the thread that parses, lays out and draws, whatever else the machine does.
    """
    session = opened.page.context.new_cdp_session(opened.page)
    session.send("Performance.enable")

    def spent() -> float:
        found = session.send("Performance.getMetrics")["metrics"]
        return float(next(each["value"] for each in found if each["name"] == "ThreadTime"))

    begin = spent()
    page = opened.at(path, drawn=False)
    usable, left = spent() - begin, page.evaluate("() => hybridsim.undrawn.size")
    page.evaluate("() => hybridsim.all()")
    settled(page)
    return round(usable, 2), round(spent() - begin, 2), left


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
    usable, drawn, left = opening(opened, written(run, tmp_path, tried=False).page)
    size = len(str(files["page.html"]).encode())
    figures = {
        "machine": machine,
        "strategy": strategy,
        "tasks": len(run.schedule.plan),
        "page_bytes": size,
        "timeline_bytes": len(files["timeline.npz"]),
        "write_cpu_s": seconds["plain"],
        "write_with_changes_cpu_s": seconds["tried"],
        "usable_cpu_s": usable,
        "drawn_cpu_s": drawn,
    }
    with capsys.disabled():
        print(json.dumps(figures))
    assert size < 5_000_000
    assert left > 0
    assert usable < 0.8 * drawn
