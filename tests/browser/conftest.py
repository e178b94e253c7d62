"""A headless Chromium that reports every request and every complaint."""

import os
from collections.abc import Iterator
from shutil import which
from typing import Any

import pytest

from hybridsim.simulation import execute, load
from tests.browser.tools import Opened, Written, new_tab, written

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The system's Chromium; without one tests are skipped, but fail where CI runs them."""
    found = next((path for name in NAMES if (path := which(name))), None)
    if found is None:
        missing = f"no browser: none of {', '.join(NAMES)} is installed"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        folder = tmp_path_factory.mktemp("browser")
        opened = playwright.chromium.launch_persistent_context(
            folder, executable_path=found, headless=True, args=list(ARGUMENTS),
            viewport={"width": 1280, "height": 900}, accept_downloads=True,
        )  # fmt: skip
        yield opened
        opened.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Opened]:
    """A new tab that may load files of this machine and nothing else."""
    tab = new_tab(browser)
    yield tab
    tab.page.close()


@pytest.fixture(scope="session")
def network_tab(browser: Any, network_run: Written) -> Iterator[Opened]:
    """The page of the network, opened once."""
    tab = new_tab(browser)
    tab.at(network_run.page)
    yield tab
    tab.page.close()


@pytest.fixture(scope="session")
def layer_tab(browser: Any, layer_run: Written) -> Iterator[Opened]:
    """The page of the layer, opened once."""
    tab = new_tab(browser)
    tab.at(layer_run.page)
    yield tab
    tab.page.close()


@pytest.fixture
def on_network(network_tab: Opened) -> Iterator[Any]:
    """The page of the network, as it was when it was opened; no test may make it complain."""
    yield network_tab.again()
    assert network_tab.complaints == []


@pytest.fixture
def on_layer(layer_tab: Opened) -> Iterator[Any]:
    """The page of the layer, as it was when it was opened; no test may make it complain."""
    yield layer_tab.again()
    assert layer_tab.complaints == []


@pytest.fixture(scope="session")
def network_run(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A whole network: 36 layers, a thousand tasks."""
    network, machine = load("distilbert", "ahwa_lora_2026")
    run = execute(network.with_adapters(rank=8), machine, tokens=32)
    return written(run, tmp_path_factory.mktemp("network"), tried=False)


@pytest.fixture(scope="session")
def layer_run(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """One layer: few tasks, all of them visible."""
    network, machine = load("layer_512x128", "ahwa_lora_2026")
    return written(execute(network, machine), tmp_path_factory.mktemp("layer"))
