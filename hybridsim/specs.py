"""Reading YAML and JSON files into Specs, with one clear sentence when that fails.

A file may come from anywhere, so it is read with limits (size, depth, digits), and only what
cannot be misread is accepted: no key twice, no aliases, no tags, numbers in plain decimal.
"""

import json
import re
from collections.abc import Hashable, Iterable, Iterator, Sequence, Sized
from pathlib import Path
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeGuard,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hybridsim.errors import SpecError, did_you_mean
from hybridsim.nesting import check_yaml_depth, json_value
from hybridsim.units import Spec, format_bytes

if TYPE_CHECKING:
    from yaml import SafeLoader as _YamlLoader
else:
    # The loader in C is about ten times as fast, but not every build of PyYAML has it.
    _YamlLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MOST_BYTES = 2**20
"""The largest file that is read [bytes]; the largest bundled one is a thousandth of it."""
MOST_DIGITS = 18
"""How long a whole number may be; 18 digits always fit 64 bits."""

_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.\-]{1,60}")
_YAML = "tag:yaml.org,2002:"
_AnySpec = TypeVar("_AnySpec", bound=Spec)


class PlacedError(ValueError):
    """A validator of a Spec raises this to name a place below that Spec.

    :func:`validate` puts the place behind the place of the Spec in the file.
    """

    def __init__(self, place: str, problem: str) -> None:
        self.place, self.problem = place, problem
        super().__init__(f"{place}: {problem}" if place else problem)


def read_yaml_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds; dates stay text.

    Raises:
        SpecError: The file does not exist, is empty, larger than :data:`MOST_BYTES` or not UTF-8;
            its YAML is broken, too deep, or uses aliases or tags; a key is given twice or is not
            text; a number is not plain decimal; or the file is not a mapping.
    """
    text, file = _read_text(path), str(path)
    data = yaml_value(text, file)
    if data is None:
        raise SpecError(file, "", "is empty; a mapping (key: value) would do")
    return _as_mapping(data, file)


def yaml_value(text: str, file: str) -> Any:
    """Return what a YAML text says, None where it says nothing; dates stay text.

    Raises:
        SpecError: It is broken, too deep, or uses aliases or tags; a key is given twice or is not
            text; or a number is not plain decimal.
    """
    check_yaml_depth(text, file)
    try:
        _check_events(text, file)
        loader = _YamlLoader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        _check_nodes(root, file)
        return loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        problem = " ".join(filter(None, (error.context, error.problem)))
        raise SpecError(file, _line(error.problem_mark), f"broken YAML: {problem}") from None
    except yaml.YAMLError as error:
        reason = getattr(error, "reason", "it cannot be read")
        raise SpecError(file, "", f"broken YAML: {reason}") from None


def read_json_mapping(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds, as a mapping.

    Raises:
        SpecError: The file does not exist, is empty, larger than :data:`MOST_BYTES` or not UTF-8;
            its JSON is broken or too deep; a key is given twice; a number is not finite or too
            long; or the file is not an object.
    """
    text, file = _read_text(path), str(path)

    def refuse(literal: str) -> None:
        raise SpecError(file, "", f"found the number {literal}; a finite number would do")

    def whole(digits: str) -> int:
        return int(digits) if len(digits) <= MOST_DIGITS else _refuse_long(file, "", digits)

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        for key in _repeated(keys):
            raise SpecError(file, "", f"key {shown(key)} is given twice; once would do")
        return dict(pairs)

    try:
        data = json_value(
            text, file, object_pairs_hook=mapping, parse_constant=refuse, parse_int=whole
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise SpecError(file, place, f"broken JSON: {error.msg}") from None
    return _as_mapping(data, file)


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


# --- text -----------------------------------------------------------------------------------


def _read_text(path: Path) -> str:
    """Return the text of a file, read no further than the limit."""
    file = str(path)
    try:
        if not path.exists():
            raise SpecError(file, "", "does not exist")
        if not path.is_file():
            raise SpecError(file, "", "is not a file")
        with path.open("rb") as stream:
            raw = stream.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise SpecError(file, "", f"cannot be read: {getattr(error, 'strerror', error)}") from None
    if len(raw) > MOST_BYTES:
        limit = format_bytes(MOST_BYTES)
        raise SpecError(file, "", f"is larger than {limit}; at most {limit} would do")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(file, "", f"byte {error.start} is not UTF-8 text") from None
    if not text.strip():
        raise SpecError(file, "", "is empty; a mapping (key: value) would do")
    return text


def _as_mapping(data: object, file: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise SpecError(file, "", f"found {shown(data)}; a mapping (key: value) would do")
    return data


def _refuse_long(file: str, place: str, digits: str) -> int:
    raise SpecError(
        file, place, f"found a number of {len(digits)} characters; at most {MOST_DIGITS} would do"
    )


def _repeated(keys: Iterable[Hashable]) -> Iterator[Hashable]:
    seen: set[Hashable] = set()
    for key in keys:
        if key in seen:
            yield key
        seen.add(key)


# --- YAML -----------------------------------------------------------------------------------


def _line(mark: Any) -> str:
    return f"line {mark.line + 1}" if mark is not None else ""


def _check_events(text: str, file: str) -> None:
    """Refuse what must not reach the composer: aliases and tags."""
    for event in yaml.parse(text, Loader=_YamlLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            problem = "anchors (&) and aliases (*) are not read; write the value out"
            raise SpecError(file, _line(event.start_mark), problem)
        if getattr(event, "tag", None):
            problem = "tags (!) are not read; leave the tag out"
            raise SpecError(file, _line(event.start_mark), problem)


def _check_nodes(root: yaml.Node, file: str) -> None:
    """Refuse doubtful keys and numbers anywhere in the tree; turn dates back into text."""
    stack = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, yaml.MappingNode):
            _check_keys([key for key, _ in node.value], file)
            stack.extend(value for _, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            stack.extend(node.value)
        elif node.tag == _YAML + "timestamp":
            node.tag = _YAML + "str"
        elif node.tag in (_YAML + "int", _YAML + "float"):
            _check_number(node, file)


def _check_number(node: yaml.Node, file: str) -> None:
    """Refuse octal, hexadecimal and base 60 (``1:30``), which YAML 1.1 reads silently."""
    place, text = _line(node.start_mark), node.value
    plain = _DECIMAL.fullmatch(text) if node.tag == _YAML + "int" else ":" not in text
    if not plain:
        raise SpecError(file, place, f"found {shown(text)}; a plain decimal number would do")
    if node.tag == _YAML + "int" and len(text) > MOST_DIGITS:
        _refuse_long(file, place, text)


def _check_keys(keys: Sequence[yaml.Node], file: str) -> None:
    for key in keys:
        if key.tag != _YAML + "str":
            found = shown(key.value) if isinstance(key, yaml.ScalarNode) else "a collection"
            problem = f"found {found} as a key; text would do, in quotes if need be"
            raise SpecError(file, _line(key.start_mark), problem)
    values = [key.value for key in keys]
    for value in _repeated(values):
        last = [key for key in keys if key.value == value][1]
        problem = f"key {shown(value)} is given twice; once would do"
        raise SpecError(file, _line(last.start_mark), problem)


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
            about = _first_sentence(fields[key].description) if key in fields else ""
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
    if kind in _WOULD_DO:
        return f"found {found}; {_WOULD_DO[kind].format(**ctx)} would do"
    return f"found {found}; {details['msg'][:1].lower()}{details['msg'][1:]}"


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


def _first_sentence(text: str | None) -> str:
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
