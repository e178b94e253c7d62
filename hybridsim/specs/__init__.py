"""Reading YAML and JSON files into Specs, with one clear sentence when that fails."""

from hybridsim.specs.differences import changed, differences, merged, merges
from hybridsim.specs.files import read_json_mapping, read_yaml_mapping, yaml_value
from hybridsim.specs.problems import PlacedError, first_problem, first_sentence, shown, validate

__all__ = [
    "PlacedError",
    "changed",
    "differences",
    "first_problem",
    "first_sentence",
    "merged",
    "merges",
    "read_json_mapping",
    "read_yaml_mapping",
    "shown",
    "validate",
    "yaml_value",
]
