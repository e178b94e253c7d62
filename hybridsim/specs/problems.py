"""What a Spec refuses, in one sentence: where in the file, what was found, what would do."""

import re
from collections.abc import Sequence, Sized
from types import UnionType
from typing import Annotated, Any, Literal, TypeGuard, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hybridsim.errors import SpecError, did_you_mean
from hybridsim.units import Spec

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.\-]{1,60}")
_AnySpec = TypeVar("_AnySpec", bound=Spec)


class PlacedError(ValueError):
    """A validator of a Spec raises this to name a place below that Spec.

    :func:`validate` puts the place behind the place of the Spec in the file.
    """

    def __init__(self, place: str, problem: str) -> None:
        self.place, self.problem = place, problem
        super().__init__(f"{place}: {problem}" if place else problem)


def validate(spec_type: type[_AnySpec], data: object, file: str, place: str = "") -> _AnySpec:
    """Return ``data`` as a ``spec_type``; ``place`` says where in ``file`` the data stands.

    Raises:
        SpecError: ``data`` does not describe a ``spec_type``. The message tells the first
            problem and how many more there are; a misspelt key comes before what it leaves out.
    """
    try:
        return spec_type.model_validate(data)
    except ValidationError as error:
        found = [d for d in error.errors(include_url=False) if _is_cause(d)]
    below, problem = _problem(spec_type, data, next(filter(_told_first, found), found[0]))
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    raise SpecError(file, _joined(place, below), problem + more)


def first_problem(error: ValidationError) -> tuple[str, str]:
    """Return the place and the sentence of what pydantic refused first."""
    details = error.errors(include_url=False)[0]
    raised = details.get("ctx", {}).get("error")
    said = _sentence(details) if raised is None else str(raised)
    return ".".join(map(str, details["loc"])), said


# --- what a failed validation says ----------------------------------------------------------


def _is_cause(details: ErrorDetails) -> bool:
    """Return False for a list that is too short only because its entries were refused."""
    if details["type"] != "too_short":
        return True
    found = details["input"]
    least = details.get("ctx", {}).get("min_length", 0)
    return not (isinstance(found, Sized) and len(found) >= least)


def _told_first(details: ErrorDetails) -> bool:
    """Return whether this is a misspelt or misplaced key, which explains what is missing."""
    return details["type"] == "extra_forbidden"


def _problem(spec_type: type[Spec], data: object, details: ErrorDetails) -> tuple[str, str]:
    """Return the place of a problem, and the problem."""
    kind, key = details["type"], str(details["loc"][-1]) if details["loc"] else ""
    if kind in ("extra_forbidden", "missing"):
        place, owner = _locate(spec_type, data, details["loc"][:-1])
        fields = owner.model_fields if owner else {}
        if kind == "missing":
            about = first_sentence(fields[key].description) if key in fields else ""
            return place, f"key {shown(key)} is missing{about and ': '}{about}"
        guess = did_you_mean(key[:100], fields)
        return place, f"unknown key {shown(key)}{guess}; known keys: {', '.join(fields)}"
    place, _ = _locate(spec_type, data, details["loc"])
    raised = details.get("ctx", {}).get("error")
    if isinstance(raised, PlacedError):
        return _joined(place, raised.place), raised.problem
    return place, str(raised) if raised is not None else _sentence(details)


_WOULD_DO: dict[str, str] = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a mapping (key: value)",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of {ge} or more",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "list_type": "a list",
    "literal_error": "{expected}",
    "model_attributes_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "string_too_long": "text of at most {max_length} characters",
    "string_too_short": "text of {min_length} or more characters",
    "string_type": "text",
    "too_long": "at most {max_length} entries",
    "too_short": "{min_length} or more entries",
    "tuple_type": "a list",
}


def _sentence(details: ErrorDetails) -> str:
    """Return what was found and what would do, for the kinds of problem that pydantic tells."""
    kind, ctx, found = details["type"], details.get("ctx", {}), shown(details["input"])
    if kind == "union_tag_not_found":
        return f"key {ctx['discriminator']} is missing: what this entry is"
    if kind == "union_tag_invalid":
        tags = re.findall(r"'([^']*)'", ctx["expected_tags"])
        guess = did_you_mean(str(ctx["tag"]), tags)
        return (
            f"key {ctx['discriminator']}: found {shown(ctx['tag'])}{guess}; "
            f"one of {', '.join(sorted(tags))} would do"
        )
    if kind == "literal_error" and isinstance(details["input"], str):
        choices = re.findall(r"'([^']*)'", ctx["expected"])
        return (
            f"found {found}{did_you_mean(details['input'], choices)}; {ctx['expected']} would do"
        )
    if kind == "string_pattern_mismatch":
        return f"found {found}; {_of_pattern(ctx['pattern'])} would do"
    if kind in _WOULD_DO:
        return f"found {found}; {_WOULD_DO[kind].format(**ctx)} would do"
    return f"found {found}; {details['msg'][:1].lower()}{details['msg'][1:]}"


