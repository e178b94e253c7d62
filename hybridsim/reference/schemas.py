"""JSON Schema of machines, networks, studies of all kinds and answers, made from their models.

Editors complete and check files with it. A quantity is text there, a number and a unit; what it
may be is in ``x-units`` and ``x-range``. What depends on several keys at once (sizes that must
agree, names that must exist) no schema tells: the readers do.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from pydantic import BaseModel, TypeAdapter

from hybridsim._version import __version__
from hybridsim.arch import Machine
from hybridsim.codesign.study import CodesignStudy
from hybridsim.difference import Difference
from hybridsim.errors import UnknownNameError
from hybridsim.measure.answer import FORMAT_VERSION, Document
from hybridsim.measure.generation import Generation
from hybridsim.measure.result import Result
from hybridsim.reference.answers import library, runs, studies, training, validation
from hybridsim.service.result import ServiceResult
from hybridsim.specs.differences import DIFFERS_FROM
from hybridsim.sweeps.study import Study
from hybridsim.training.language_study import LanguageStudy
from hybridsim.training.recalibration_study import RecalibrationStudy
from hybridsim.training.reward_study import RewardStudy
from hybridsim.training.sensitivity_study import SensitivityStudy
from hybridsim.training.study import AdaptStudy
from hybridsim.workload.from_yaml import NetworkFile

Schema = dict[str, Any]
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PARTIAL = "Changed"
"""What the groups of a machine are called where a file says only what differs."""


def schema_of(what: str) -> Schema:
    """Return the JSON Schema of a kind of file or document, one of :data:`SCHEMAS`.

    Raises:
        UnknownNameError: There is no such kind of file.
    """
    if what not in SCHEMAS:
        raise UnknownNameError("schema", what, SCHEMAS)
    return {"$schema": _DIALECT, "$comment": f"hybridsim {__version__}", **SCHEMAS[what]()}


def _machine() -> Schema:
    """Return the schema of a machine's file: whole, or what differs from another machine."""
    whole = _with_kinds(Machine.model_json_schema())
    groups: Schema = whole.pop("$defs")
    changed = {f"{_PARTIAL}{name}": _partial(group) for name, group in groups.items()}
    properties, required = whole["properties"], whole.pop("required")
    extends = {
        "type": "string",
        "description": "The machine from which all comes that this file does not say: a bundled "
        "name, name:variant, or a file, looked for from the folder of this one.",
    }
    variants = {
        "type": "object",
        "description": "Named groups of overrides, dotted path -> value; chosen as name:variant.",
        "additionalProperties": {"type": "object"},
        "default": {},
    }
    return {
        **whole,
        "properties": {"extends": extends, **_partial(properties), "variants": variants},
        "if": {"not": {"required": ["extends"]}},
        "then": {"required": required, "properties": properties},
        "$defs": {**groups, **changed},
    }


