"""Every key of the files that people write, and of results: as JSON Schema and as tables."""

from hybridsim.reference.keys import Key, keys_of
from hybridsim.reference.schemas import ANSWERS, FILES, SCHEMAS, names_of_schemas, schema_of

__all__ = ["ANSWERS", "FILES", "SCHEMAS", "Key", "keys_of", "names_of_schemas", "schema_of"]
