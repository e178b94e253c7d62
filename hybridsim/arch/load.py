"""From a machine's name or file, and dotted overrides, to a checked machine."""

from pathlib import Path
from typing import Any

from hybridsim.arch.files import (
    Chain,
    Overrides,
    data_of,
    note_overrides,
    read_chain,
    sources_of,
    split_name,
    variants_of,
    with_choice,
    with_overrides,
)
from hybridsim.arch.machine import Machine
from hybridsim.errors import SpecError
from hybridsim.library import machine_names, machine_path
from hybridsim.specs import read_yaml_mapping, shown, validate, yaml_value

_BY_USER = "--set"


def load_machine(name: str, overrides: Overrides | None = None) -> Machine:
    """Return the machine of that name, with some of its fields replaced.

    ``name`` is a bundled name, a YAML file or a folder with ``arch.yaml``, and may end in
    ``:variant`` to choose one of the machine's named groups of overrides.

    Raises:
        UnknownNameError: No such machine, or no such variant of it.
        SpecError: The file or an override does not describe a machine.
    """
    chain = _read(name)
    file = str(chain[-1].path)
    data = with_overrides(data_of(chain), overrides or {}, _BY_USER)
    try:
        return validate(Machine, data, file)
    except SpecError as error:
        if any(_is_about(error, dotted) for dotted in overrides or {}):
            raise SpecError(_BY_USER, error.place, error.problem) from None
        if len(chain) == 1 and error.problem.startswith("key ") and "is missing" in error.problem:
            hint = "give it, or write 'extends: MACHINE' and only what differs from that one"
            raise SpecError(file, error.place, f"{error.problem}; {hint}") from None
        raise


def machine_with(machine: Machine, overrides: Overrides) -> Machine:
    """Return a machine with some of its fields replaced.

    Raises:
        SpecError: An override does not lead to a machine.
    """
    if not overrides:
        return machine
    return validate(Machine, with_overrides(machine.to_text(), overrides, _BY_USER), _BY_USER)


def _is_about(error: SpecError, dotted: str) -> bool:
    """Return whether an error speaks of the value at a path, or of its last key."""
    group, _, key = dotted.rpartition(".")
    return error.place.startswith(dotted) or (error.place == group and repr(key) in error.problem)


def machine_variants(name: str) -> dict[str, Overrides]:
    """Return the named groups of overrides that a machine's file offers."""
    return variants_of(read_chain(machine_path(split_name(name)[0])))


def machine_sources(name: str, overrides: Overrides | None = None) -> dict[str, str]:
    """Return, for every value of a machine, the comment beside it in its files: its source."""
    sources = sources_of(_read(name))
    for path in overrides or {}:
        note_overrides(sources, {path: None}, "set by the user")
    return sources


def is_machine(name: str) -> bool:
    """Return whether a name, maybe with a variant, is that of a machine or of a file of one."""
    base, _ = split_name(name)
    if base in machine_names() or base.endswith("arch.yaml"):
        return True
    path = Path(base)
    if path.is_dir():
        return (path / "arch.yaml").is_file()
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        return False
    return not {"extends", "tile"}.isdisjoint(read_yaml_mapping(path))


def _read(name: str) -> Chain:
    """Return the files of a machine, with the variant asked for chosen in the last one."""
    base, wanted = split_name(name)
    return with_choice(read_chain(machine_path(base)), wanted, base)


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