def _with_kinds(schema: Any) -> Any:
    """Return a schema in which what differs from a group may have the keys of that group."""
    if isinstance(schema, list):
        return [_with_kinds(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if DIFFERS_FROM in schema:
        of = schema[DIFFERS_FROM]
        return {"$ref": f"#/$defs/{_PARTIAL}{of}", DIFFERS_FROM: of}
    return {key: _with_kinds(value) for key, value in schema.items()}


def _partial(schema: Any) -> Any:
    """Return a schema in which nothing is required, and groups are those that say what differs."""
    if isinstance(schema, list):
        return [_partial(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _partial(value) for key, value in schema.items() if key != "required"}
    if "oneOf" in found:  # a part of a group may be part of several
        found["anyOf"] = found.pop("oneOf")
    if isinstance(found.get("$ref"), str):
        name = found["$ref"].rpartition("/")[2].removeprefix(_PARTIAL)
        found["$ref"] = f"#/$defs/{_PARTIAL}{name}"
    mapping = found.get("mapping")
    if isinstance(mapping, dict) and "propertyName" in found:
        found["mapping"] = {
            tag: ref.replace("/$defs/", f"/$defs/{_PARTIAL}") for tag, ref in mapping.items()
        }
    return found


def _document(model: type[Document]) -> Callable[[], Schema]:
    """Return what gives the schema of a document as it is written, with its version."""

    def schema() -> Schema:
        found = deepcopy(model.model_json_schema())
        version = {
            "type": "integer",
            "minimum": 1,
            "maximum": FORMAT_VERSION,
            "default": 1,
            "description": "Version of the format; a document without is of version 1.",
        }
        found["properties"] = {"format_version": version, **found["properties"]}
        layer = found.get("$defs", {}).get("LayerResult", {}).get("properties", {})
        for old, today in (("scheduler", "strategy"), ("all_analog_ps", "yardstick_ps")):
            told = {"deprecated": True, "description": f"Deprecated: the name of {today} before."}
            for properties in (found["properties"], layer):
                if today in properties:
                    properties[old] = {**properties[today], **told}
        return found

    return schema


def _generation() -> Schema:
    """Return the schema of a generation, with the figures that follow from others."""
    found = _document(Generation)()
    whole, share = {"type": "integer"}, {"type": "number"}
    ends = {"type": "array", "items": whole, "minItems": 2, "maxItems": 2}
    derived: dict[str, Schema] = {
        "time_to_first_token_ps": whole,
        "latency_ps": whole,
        "interval_ps": {"anyOf": [ends, {"type": "null"}]},
        "yardstick_ps": whole,
        "overhead_percent": share,
        "tokens_per_s": share,
        "decode_tokens_per_s": share,
    }
    for name, kind in derived.items():
        told = (getattr(Generation, name).__doc__ or "").partition("\n")[0]
        found["properties"][name] = {**kind, "description": told}
    return found


def _plain(model: type[BaseModel]) -> Callable[[], Schema]:
    return lambda: model.model_json_schema()


def _either(answers: Any) -> Callable[[], Schema]:
    """Return what gives the schema of an answer of several forms."""
    return lambda: TypeAdapter(answers).json_schema()


FILES: dict[str, Callable[[], Schema]] = {
    "machine": _machine,
    "network": _plain(NetworkFile),
    "study": _plain(Study),
    "adapt": _plain(AdaptStudy),
    "recalibration": _plain(RecalibrationStudy),
    "sensitivity": _plain(SensitivityStudy),
    "codesign": _plain(CodesignStudy),
    "language": _plain(LanguageStudy),
    "rewards": _plain(RewardStudy),
}
"""The schema of each kind of file that people write, by its name."""
ANSWERS: dict[str, tuple[str, Callable[[], Schema]]] = {
    "result": ("run", _document(Result)),
    "comparison": ("compare", _plain(runs.ComparisonAnswer)),
    "difference": ("compare A B", _document(Difference)),
    "explanation": ("explain", _plain(runs.ExplanationAnswer)),
    "generation": ("generate", _generation),
    "cost": ("cost", _plain(runs.CostAnswer)),
    "show": ("show", _either(library.ShowAnswer)),
    "list": ("list", _plain(library.ListAnswer)),
    "machine-file": ("machine", _plain(library.MachineFile)),
    "sweep": (
        "sweep",
        _either(
            studies.SweepAnswer
            | studies.SampleAnswer
            | studies.ShardAnswer
            | studies.SweepForecast
        ),
    ),
    "search": ("search", _plain(studies.SearchAnswer)),
    "design": ("design", _plain(studies.DesignAnswer)),
    "service": ("serve", _document(ServiceResult)),
    "alternatives": ("alternatives", _plain(runs.AlternativesAnswer)),
    "adapt-answer": ("adapt", _either(training.AdaptAnswer)),
    "recalibrate-answer": ("recalibrate", _either(training.RecalibrateAnswer)),
    "sensitivity-answer": ("sensitivity", _plain(training.SensitivityAnswer)),
    "codesign-answer": ("codesign", _plain(studies.CodesignAnswer)),
    "validate-harp": ("validate harp", _plain(validation.HarpAnswer)),
    "validate-rtl": ("validate rtl", _either(validation.RtlAnswer)),
    "validate-paper": ("validate paper", _plain(validation.PaperAnswer)),
    "page": ("report", _plain(library.PageAnswer)),
    "doctor": ("doctor", _plain(library.DoctorAnswer)),
    "warm-up": ("warm-up", _plain(library.WarmUpAnswer)),
}
"""Name of each answer -> the command that prints it with ``--json``, and its schema."""
SCHEMAS: dict[str, Callable[[], Schema]] = FILES | {
    name: schema for name, (_, schema) in ANSWERS.items()
}
"""The schema of each kind of file and answer, by its name."""


def names_of_schemas() -> dict[str, str]:
    """Return name of each schema -> what it describes, in words."""
    files = dict.fromkeys(FILES, "a file that you write")
    return files | {name: f"hybridsim {told} --json" for name, (told, _) in ANSWERS.items()}
