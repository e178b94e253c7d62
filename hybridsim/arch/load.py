"""From a machine's name or file, and dotted overrides, to a checked machine."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from hybridsim.arch.machine import Machine
from hybridsim.errors import SpecError, UnknownNameError
from hybridsim.library import machine_path
from hybridsim.specs import read_yaml_mapping, shown, validate, yaml_value

Overrides = Mapping[str, Any]
"""Dotted path -> value, as in ``{"tile.integration_time": "128 ns"}``."""

_BY_USER = "--set"


def load_machine(name: str, overrides: Overrides | None = None) -> Machine:
    """Return the machine of that name, with some of its fields replaced.

    ``name`` is a bundled name, a YAML file or a folder with ``arch.yaml``, and may end in
    ``:variant`` to choose one of the machine's named groups of overrides.

    Raises:
        UnknownNameError: No such machine, or no such variant of it.
        SpecError: The file or an override does not describe a machine.
    """
    path, text, variant = _read(name)
    data = _with_overrides(text, variant, str(path))
    try:
        return validate(Machine, _with_overrides(data, overrides or {}, _BY_USER), str(path))
    except SpecError as error:
        if any(_is_about(error, dotted) for dotted in overrides or {}):
            raise SpecError(_BY_USER, error.place, error.problem) from None
        raise


def machine_with(machine: Machine, overrides: Overrides) -> Machine:
    """Return a machine with some of its fields replaced.

    Raises:
        SpecError: An override does not lead to a machine.
    """
    if not overrides:
        return machine
    return validate(Machine, _with_overrides(machine.to_text(), overrides, _BY_USER), _BY_USER)


def _is_about(error: SpecError, dotted: str) -> bool:
    """Return whether an error speaks of the value at a path, or of its last key."""
    group, _, key = dotted.rpartition(".")
    return error.place.startswith(dotted) or (error.place == group and repr(key) in error.problem)


def machine_variants(name: str) -> dict[str, Overrides]:
    """Return the named groups of overrides that a machine's file offers."""
    return _variants(read_yaml_mapping(machine_path(_split(name)[0])), name)


def machine_sources(name: str, overrides: Overrides | None = None) -> dict[str, str]:
    """Return, for every value of a machine, the comment beside it in the file: its source."""
    path, _, variant = _read(name)
    comments = _comments(path)
    suffix = _split(name)[1]
    comments |= dict.fromkeys(variant, comments.get(f"variants.{suffix}", f"variant {suffix}"))
    return comments | dict.fromkeys(overrides or {}, "set by the user")


def parse_override(text: str) -> tuple[str, Any]:
    """Return path and value of ``path=value``; the value is read as YAML.

    Raises:
        SpecError: The text is not of that form.
    """
    path, equals, value = text.partition("=")
    if not (equals and path.strip()):
        raise SpecError(_BY_USER, "", f"found {text!r}; write path=value, as in tile.rows=256")
    try:
        return path.strip(), yaml_value(value, _BY_USER)
    except SpecError as error:
        problem = f"{shown(value)} is not read as a value: {error.problem}"
        raise SpecError(_BY_USER, path.strip(), problem) from None


def _split(name: str) -> tuple[str, str]:
    base, _, variant = name.partition(":")
    return base, variant


def _read(name: str) -> tuple[Path, dict[str, Any], Overrides]:
    """Return file, content without variants, and the overrides of the variant asked for."""
    base, wanted = _split(name)
    path = machine_path(base)
    data = read_yaml_mapping(path)
    variants = _variants(data, str(path))
    if wanted and wanted not in variants:
        raise UnknownNameError(f"variant of {base}", wanted, variants)
    data.pop("variants", None)
    return path, data, variants.get(wanted, {})


def _variants(data: Mapping[str, Any], file: str) -> dict[str, Overrides]:
    variants = data.get("variants") or {}
    if not isinstance(variants, dict) or not all(isinstance(v, dict) for v in variants.values()):
        raise SpecError(file, "variants", "write a mapping from name to {path: value}")
    return {str(name): group for name, group in variants.items()}


def _with_overrides(data: Mapping[str, Any], overrides: Overrides, file: str) -> dict[str, Any]:
    """Return a copy of ``data`` with each dotted path set to its value."""
    result = deepcopy(dict(data))
    for dotted, value in overrides.items():
        *folders, last = dotted.split(".")
        place = result
        for depth, folder in enumerate(folders):
            inner = place.get(folder)
            if not isinstance(inner, dict):
                where = ".".join(folders[: depth + 1])
                raise SpecError(file, dotted, f"{where!r} is not a group of values here")
            place = inner
        place[last] = value
    return result


def _comments(path: Path) -> dict[str, str]:
    """Return dotted path -> the comment at the end of the line where its value stands."""
    text = path.read_text(encoding="utf-8")
    after_value = _end_of_line_comments(text)
    found: dict[str, str] = {}

    def visit(node: yaml.Node, dotted: str) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                name = f"{dotted}.{key.value}" if dotted else str(key.value)
                comment = after_value.get(key.end_mark.line)
                if not (isinstance(value, yaml.SequenceNode) and not value.flow_style):
                    # a list line by line ends where the next key stands
                    comment = after_value.get(value.end_mark.line, comment)
                if comment and not (isinstance(value, yaml.MappingNode) and not value.flow_style):
                    found[name] = comment
                visit(value, name)

    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is not None:
        visit(root, "")
    return found


def _end_of_line_comments(text: str) -> dict[int, str]:
    """Return line number -> comment at its end, with the comment lines that continue it."""
    comments: dict[int, str] = {}
    origin = last = -1
    for number, line in enumerate(text.splitlines()):
        before, hash_sign, comment = line.partition("#")
        if not hash_sign:
            continue
        if before.strip():
            comments[number] = comment.strip()
            origin = last = number
        elif origin >= 0 and last + 1 == number:  # a comment line right below continues it
            comments[origin] += " " + comment.strip()
            last = number
    return comments
