"""Documents held to the schema of their kind."""

from typing import Any

import pytest

from hybridsim.reference import schema_of


def broken(what: str, document: Any) -> list[str]:
    """Return what a document breaks of the schema of its kind."""
    jsonschema = pytest.importorskip("jsonschema", reason="extra 'test' has it")
    validator = jsonschema.Draft202012Validator(schema_of(what))
    validator.check_schema(validator.schema)
    return [error.message for error in validator.iter_errors(document)]
