"""The picture of a page that the README shows: ``python docs/generate_page_picture.py``."""

import tempfile
from pathlib import Path
from shutil import which

from playwright.sync_api import sync_playwright
from typer.testing import CliRunner

from hybridsim.cli import app

PICTURE = Path(__file__).parent / "img" / "page.png"
RUN = ("run", "layer_512x128", "ahwa_lora_2026", "--quiet", "--out")


def main() -> None:
    """Write a page, and the first screen of it as a picture."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        assert CliRunner().invoke(app, [*RUN, folder]).exit_code == 0
        browser = playwright.chromium.launch(
            executable_path=which("chromium") or which("google-chrome"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto((Path(folder) / "page.html").as_uri())
        page.wait_for_timeout(2000)
        page.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main()
