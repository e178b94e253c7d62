"""Packages that a file's tests need, looked for without importing them: every process collects."""

from importlib.util import find_spec

import pytest


def needing(package: str, why: str) -> None:
    """Skip the file that is being collected where a package is missing."""
    if find_spec(package) is None:
        pytest.skip(f"could not find {package}: {why}", allow_module_level=True)
