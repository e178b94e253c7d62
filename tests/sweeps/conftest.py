from pathlib import Path
from typing import Any

import pytest
import yaml

from hybridsim.sweeps.inputs import Inputs, read_inputs
from hybridsim.sweeps.study import read_study
from tests.cli.conftest import CommandLine

SMALL: dict[str, Any] = {
    "name": "small",
    "machine": "ahwa_lora_2026",
    "network": "layer_128x128",
    "tokens": 16,
    "axes": {
        "tile.integration_time": ["128 ns", "256 ns"],
        "strategy.batch": [1, 4, 16],
        "adapters.rank": [4, 8],
    },
    "objectives": {"latency_ps": "minimise", "tcdm_bytes": "minimise"},
}
"""Twelve points that take a few milliseconds each."""


class Studies:
    """Writes study files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, **changes: Any) -> Path:
        """Return a file with the small study, some of its keys replaced; None drops a key."""
        content = {key: value for key, value in (SMALL | changes).items() if value is not None}
        path = self.folder / "study.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return path

    def inputs(self, **changes: Any) -> Inputs:
        """Return the same, read."""
        path = self.write(**changes)
        return read_inputs(read_study(path), str(path))


@pytest.fixture
def studies(tmp_path: Path) -> Studies:
    return Studies(tmp_path)


@pytest.fixture
def cli() -> CommandLine:
    return CommandLine()
