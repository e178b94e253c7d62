import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from hybridsim.cli import app


class CommandLine:
    """Runs hybridsim as a person would, and keeps what was printed apart."""

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments), catch_exceptions=False)

    def json(self, *arguments: str) -> Any:
        """Return the one JSON document on standard output."""
        done = self(*arguments, "--json")
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    def refused(self, *arguments: str) -> str:
        """Return the one message of a command that ends with exit code 2."""
        done = self(*arguments)
        assert done.exit_code == 2
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        assert done.stderr.count("\n") == 1
        return done.stderr


@pytest.fixture(autouse=True)
def _intervals_are_of_few_samples(few_samples: None) -> None:
    """What is said of a run does not depend on how many there are."""


@pytest.fixture
def cli() -> CommandLine:
    return CommandLine()
