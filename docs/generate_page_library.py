"""Write the library that draws the charts of pages: Vega, Vega-Lite and Vega-Embed, minified.

The pages carry it, so that they need no network; ``vl-convert-python`` (extra ``test``) holds it.
Run: python docs/generate_page_library.py
"""

from pathlib import Path

import vl_convert

VEGA_LITE = "6.4"
FILE = Path(__file__).parents[1] / "hybridsim" / "report" / "page" / "assets" / "vega.js"
SNIPPET = "window.vegaEmbed=vegaEmbed;"


def library() -> str:
    """Return the library as one script that leaves one name behind: vegaEmbed."""
    head = (
        f"// Vega {vl_convert.get_vega_version()}, Vega-Lite {VEGA_LITE}, Vega-Embed "
        f"{vl_convert.get_vega_embed_version()}, minified; BSD 3-clause, see vega.LICENSE.txt\n"
    )
    bundle = vl_convert.javascript_bundle(SNIPPET, vl_version=VEGA_LITE)
    return f"{head}(()=>{{{bundle}}})();\n"


if __name__ == "__main__":
    FILE.write_text(library(), encoding="utf-8")
