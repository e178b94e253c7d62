"""The list of commands, what is bundled, and what issues ask for, without importing much."""

import inspect
import json

import pytest
from typer.testing import CliRunner

from hybridsim.arch import machine_variants
from hybridsim.cli import app
from hybridsim.cli._commands import _COMMANDS, CommandOnUse
from hybridsim.cli.doctor import diagnosis
from hybridsim.cli.list import strategy_summaries
from hybridsim.library import (
    machine_names,
    network_names,
    network_path,
    network_sources,
    variant_names,
)
from hybridsim.strategies import STRATEGIES
from hybridsim.workload import load_network


def told(*arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize(("name", "where", "about"), _COMMANDS)
def test_each_command_is_there_and_its_line_fits(name: str, where: str, about: str) -> None:
    command = CommandOnUse(name, f"hybridsim.cli.{where}", about).command
    assert command.name == name
    assert command.help
    assert f"  {name} " in told("--help")
    assert f" {about}\n" in told("--help")  # whole, not cut


def test_a_misspelt_command_is_told_its_name() -> None:
    done = CliRunner().invoke(app, ["rum"])
    assert done.exit_code == 2
    assert "Did you mean 'run'?" in done.stderr


def test_completion_can_be_installed() -> None:
    assert "--install-completion" in told("--help")


def test_heads_of_files_say_what_the_files_say() -> None:
    assert variant_names() == {name: [*machine_variants(name)] for name in machine_names()}
    sources = {name: load_network(network_path(name)).source for name in network_names()}
    assert network_sources() == sources


def test_strategies_are_listed_with_their_own_words() -> None:
    found = strategy_summaries()
    assert found.keys() == STRATEGIES.keys()
    for name, kind in STRATEGIES.items():
        words = " ".join((inspect.getdoc(kind) or "").split())
        assert words.startswith(found[name])
        assert found[name]


def test_a_diagnosis_says_what_is_installed_and_not_who_asks() -> None:
    found = json.loads(told("doctor", "--json"))
    assert found == json.loads(json.dumps(diagnosis()))
    assert found["libraries"]["numpy"]
    assert set(found) == {"program", "machine", "libraries", "extras", "machine code"}
    text = told("doctor")
    assert "numpy" in text
    assert "kept in" in text
