"""Machines as text for people: whole with their sources, as a template, and two side by side."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import yaml

from hybridsim.arch.files import header_of, leaves, nearest, read_chain, split_name, variants_of
from hybridsim.arch.load import load_machine, machine_sources
from hybridsim.library import machine_path
from hybridsim.specs import first_sentence
from hybridsim.units import Spec

_COLUMN = 33
"""Where comments begin, where there is room."""


def machine_yaml(name: str) -> str:
    """Return the file of a machine that says all by itself: values, sources and variants.

    It reads back to an equal machine with equal sources; what it extends is written out.

    Raises:
        InputError: There is no such machine.
    """
    text, sources = load_machine(name).to_text(), machine_sources(name)
    chain = read_chain(machine_path(split_name(name)[0]))
    header = dict.fromkeys(line for file in chain for line in header_of(file.path))
    lines = [f"# {line}".rstrip() for line in header]
    lines += _group(text, sources, "", "")
    if variants := variants_of(chain):
        lines.append("variants:")
        for variant, overrides in variants.items():
            source = sources.get(f"variants.{variant}", "")
            flow = _with_comment(f"  {_scalar(variant)}: {_scalar(dict(overrides))}", source)
            lines.append(flow)
    return "\n".join(lines) + "\n"


def template(like: str, named: str, extends: str | None = None) -> str:
    """Return the file of a machine that extends another one, with all that it could change.

    Every key is there as a comment, with its meaning, the value it has and the source of that.

    Args:
        like: The machine, maybe with a variant.
        named: The name of the new one.
        extends: What its file calls the other one, where that is not ``like``.

    Raises:
        InputError: There is no such machine.
    """
    machine, sources = load_machine(like), machine_sources(like)
    head = [
        f"# {like}, but for what is written here; the sources of the rest stay with it.",
        "# To change a value, take away the '# ' before it and before the groups above it, and",
        "# put its source, or the word assumed, behind it. `hybridsim show --yaml` is the whole.",
        f"extends: {_scalar(extends or like)}",
        f"name: {_scalar(named)}",
        f"description: {_scalar(f'{like}, to be changed')}",
        "",
    ]
    body = [f"# {line}" for line in _commented(machine, sources, "", "")]
    return "\n".join([*head, *body]) + "\n"


class Difference(NamedTuple):
    """A value in which two machines differ; None where a machine has no such value."""

    path: str
    first: Any
    second: Any
    first_source: str
    second_source: str


def differences(first: str, second: str) -> list[Difference]:
    """Return what two machines say differently, value by value, but for name and description.

    Raises:
        InputError: There is no such machine.
    """
    sides = [dict(leaves(load_machine(name).to_text())) for name in (first, second)]
    sources = [machine_sources(name) for name in (first, second)]
    paths = dict.fromkeys([*sides[0], *sides[1]])
    return [
        Difference(
            path,
            sides[0].get(path),
            sides[1].get(path),
            nearest(sources[0], path) if path in sides[0] else "",
            nearest(sources[1], path) if path in sides[1] else "",
        )
        for path in paths
        if path not in ("name", "description") and sides[0].get(path) != sides[1].get(path)
    ]


# --- lines --------------------------------------------------------------------------------------


def _group(
    tree: Mapping[str, Any], sources: Mapping[str, str], above: str, indent: str
) -> Iterator[str]:
    """Yield the lines of a group; values that are groups in lists keep a line each."""
    for key, value in tree.items():
        path = f"{above}.{key}" if above else key
        source = nearest(sources, path)
        head = f"{indent}{_scalar(key)}:"
        if isinstance(value, Mapping) and value:
            yield head
            yield from _group(value, sources, path, f"{indent}  ")
        elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
            yield _with_comment(head, source)
            yield from (f"{indent}  - {_scalar(each)}" for each in value)
        else:
            yield _with_comment(f"{head} {_scalar(value)}", source)


def _commented(spec: Spec, sources: Mapping[str, str], above: str, indent: str) -> Iterator[str]:
    """Yield the lines of a template: groups, and values with what they mean."""
    text = spec.to_text()
    for key, field in type(spec).model_fields.items():
        if not above and key in ("name", "description"):
            continue
        path = f"{above}.{key}" if above else key
        about = first_sentence(field.description)
        if about:
            yield f"{indent}# {about}."
        value = getattr(spec, key)
        if isinstance(value, Spec):
            yield f"{indent}{key}:"
            yield from _commented(value, sources, path, f"{indent}  ")
        else:
            # what the text leaves out is as if it were not there
            shown = text.get(key, value)
            yield from _group({key: shown}, _at(sources, path, key), "", indent)


def _at(sources: Mapping[str, str], path: str, key: str) -> dict[str, str]:
    """Return the sources of a value and what is below it, as if it stood on its own."""
    own = {key: nearest(sources, path)}
    below = {key + p[len(path) :]: t for p, t in sources.items() if p.startswith(f"{path}.")}
    return own | below


def _with_comment(line: str, source: str) -> str:
    return f"{line.ljust(_COLUMN - 2)}  # {source}".rstrip() if source else line


def _scalar(value: Any) -> str:
    """Return a value as YAML on one line."""
    if value is None:
        return "null"
    text: str = yaml.safe_dump(
        value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("\n").removesuffix("\n...")
