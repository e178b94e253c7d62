"""Reading YAML and JSON files into Specs, with one clear sentence when that fails."""

from hybridsim.specs.files import read_json_mapping, read_yaml_mapping, yaml_value
from hybridsim.specs.problems import PlacedError, shown, validate

__all__ = [
    "PlacedError",
    "read_json_mapping",
    "read_yaml_mapping",
    "shown",
    "validate",
    "yaml_value",
]
