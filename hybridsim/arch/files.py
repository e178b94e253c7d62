"""Files of machines: whole ones, and those that say only what differs from another machine.

A file with ``extends`` takes all that it does not say from the machine named there: a bundled
name, ``name:variant``, or a file, looked for from its own folder. Groups are merged key by key;
anything else (a number, a list, null, a group of another ``kind``) takes the place of what was
there. Comments at the ends of lines are the sources of the values, and stay with them.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from hybridsim.boundary.reading import read_text
from hybridsim.boundary.values import text_of
from hybridsim.components.parts import OutsidePart, part_class
from hybridsim.errors import InputError, SpecError, UnknownNameError
from hybridsim.library import machine_names, machine_path
from hybridsim.outside import names_a_file, origin_of
from hybridsim.records import record
from hybridsim.specs import merged, merges, read_yaml_mapping, shown

Overrides = Mapping[str, Any]
"""Dotted path -> value, as in ``{"tile.integration_time": "128 ns"}``."""


@record(frozen=True, slots=True)
class MachineFile:
    """What one file of a machine says by itself."""

    path: Path
    data: Mapping[str, Any]
    """Without ``extends`` and ``variants``."""
    variants: Mapping[str, Overrides]
    chosen: str = ""
    """The variant that the file above it in a chain asks for."""


Chain = tuple[MachineFile, ...]
"""The files of a machine: one that is whole, then those that change it, the last one asked for."""


def split_name(name: str) -> tuple[str, str]:
    """Return a machine and its variant, as in ``name:variant``.

    Raises:
        SpecError: There is a colon, and nothing behind it.
    """
    base, colon, variant = name.partition(":")
    if colon and not variant:
        raise SpecError(name, "", f"names no variant behind the colon; {base} would do")
    return base, variant


def read_chain(path: Path) -> Chain:
    """Return a machine's file and those that it extends, the whole one first.

    Raises:
        SpecError: A file is no mapping, or ``extends`` names nothing, or leads back to itself.
    """
    found: list[MachineFile] = []
    chosen = ""
    seen: list[Path] = []
    while True:
        _refuse_cycle(seen, path)
        seen.append(path)
        data = read_yaml_mapping(path)
        variants = _variants(data, str(path))
        named = data.pop("extends", None)
        data.pop("variants", None)
        pinned, pinned_variants = _pinned(data, path), _pinned(variants, path)
        found.append(MachineFile(path, pinned, pinned_variants, chosen))
        if named is None:
            break
        path, chosen = _extended(named, path)
    return _chosen_where_known(tuple(reversed(found)))


def _pinned(tree: Any, path: Path) -> Any:
    """Return what a file says with parts in files beside it read, and told by their code."""
    if isinstance(tree, list):
        return [_pinned(each, path) for each in tree]
    if not isinstance(tree, dict):
        return tree
    found = {key: _pinned(value, path) for key, value in tree.items()}
    name, code = found.get("part"), found.get("code")
    if isinstance(name, str) and names_a_file(name) and isinstance(code, str | None):
        try:
            kind = part_class(name, OutsidePart, path.parent, code)
        except InputError as error:
            raise SpecError(str(path), "", f"part {error}") from None
        origin = origin_of(kind)
        assert origin is not None
        found |= {"part": origin.name, "code": origin.code}
    return found


def _refuse_cycle(seen: Sequence[Path], path: Path) -> None:
    resolved = [each.resolve() for each in seen]
    if path.resolve() in resolved:
        way = " -> ".join(each.name for each in (*seen[resolved.index(path.resolve()) :], path))
        problem = f"leads back to {path.name} ({way}); a machine that does not extend it would do"
        raise SpecError(str(seen[-1]), "extends", problem)


def _extended(named: object, path: Path) -> tuple[Path, str]:
    """Return the file that ``extends`` names in a file, and the variant of it."""
    if not isinstance(named, str) or not named.strip():
        problem = f"found {shown(named)}; a machine's name, name:variant or a file would do"
        raise SpecError(str(path), "extends", problem)
    base, variant = split_name(named)
    try:
        if base in machine_names():
            return machine_path(base), variant
        beside = path.parent / base
        if beside.exists():
            return machine_path(str(beside)), variant
        return machine_path(base), variant
    except InputError as error:
        raise SpecError(str(path), "extends", str(error)) from None


def _chosen_where_known(chain: Chain) -> Chain:
    """Refuse a variant that neither a file nor what it extends offers."""
    for below, file in enumerate(chain):
        known = variants_of(chain[: below + 1])
        if file.chosen and file.chosen not in known:
            unknown = UnknownNameError(f"variant of {stem(file.path)}", file.chosen, known)
            raise SpecError(str(chain[below + 1].path), "extends", str(unknown))
    return chain


def stem(path: Path) -> str:
    """Return what a file of a machine is called: the name of its folder for ``arch.yaml``."""
    return path.resolve().parent.name if path.name == "arch.yaml" else path.stem


# --- what a chain says --------------------------------------------------------------------------


def variants_of(chain: Chain) -> dict[str, Overrides]:
    """Return the named groups of overrides that the files of a machine offer together."""
    found: dict[str, Overrides] = {}
    for file in chain:
        found |= file.variants
    return found


def data_of(chain: Chain) -> dict[str, Any]:
    """Return all that a machine's files say, without variants.

    A file that gives no name or description of its own is called as the file is, and described by
    what it changes.
    """
    found: dict[str, Any] = {}
    for number, file in enumerate(chain):
        own = dict(file.data)
        if number:
            base = chain[number - 1]
            own.setdefault("name", stem(file.path))
            own.setdefault("description", _difference(found, base.chosen, file.data))
        found = merged(found, own)
        if file.chosen:
            overrides = variants_of(chain[: number + 1])[file.chosen]
            found = with_overrides(found, overrides, str(file.path))
    return found


def _difference(base: Mapping[str, Any], variant: str, own: Mapping[str, Any]) -> str:
    """Return in words what a file changes of a machine."""
    named = f"{base.get('name', 'a machine')}{variant and ':'}{variant}"
    paths = [path for path, _ in leaves(own) if path not in ("name", "description")]
    paths = [path for path in paths if not path.endswith(".code")]
    if not paths:
        return f"{named}, unchanged"
    more = f" and {len(paths) - 6} more" if len(paths) > 6 else ""
    return f"{named} with other {', '.join(paths[:6])}{more}"


def sources_of(chain: Chain) -> dict[str, str]:
    """Return, for every value of a machine's files, the comment beside it: its source.

    What a file changes without a comment says where it was set, and not the source of what was
    there before. The comments of variants are at ``variants.<name>``.
    """
    found: dict[str, str] = {}
    data: dict[str, Any] = {}
    for number, file in enumerate(chain):
        comments = file_comments(file.path)
        if number == 0:
            found |= comments
        else:
            found |= {p: text for p, text in comments.items() if p.startswith("variants.")}
            silent = f"set in {file.path.name}, which gives no source"
            for path, whole in changes(data, file.data):
                if whole:
                    forget(found, path)
                found[path] = nearest(comments, path) or silent
        data = merged(data, file.data)
        if file.chosen:
            overrides = variants_of(chain[: number + 1])[file.chosen]
            note_overrides(found, overrides, variant_source(found, file.chosen))
            data = with_overrides(data, overrides, str(file.path))
    return found


def variant_source(sources: Mapping[str, str], variant: str) -> str:
    """Return the source of a variant's values."""
    return sources.get(f"variants.{variant}", f"variant {variant}")


