"""Tables in Markdown, and pages whose tables are written anew between markers."""

from collections.abc import Mapping

import pandas as pd


def markdown_table(table: pd.DataFrame) -> str:
    """Return a table in Markdown; what is not there has a dash."""
    lines = ["| " + " | ".join(map(str, table.columns)) + " |", "|" + "---|" * table.shape[1]]
    for row in table.itertuples(index=False):
        cells = ["-" if pd.isna(value) else str(value).replace("|", "\\|") for value in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def refilled(page: str, parts: Mapping[str, str]) -> str:
    """Return a page with the text between ``<!-- begin NAME -->`` and its end replaced.

    Raises:
        ValueError: The page does not have the markers of a part exactly once.
    """
    for name, text in parts.items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
        found = page.count(begin)
        if found != 1 or page.count(end) != 1:
            raise ValueError(f"{found} places for {name}; the page needs one")
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}{text}\n{end}{rest.partition(end)[2]}"
    return page
