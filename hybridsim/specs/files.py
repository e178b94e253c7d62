"""Mappings from YAML and JSON files that may come from anywhere.

They are read with limits (size, depth, digits), and only what cannot be misread is accepted: no
key twice, no aliases, no tags, numbers in plain decimal.
"""

import math
import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hybridsim.boundary.reading import json_of, read_text
from hybridsim.boundary.values import MOST_DIGITS, is_printable, printable, unprintable
from hybridsim.errors import SpecError
from hybridsim.nesting import check_yaml_depth
from hybridsim.specs.problems import shown

if TYPE_CHECKING:
    from yaml import SafeLoader as _YamlLoader
else:
    # The loader in C is about ten times as fast, but not every build of PyYAML has it.
    _YamlLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?([0-9][0-9_]*\.?[0-9_]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_YAML = "tag:yaml.org,2002:"


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
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise SpecError(file, "", "found bytes that are not UTF-8 text")
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
    return _as_mapping(json_of(text, file), file)


# --- text -----------------------------------------------------------------------------------


def _read_text(path: Path) -> str:
    """Return the text of a file, read no further than the limit."""
    text = read_text(path)
    if not text.strip():
        raise SpecError(printable(str(path)), "", "is empty; a mapping (key: value) would do")
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
        elif not is_printable(node.value):
            raise SpecError(file, _line(node.start_mark), unprintable(node.value))
        elif node.tag == _YAML + "timestamp":
            node.tag = _YAML + "str"
        elif node.tag in (_YAML + "int", _YAML + "float"):
            _check_number(node, file)


def _check_number(node: yaml.Node, file: str) -> None:
    """Refuse octal, hexadecimal and base 60 (``1:30``), which YAML 1.1 reads silently.

    Infinities and what is no number are refused too.
    """
    place, text = _line(node.start_mark), node.value
    if node.tag == _YAML + "int":
        plain = _DECIMAL.fullmatch(text) is not None
    else:
        plain = len(text) <= 60 and _FLOAT.fullmatch(text) is not None
        plain = plain and math.isfinite(float(text.replace("_", "")))
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
        if not is_printable(key.value):
            raise SpecError(file, _line(key.start_mark), unprintable(key.value))
    values = [key.value for key in keys]
    for value in _repeated(values):
        last = [key for key in keys if key.value == value][1]
        problem = f"key {shown(value)} is given twice; once would do"
        raise SpecError(file, _line(last.start_mark), problem)
