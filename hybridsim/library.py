"""Where the machines and networks that come with hybridsim lie on disk, and what heads them."""

import os
from pathlib import Path
from typing import Any

from hybridsim.boundary.reading import is_file, is_folder
from hybridsim.boundary.values import path_of
from hybridsim.errors import SpecError, UnknownNameError

_PACKAGE = Path(__file__).parent
# an installed wheel carries the folders inside the package; a source checkout has them beside it
_ROOT = _PACKAGE / "bundled" if (_PACKAGE / "bundled").is_dir() else _PACKAGE.parent

MACHINES = _ROOT / "arch_configs"
"""The folder of the bundled machines, one folder each."""
NETWORKS = _ROOT / "workloads"
"""The folder of the bundled networks, one file each."""


def machine_names() -> list[str]:
    """Return the names of the bundled machines."""
    return sorted(path.parent.name for path in MACHINES.glob("*/arch.yaml"))


def network_names() -> list[str]:
    """Return the names of the bundled networks."""
    return sorted(path.stem for path in NETWORKS.glob("*.yaml"))


def network_sources() -> dict[str, str]:
    """Return bundled network -> where its shapes come from, without reading its ops."""
    return {name: _head(NETWORKS / f"{name}.yaml").get("source", "") for name in network_names()}


def variant_names() -> dict[str, list[str]]:
    """Return bundled machine -> the names of its variants, without reading its parts."""
    heads = {name: _head(MACHINES / name / "arch.yaml") for name in machine_names()}

    def variants(name: str) -> list[str]:
        head = heads.get(name.partition(":")[0], {})
        inherited = variants(head["extends"]) if "extends" in head else []
        return list(dict.fromkeys([*inherited, *head.get("variants", ())]))

    return {name: variants(name) for name in heads}


def _head(path: Path) -> dict[str, Any]:
    """Return the top of a bundled file: key -> its text, or the keys below it."""
    import yaml  # only here, as most of the command line asks for paths alone

    root: Any = yaml.compose(
        path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    )
    return {
        key.value: [own.value for own, _ in value.value]
        if isinstance(value, yaml.MappingNode)
        else value.value
        for key, value in root.value
    }


def machine_path(name: str) -> Path:
    """Return the file of a machine: a bundled name, a YAML file, or a folder with arch.yaml.

    Raises:
        UnknownNameError: There is neither a bundled machine nor a file of that name.
        SpecError: It looks like a path, and nothing lies there.
    """
    return _find("machine", name, MACHINES / name / "arch.yaml", "arch.yaml", machine_names())


def network_path(name: str) -> Path:
    """Return the file of a network: a bundled name, a YAML, JSON or ONNX file, or a folder.

    Raises:
        UnknownNameError: There is neither a bundled network nor a file of that name.
        SpecError: It looks like a path, and nothing lies there.
    """
    return _find("network", name, NETWORKS / f"{name}.yaml", "config.json", network_names())


def _find(what: str, name: str, bundled: Path, in_folder: str, known: list[str]) -> Path:
    if name in known:
        return bundled
    path = path_of(name, what)
    if is_folder(path):
        if not is_file(path / in_folder):
            raise SpecError(name, "", f"the folder holds no {in_folder}")
        return path / in_folder
    if os.path.exists(path):  # False too where it cannot be looked at
        return path
    if path.suffix in {".yaml", ".yml", ".json", ".onnx"} or len(path.parts) > 1:
        raise SpecError(
            name, "", f"no such file; give a path, or a bundled {what}: {', '.join(known)}"
        )
    other = "network" if what == "machine" else "machine"
    if name.partition(":")[0] in (network_names() if other == "network" else machine_names()):
        problem = f"is a {other}; commands take the network first, then the machine"
        raise SpecError(what, name, problem)
    raise UnknownNameError(what, name, known)
