"""What the tests of pages share."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybridsim.report.page.run_page import page_files
from hybridsim.simulation import Run


@dataclass
class Opened:
    """A page in the browser, and what happened on it."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def at(self, path: Path, drawn: bool = True) -> Any:
        """Open a file and wait until all of it is drawn, or only what is in view."""
        self.page.goto(path.as_uri())
        self.page.wait_for_function("document.documentElement.dataset.ready", timeout=60_000)
        if drawn:
            self.page.evaluate("() => hybridsim.all()")
        return self.page

    def again(self) -> Any:
        """Return an open page as it was when it was opened."""
        self.page.bring_to_front()
        self.page.evaluate(
            """() => {
                 for (const input of document.querySelectorAll('input[type=search]')) {
                   input.value = '';
                   input.dispatchEvent(new Event('input'));
                 }
                 if (hybridsim.gantt) hybridsim.gantt.show(...hybridsim.data.gantt.shown);
                 scrollTo(0, 0);
               }"""
        )
        settled(self.page)
        return self.page


def new_tab(browser: Any) -> Opened:
    """Return a new tab that notes what happens, and loads nothing from outside."""
    tab = Opened(browser.new_page())
    tab.page.on("console", lambda message: tab.complaints.append(message.text))
    tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
    tab.page.on("request", lambda request: tab.requests.append(request.url))
    tab.page.route(
        "**/*",
        lambda route: (
            route.continue_() if route.request.url.startswith("file:") else route.abort()
        ),
    )
    return tab


@dataclass(frozen=True)
class Written:
    """A run and the folder with its page."""

    run: Run
    folder: Path

    @property
    def page(self) -> Path:
        """The page."""
        return self.folder / "page.html"


def written(run: Run, folder: Path, tried: bool = True) -> Written:
    """Write the files of a run as the command line does."""
    (folder / "result.json").write_text(run.result.to_json())
    for name, content in page_files(run, {"tile.rows": "[paper] a source"}, tried).items():
        held = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(held)
    return Written(run, folder)


def serious(found: Any) -> list[str]:
    """Return the faults that keep people out."""
    return [
        f"{fault['id']}: {[node['html'] for node in fault['nodes']]}"
        for fault in found.response["violations"]
        if fault["impact"] in ("serious", "critical")
    ]


def settled(page: Any) -> None:
    """Wait until a change of the window is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 60)))")