def _of_pattern(pattern: str) -> str:
    """Return in words what a regular expression takes, if it is that of a name or of choices."""
    if choices := re.fullmatch(r"\^\(([a-z_|]+)\)\$", pattern):
        return " or ".join(choices[1].split("|"))
    name = re.fullmatch(r"\^(\[[^]]+\])?(\[[^]]+\])\{[01],(\d+)\}\$", pattern)
    if name is None:
        return f"text of the form {pattern}"
    letters = "letters" if "A-Z" in name[2] else "small letters"
    others = re.sub("A-Z|a-z|0-9", "", name[2])
    signs = [sign for sign in "_.-" if sign in others]
    most = int(name[3]) + bool(name[1])
    return f"a name of at most {most} {letters}, digits and {' '.join(signs)}"


def shown(value: object, most: int = 60) -> str:
    """Return a value as a short text for a message, whatever it is."""
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple | set | frozenset):
        return "a list" if value else "an empty list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 128:
        return "a number of more than 38 digits"
    if isinstance(value, str) and len(value) > most:
        return repr(value[:most]) + "..."
    text = repr(value)
    return text if len(text) <= 4 * most else text[: 4 * most] + "..."


def first_sentence(text: str | None) -> str:
    """Return the first sentence of a docstring on one line, without its full stop."""
    return re.split(r"(?<=\.)\s", " ".join((text or "").split()), maxsplit=1)[0].rstrip(".")


# --- where it is ----------------------------------------------------------------------------


def _joined(place: str, below: str) -> str:
    return f"{place}.{below}" if place and below and below[0] != "[" else place + below


def _locate(
    spec_type: type[BaseModel], data: object, loc: Sequence[int | str]
) -> tuple[str, type[BaseModel] | None]:
    """Return the place that ``loc`` names, as ``ops[2] (query).in_features``, and its Spec.

    Pydantic mixes keys with the tags of unions; only the keys stand in the file, so the types
    are followed along. The second value is None where no Spec is in charge.
    """
    place = ""
    here: Any = spec_type
    for step in loc:
        if _is_union(here):
            here = next((m for m in _members(here) if _carries(m, step)), Any)
            continue
        here = _below(here, step)
        data = _inside(data, step)
        place = _joined(place, _step_text(step, data))
    return place, here if _is_spec(here) else None


def _step_text(step: int | str, data: object) -> str:
    if isinstance(step, str):
        return step if _PLAIN_KEY.fullmatch(step) else shown(step, 40).replace(".", " ")
    name = data.get("name") if isinstance(data, dict) else None
    known = isinstance(name, str) and _PLAIN_KEY.fullmatch(name)
    return f"[{step}] ({name})" if known else f"[{step}]"


def _inside(data: object, step: int | str) -> object:
    if isinstance(data, dict):
        return data.get(step)
    if isinstance(data, list | tuple) and isinstance(step, int) and 0 <= step < len(data):
        return data[step]
    return getattr(data, str(step), None) if isinstance(data, BaseModel) else None


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType)


def _is_spec(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _members(union: Any) -> list[Any]:
    return [_bare(member) for member in get_args(union)]


def _bare(annotation: Any) -> Any:
    """Return a type without its Annotated metadata and without ``| None``."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if _is_union(annotation):
        members = [member for member in get_args(annotation) if member is not type(None)]
        return _bare(members[0]) if len(members) == 1 else annotation
    return annotation


def _below(annotation: Any, step: int | str) -> Any:
    """Return the type of a field of a Spec, or of an element of a list, tuple or mapping."""
    if _is_spec(annotation):
        field = annotation.model_fields.get(str(step))
        return _bare(field.annotation) if field else Any
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is tuple and args[-1:] != (Ellipsis,) and isinstance(step, int):
        return _bare(args[step]) if step < len(args) else Any
    if origin in (list, tuple, set, frozenset) and args:
        return _bare(args[0])
    return _bare(args[1]) if len(args) == 2 else Any


def _carries(member: Any, tag: int | str) -> bool:
    """Return whether a member of a union is the one that pydantic names ``tag``."""
    if not _is_spec(member):
        return False
    kinds = (_bare(field.annotation) for field in member.model_fields.values())
    return member.__name__ == tag or any(
        get_origin(kind) is Literal and tag in get_args(kind) for kind in kinds
    )
