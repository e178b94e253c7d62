"""What rows of answers have in common: columns of which some depend on what was asked."""

from typing import Any

from pydantic import ConfigDict

from hybridsim.described import Described

_CELL: dict[str, Any] = {
    "anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}, {"type": "null"}]
}
"""A cell of a table."""


class Row(Described):
    """A row with columns beyond those that are named: texts, numbers, true, false or nothing."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": _CELL})