def note_overrides(sources: dict[str, str], overrides: Overrides, source: str) -> None:
    """Give what overrides set a source, in place of all that was told of what was there."""
    for path in overrides:
        forget(sources, path)
        sources[path] = source


def forget(sources: dict[str, str], path: str) -> None:
    """Drop what is told of a path and of all below it."""
    for known in [name for name in sources if name == path or name.startswith(f"{path}.")]:
        del sources[known]


def nearest(sources: Mapping[str, str], path: str) -> str:
    """Return the source of a value, or else that of the group it stands in; "" without any."""
    while path:
        if path in sources:
            return sources[path]
        path = path.rpartition(".")[0]
    return ""


# --- merging ------------------------------------------------------------------------------------


def changes(
    base: Mapping[str, Any], own: Mapping[str, Any], above: str = ""
) -> Iterator[tuple[str, bool]]:
    """Yield the paths that a group sets of another one, and whether all below is set anew."""
    for key, value in own.items():
        path = f"{above}.{key}" if above else key
        if merges(base.get(key), value):
            yield from changes(base[key], value, path)
        else:
            yield path, True
            if isinstance(value, Mapping):
                yield from ((below, False) for below, _ in leaves(value, path))


def leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted path and value of all that is no group; an empty group is a value."""
    for key, value in tree.items():
        path = f"{above}.{key}" if above else key
        if isinstance(value, Mapping) and value:
            yield from leaves(value, path)
        else:
            yield path, value


def with_overrides(data: Mapping[str, Any], overrides: Overrides, file: str) -> dict[str, Any]:
    """Return a copy of ``data`` with each dotted path set to its value.

    Raises:
        SpecError: A path leads through something that is no group, or is no plain text.
    """
    result = deepcopy(dict(data))
    for dotted, value in overrides.items():
        text_of(dotted, file)
        # a pattern for names of layers has dots of its own
        *folders, last = dotted.split(".", 2 if dotted.startswith("mapping.") else -1)
        place = result
        for depth, folder in enumerate(folders):
            inner = place.get(folder)
            if inner is None and _may_open(folders, depth):
                inner = place[folder] = {}
            if not isinstance(inner, dict):
                where = ".".join(folders[: depth + 1])
                raise SpecError(file, dotted, f"{where!r} is not a group of values here")
            place = inner
        place[last] = deepcopy(value)
    return result


def _may_open(folders: Sequence[str], depth: int) -> bool:
    """Return whether a group that is not there may be set in part: rules, or what kinds are called
    and what differs in one that is there already."""
    if folders[0] in ("energy", "area"):  # which kinds there are is said elsewhere
        return depth > 0 and folders[1] in ("tiles", "clusters")
    return folders[0] == "mapping" or (folders[0] in ("tiles", "clusters") and depth != 1)


def _variants(data: Mapping[str, Any], file: str) -> dict[str, Overrides]:
    variants = data.get("variants") or {}
    if not isinstance(variants, dict) or not all(isinstance(v, dict) for v in variants.values()):
        raise SpecError(file, "variants", "write a mapping from name to {path: value}")
    return {str(name): group for name, group in variants.items()}


# --- comments -----------------------------------------------------------------------------------


def header_of(path: Path) -> list[str]:
    """Return the comment lines at the top of a file, without their signs."""
    found = []
    for line in read_text(path).splitlines():
        if not line.startswith("#"):
            break
        found.append(line[1:].removeprefix(" "))
    return found


def file_comments(path: Path) -> dict[str, str]:
    """Return dotted path -> the comment at the end of the line where its value stands."""
    text = read_text(path)
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
    """Return line number -> comment at its end, with the lines right below that continue it.

    A line continues a comment where its sign stands in the same column or further right.
    """
    comments: dict[int, str] = {}
    origin = last = column = -1
    for number, line in enumerate(text.splitlines()):
        before, hash_sign, comment = line.partition("#")
        if not hash_sign:
            continue
        if before.strip():
            comments[number] = comment.strip()
            origin = last = number
            column = len(before)
        elif origin >= 0 and last + 1 == number and len(before) >= column:
            comments[origin] += " " + comment.strip()
            last = number
    return comments


def with_choice(chain: Chain, variant: str, name: str) -> Chain:
    """Return the chain with a variant of its last file chosen.

    Raises:
        UnknownNameError: Its files offer no such variant.
    """
    known = variants_of(chain)
    if variant and variant not in known:
        raise UnknownNameError(f"variant of {name}", variant, known)
    return (*chain[:-1], replace(chain[-1], chosen=variant))
