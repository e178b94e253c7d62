"""Answers and inputs as they show themselves: some lines of text, or a table in a notebook."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

WIDEST = 96
"""Characters of a line of text; what is longer ends in dots."""
_LEFT, _RIGHT = "text-align:left;padding:2px 8px", "text-align:right;padding:2px 8px"


def lines(head: str, facts: Iterable[tuple[str, str]]) -> str:
    """Return a head and below it one line per fact: what, and what there is to say of it."""
    below = [f"  {what + ' ':<13s}{text}" for what, text in facts if text]
    return "\n".join(_cut(line) for line in (head, *below))


def _cut(line: str) -> str:
    return line if len(line) <= WIDEST else line[: WIDEST - 3].rstrip() + "..."


def flat(value: Any, above: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted path and text of all that lies in nested mappings; what is null is left out."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(inner, f"{above}.{key}" if above else str(key))
    elif value is not None and value != []:
        yield above, str(value)


def html(head: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table under a head, as HTML without script or style sheet.

    Colours are those of the notebook, so it reads in light and dark. All text is escaped; what is
    in the first column heads its row.
    """
    from html import escape  # in notebooks alone

    heads = "".join(f'<th scope="col" style="{_LEFT}">{escape(name)}</th>' for name in columns)
    body = "".join(
        f'<tr><th scope="row" style="{_LEFT}">{escape(first)}</th>'
        + "".join(f'<td style="{_RIGHT}">{escape(cell)}</td>' for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div><p><strong>{escape(head)}</strong></p>{table}</div>"
