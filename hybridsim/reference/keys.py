"""The keys of a JSON Schema as rows: path, meaning, unit, range and default."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from hybridsim.reference.schemas import Schema
from hybridsim.specs.differences import DIFFERS_FROM

_IN_BRACKETS = re.compile(r"\[([^\]]{1,24})\]\.?$")
_ROLE = re.compile(r":\w+:`~?([^`]+)`")
_TYPES = {
    "boolean": "true or false",
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "object": "mapping",
    "array": "list",
}
_LIMITS = {
    "minimum": "{} or more",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "minItems": "{} or more entries",
    "maxItems": "at most {} entries",
    "minLength": "{} or more characters",
    "maxLength": "at most {} characters",
}
NO_DEFAULT = "no default"


class Key(NamedTuple):
    """One key of a file."""

    path: str
    """Dotted; ``[]`` stands for an entry of a list, ``<name>`` for a name of one's own, and what a
    group is in brackets where it may be one of several."""
    meaning: str
    unit: str
    range: str
    default: str


def keys_of(schema: Schema) -> list[Key]:
    """Return every key of a kind of file, groups before what is in them."""
    if "properties" in schema:
        return list(_group(schema, schema, "", ()))
    return [key._replace(path=key.path.strip()) for key in _below(schema, schema, "", ())]


def _group(schema: Schema, group: Schema, above: str, open_: tuple[str, ...]) -> Iterator[Key]:
    required = group.get("required", schema.get("then", {}).get("required", ()))
    for name, given in group.get("properties", {}).items():
        path = f"{above}.{name}" if above else name
        yield _key(path, given, name in required)
        yield from _below(schema, given, path, open_)


def _below(schema: Schema, given: Schema, path: str, open_: tuple[str, ...]) -> Iterator[Key]:
    """Yield the keys of the groups that a value may be; a group inside itself is not opened."""
    choices = [each for each in _choices(given) if each.get("type") != "null"]
    for choice in choices:
        if "$ref" in choice:
            name = choice["$ref"].rpartition("/")[2].removeprefix("Changed")
            if name in open_:
                continue
            group = schema["$defs"][name]
            several = sum("$ref" in each for each in choices) > 1
            tag = f" ({_tag(group)})" if several else ""
            yield from _group(schema, group, f"{path}{tag}", (*open_, name))
        elif choice.get("type") == "array":
            yield from _below(schema, choice.get("items", {}), f"{path}[]", open_)
        elif isinstance(choice.get("additionalProperties"), dict):
            inner = choice["additionalProperties"]
            if DIFFERS_FROM in inner:  # its keys have been told where that is
                usual = path.removesuffix("s")
                meaning = f"What differs from `{usual}`: any of its keys."
                yield Key(f"{path}.<name>", meaning, "", "group", f"as `{usual}`")
                continue
            yield from _below(schema, inner, f"{path}.<name>", open_)


def _choices(given: Schema) -> list[Schema]:
    """Return what a value may be, one or several."""
    choices = given.get("anyOf") or given.get("oneOf")
    return [each for choice in choices for each in _choices(choice)] if choices else [given]


def _tag(group: Schema) -> str:
    """Return the kind by which a group is told from others."""
    kind = group.get("properties", {}).get("kind", {})
    return str(kind.get("const", group.get("title", "")))


def _key(path: str, given: Schema, required: bool) -> Key:
    choices = _choices(given)
    kinds = [each for each in choices if each.get("type") != "null"]
    empty = len(kinds) < len(choices)
    meaning = _plain(given.get("description", ""))
    if not meaning and path.rpartition(".")[2] == "kind":
        meaning = "Which of them it is."
    default = NO_DEFAULT if required else "see its meaning"
    if not required and "default" in given:
        default = _value(given["default"])
    found = [part for each in kinds if (part := _range(each))] + ["null"] * empty
    unit = _unit(kinds, meaning)
    if any("x-units" in kind for kind in kinds):  # files say the unit, not what is kept inside
        meaning = _IN_BRACKETS.sub("", meaning.replace("].", "]")).rstrip()
    return Key(path, meaning, unit, " or ".join(found), default)


def _plain(text: str) -> str:
    """Return a docstring on one line, without the marks of its language."""
    return _ROLE.sub(r"`\1`", " ".join(text.split())).replace("``", "`")


def _unit(kinds: list[Schema], meaning: str) -> str:
    for kind in kinds:
        if "x-units" in kind:
            return ", ".join(kind["x-units"])
    match = _IN_BRACKETS.search(meaning)
    return match[1] if match else ""


def _range(kind: Schema) -> str:
    """Return in words what a value may be."""
    if "enum" in kind:
        return ", ".join(map(str, kind["enum"]))
    if "const" in kind:
        return str(kind["const"])
    if "$ref" in kind:
        return "group"
    limits = [text.format(kind[name]) for name, text in _LIMITS.items() if name in kind]
    if "x-range" in kind:
        limits.insert(0, kind["x-range"])
    name = "" if "x-units" in kind else _TYPES.get(kind.get("type", ""), "anything")
    return ", ".join([*([name] if name else []), *limits])


def _value(default: Any) -> str:
    if isinstance(default, str):
        return default or '""'
    return json.dumps(default)
