"""Commands that are imported when they are called, so that ``--help`` and the rest wait for none.

Each command says its line of help here; what it takes stands with its function.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from hybridsim._old_names import OPTIONS, said_on_stderr, say
from hybridsim.cli._arguments import check_values


class Command(TyperCommand):
    """A command that takes options under the names of earlier releases too, and says so."""

    old_options: Mapping[str, str] = OPTIONS
    """Old option -> option of today."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments strictly, old names of options replaced."""
        with said_on_stderr():
            given = [*_by_names_of_today(args, self.old_options)]
            check_values(self, ctx, given)
            return super().parse_args(ctx, given)


class GenerateCommand(Command):
    """``generate``, whose sequences were a batch."""

    old_options = OPTIONS | {"--batch": "--sequences"}


class SweepCommand(Command):
    """``sweep``, which leads to another command where ``merge`` stands in place of a study."""

    merging = "sweep merge"

    def make_context(
        self, info_name: Any, args: list[str], parent: Any = None, **more: Any
    ) -> Any:
        """Return the context of this command, or of that which merges."""
        if args[:1] == ["merge"] and parent is not None:
            merge = parent.command.get_command(parent, self.merging)
            return merge.make_context(self.merging, args[1:], parent, **more)
        return super().make_context(info_name, args, parent, **more)


def _by_names_of_today(args: list[str], old_options: Mapping[str, str]) -> Iterator[str]:
    for place, text in enumerate(args):
        name, equals, value = text.partition("=")
        if name in old_options and "--" not in args[:place]:
            say(name, old_options[name])
            text = f"{old_options[name]}{equals}{value}"
        yield text


def command_of(found: Callable[..., Any] | typer.Typer, name: str, kind: type[Command]) -> Any:
    """Return a function as a command, or an app as a group of them."""
    if isinstance(found, typer.Typer):
        group = get_command(found)
        group.name = name
        return group
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(name, cls=kind)(found)
    return get_command(app)


class CommandOnUse(TyperCommand):
    """A command of which only name and line of help are known until somebody calls it."""

    def __init__(self, name: str, where: str, about: str, kind: type[Command] = Command) -> None:
        super().__init__(name, help=about, rich_markup_mode=None)
        self._where, self._kind = where, kind

    @cached_property
    def command(self) -> Any:
        """The command itself, from where it lies: ``module:name``."""
        module, _, name = self._where.partition(":")
        found = getattr(import_module(module), name)
        return command_of(found, str(self.name), self._kind)

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Return the context of the command itself, which is what is invoked then."""
        return self.command.make_context(info_name, args, parent, **extra)


_COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("run", "run:run", "Latency per layer and overhead of a network on a machine."),
    ("report", "report:report", "Write the page of a folder of results again."),
    ("compare", "compare:compare", "Strategies side by side, and where their time is lost."),
    ("explain", "explain:explain", "What a run waits for, and which changes would help most."),
    (
        "generate",
        "generate:generate_command",
        "Text, token by token: first token, rate, overhead.",
    ),
    ("cost", "cost:cost", "Cycles or bytes of one operation on one part."),
    ("show", "show:show", "A machine or a network, with the sources of its numbers."),
    ("machine", "machine:app", "A machine of one's own: what to begin with."),
    ("schema", "schema:schema", "What files and answers may say, as JSON Schema."),
    ("sweep", "sweep:sweep", "Every point of a study; ends with its Pareto table."),
    ("search", "search:search", "A study searched with Optuna; ends with its Pareto table."),
    ("design", "design:design", "What to build for a network under limits, with its proof."),
    ("serve", "serve:serve", "Requests of many tasks on one chip with swapped adapters."),
    (
        "alternatives",
        "alternatives:alternatives",
        "Adapters, tiles written anew, or a chip for each task.",
    ),
    ("adapt", "adapt:adapt", "Train adapters against noise, and test them over time."),
    (
        "recalibrate",
        "recalibrate:recalibrate",
        "Correct drifted chips without labels, and what that costs.",
    ),
    (
        "sensitivity",
        "sensitivity:sensitivity",
        "What each layer costs on analog tiles, and how sure that is.",
    ),
    ("codesign", "codesign:codesign", "Accuracy over time beside latency and energy."),
    ("list", "list:list_bundled", "What is bundled: machines, networks, strategies."),
    ("validate", "validate:app", "The models against RTL and against published figures."),
    ("mcp", "mcp:mcp", "Tools for agents: a Model Context Protocol server."),
    ("doctor", "doctor:doctor", "Versions, machine and caches: what an issue needs."),
    ("warm-up", "doctor:warm_up", "Compile now what would be compiled on first use."),
)
"""Name, where it lies below ``hybridsim.cli``, and its line of help, in the order of --help."""


def modules() -> tuple[str, ...]:
    """Return the modules of all commands, in the order of --help."""
    found = (where.partition(":")[0] for _, where, _ in _COMMANDS)
    return tuple(f"hybridsim.cli.{name}" for name in dict.fromkeys(found))


class Commands(TyperGroup):
    """All commands, each imported when it is called."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        for name, where, about in _COMMANDS:
            kind = {"generate": GenerateCommand, "sweep": SweepCommand}.get(name, Command)
            self.add_command(CommandOnUse(name, f"hybridsim.cli.{where}", about, kind))
        merge = CommandOnUse(SweepCommand.merging, "hybridsim.cli.sweep:merge", "Shards as one.")
        merge.hidden = True
        self.add_command(merge)
