"""The oldest and the newest versions that are tested are those that pyproject.toml allows."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]


def required() -> list[Requirement]:
    """Return what the package and its extras name, but for tools that tests do not use."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    texts = [*project["dependencies"]]
    texts += [text for extra in extras.keys() - {"dev"} for text in extras[extra]]
    found = [Requirement(text) for text in texts]
    return [one for one in found if one.name != project["name"]]


def pinned(name: str) -> dict[str, Version]:
    lines = (ROOT / "constraints" / name).read_text(encoding="utf-8").splitlines()
    parts = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(package): Version(version) for package, version in parts}


def test_the_oldest_set_is_the_lower_bounds() -> None:
    oldest = pinned("oldest.txt")
    for one in required():
        (bound,) = one.specifier
        assert bound.operator in (">=", "==")
        assert oldest[canonicalize_name(one.name)] == Version(bound.version), one


def test_the_newest_set_is_allowed() -> None:
    newest = pinned("newest.txt")
    for one in required():
        assert newest[canonicalize_name(one.name)] in one.specifier, one
