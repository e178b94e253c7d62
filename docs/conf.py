"""The site, with the extra ``docs``: ``sphinx-build -W --keep-going docs _site``.

Pages link to each other as they lie in the repository, and are read there as well. Links to files
that the site has not are told as the path in the repository.
"""

import re
from pathlib import Path
from typing import Any

import hybridsim

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
FROM_ROOT = {
    "project/architecture": "ARCHITECTURE.md",
    "project/contributing": "CONTRIBUTING.md",
    "project/changelog": "CHANGELOG.md",
}
"""Pages of the site whose text lies at the root of the repository."""

project = "hybridsim"
author = "the authors of hybridsim"
copyright = "the authors of hybridsim, Apache-2.0"
release = version = hybridsim.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"hybridsim {release}"
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0a5a9c", "color-brand-content": "#0a5a9c"},
    "dark_css_variables": {"color-brand-primary": "#7cc0f5", "color-brand-content": "#7cc0f5"},
}
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_default_options = {"members": True, "exclude-members": "model_config, model_post_init"}

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def from_repository(app: Any, docname: str, source: list[str]) -> None:
    """Put in the text that lies at the root, and lead links to where things are on the site."""
    here = DOCS
    if docname in FROM_ROOT:
        source[0] = (ROOT / FROM_ROOT[docname]).read_text(encoding="utf-8")
        here = ROOT
    else:
        here = (DOCS / docname).parent
    fenced = re.split(r"(^```.*?^```$)", source[0], flags=re.S | re.M)
    source[0] = "".join(
        text if at % 2 else _LINK.sub(lambda link: _led(link, here), text)
        for at, text in enumerate(fenced)
    )


def _led(link: re.Match[str], here: Path) -> str:
    image, text, target, anchor = link[1], link[2], link[3], link[4] or ""
    if "://" in target or target.startswith("mailto:"):
        return link[0]
    path = (here / target).resolve()
    pages = {(ROOT / name).resolve(): page for page, name in FROM_ROOT.items()}
    if path in pages:
        return f"[{text}](/{pages[path]}.md{anchor})"
    if not path.exists():
        raise FileNotFoundError(f"{here}: a link leads to {target}, which does not exist")
    if path.is_relative_to(DOCS) and path.suffix in (".md", ".png"):
        return f"{image}[{text}](/{path.relative_to(DOCS).as_posix()}{anchor})"
    if path == DOCS / "decisions":
        return f"[{text}](/decisions/index.md)"
    name = path.relative_to(ROOT).as_posix()
    return f"`{name}`" if name.endswith(text) or text.endswith(name) else f"{text} (`{name}`)"


def setup(app: Any) -> None:
    """Let Sphinx read pages through :func:`from_repository`."""
    app.connect("source-read", from_repository)
