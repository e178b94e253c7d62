"""Tables in Markdown, and pages that are written anew."""

import pandas as pd
import pytest

from hybridsim.report.markdown import markdown_table, refilled


def test_a_table_has_a_head_and_a_row_each() -> None:
    table = pd.DataFrame({"a": [1, None], "b": ["x|y", "z"]}, dtype=object)
    assert markdown_table(table) == "| a | b |\n|---|---|\n| 1 | x\\|y |\n| - | z |"


def test_what_stands_between_the_markers_is_replaced() -> None:
    page = "top\n<!-- begin t -->\nold\n<!-- end t -->\nbottom"
    assert refilled(page, {"t": r"\1 new"}) == page.replace("old", r"\1 new")


@pytest.mark.parametrize("page", ["", 2 * "<!-- begin t -->\n<!-- end t -->\n"])
def test_a_page_without_one_place_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="places for t; the page needs one"):
        refilled(page, {"t": ""})
