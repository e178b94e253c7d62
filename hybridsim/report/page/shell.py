"""Putting a page together: templates, styles and scripts in one file that asks for nothing."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from hybridsim._version import __version__
from hybridsim.report.page.cells import micro
from hybridsim.report.page.charts import part_color
from hybridsim.units import format_bytes, format_energy, format_ps

_ASSETS = Path(__file__).with_name("assets")


def render_page(template: str, data: dict[str, Any], **parts: Any) -> str:
    """Return one HTML document.

    ``data`` is what the scripts read; ``parts`` are what the template shows. Text in either stays
    text: the template escapes it, and data cannot end its script.
    """
    return (
        _environment()
        .get_template(template)
        .render(parts, data=embedded(data), version=__version__, asset=asset)
    )


def embedded(data: Any) -> Markup:
    """Return JSON that can stand inside of a script element, whatever text it holds."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


@cache
def asset(name: str) -> Markup:
    """Return a style or a script of this package."""
    return Markup((_ASSETS / name).read_text(encoding="utf-8"))


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hybridsim.report.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "time": _time,
        "size": format_bytes,
        "energy": _energy,
        "micro": micro,
        "color": part_color,
        "words": words,
        "breakable": breakable,
    }
    return environment


def _time(ps: int) -> str:
    return micro(format_ps(ps))


def _energy(aj: int) -> str:
    return micro(format_energy(aj))


def breakable(text: object) -> Markup:
    """Return text that a narrow column breaks behind the dots and underscores of its names."""
    return Markup(re.sub(r"(?<=\w)([._/])(?=\w)", r"\1<wbr>", str(escape(str(text)))))


def words(name: str) -> str:
    """Return a name of the program as people write it."""
    return name.replace("_", " ")


PAGE = "page.html"
"""The page of a run, a comparison or a sweep."""
