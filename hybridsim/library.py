"""Where the machines and networks that come with hybridsim lie on disk."""

from pathlib import Path

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
    path = Path(name)
    try:
        if path.is_dir() and (path / in_folder).is_file():
            return path / in_folder
        if path.is_file():
            return path
    except OSError:  # a name too long for the file system is not a path
        raise UnknownNameError(what, name[:60], known) from None
    if path.is_dir():
        raise SpecError(name, "", f"the folder holds no {in_folder}")
    if path.suffix in {".yaml", ".yml", ".json", ".onnx"} or len(path.parts) > 1:
        raise SpecError(
            name, "", f"no such file; give a path, or a bundled {what}: {', '.join(known)}"
        )
    raise UnknownNameError(what, name, known)
