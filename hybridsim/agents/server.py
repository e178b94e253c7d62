"""The Model Context Protocol server: its tools, and what they may do.

By default nothing is written but a temporary study file, and no code from files runs. Networks,
machines and results are read from wherever the account of the server may read.
"""

import tempfile
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from hybridsim._version import __version__
from hybridsim.agents.asking import MOST_SECONDS, ask, named, options
from hybridsim.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")

Network = Annotated[str, Field(description="A bundled network, a YAML file or a config.json.")]
Machine = Annotated[str, Field(description="A bundled machine or a YAML file, maybe :variant.")]
Strategy = Annotated[str | None, Field(description="A strategy by name; list_bundled has all.")]
Tokens = Annotated[int | None, Field(description="Tokens per sequence.", ge=1)]
Past = Annotated[int, Field(description="Tokens that a decoder kept.", ge=0)]
Settings = Annotated[
    dict[str, str | int | float | bool] | None,
    Field(description="Dotted path -> value with its unit: cluster.clock.frequency: 1 GHz, "
          "adapters.rank: 16, strategy.batch: 32."),
]  # fmt: skip
Detail = Annotated[
    Literal["summary", "full"],
    Field(description="summary leaves out rows of layers, ops and parts, and the inputs."),
]
LONG = ("layers", "ops", "resources", "inputs", "free_ops", "analog_noise")
"""What a summary of a result leaves out."""
MOST_POINTS = 100_000
"""Points of a study that a tool sweeps."""
INSTRUCTIONS = (
    "hybridsim predicts latency, overhead and energy of transformers with LoRA adapters on analog "
    "in-memory tiles with RISC-V clusters. Begin with list_bundled, then run and explain. Times "
    "are in ps, energies in pJ or aJ, as their names say. An interval says how sure a figure is."
)


class Tools:
    """The tools, each the command of the same name."""

    def __init__(
        self, folder: Path | None = None, own_code: bool = False, seconds: float = MOST_SECONDS
    ) -> None:
        """``folder`` is where answers may be written; without one nothing is."""
        self._folder, self._own_code, self._seconds = folder, own_code, seconds

    async def list_bundled(self) -> dict[str, Any]:
        """Bundled machines with their variants, networks and strategies."""
        return await self._document(["list"])

    async def show(self, name: str, settings: Settings = None) -> dict[str, Any]:
        """A machine or a network, resolved, with the sources of its numbers."""
        return await self._document(["show", named("name", name), *options(settings=settings)])

    async def schema(self, what: str) -> dict[str, Any]:
        """JSON Schema of a machine, a network, a study, a result or another document."""
        return await self._document(["schema", named("what", what)], json=False)

    async def run(
        self,
        network: Network,
        machine: Machine,
        strategy: Strategy = None,
        tokens: Tokens = None,
        past: Past = 0,
        settings: Settings = None,
        layers_only: bool = False,
        detail: Detail = "summary",
        out: str | None = None,
    ) -> dict[str, Any]:
        """Latency, overhead, energy and what bounds them, of a network on a machine."""
        arguments = ["run", named("network", network), named("machine", machine)]
        arguments += options(strategy, tokens, past, settings)
        arguments += ["--layers-only"] if layers_only else []
        found = await self._document(arguments, out)
        return found if detail == "full" else summary(found)

    async def compare(
        self,
        network: Network,
        machine: Machine,
        strategies: list[str] | None = None,
        tokens: Tokens = None,
        settings: Settings = None,
        out: str | None = None,
    ) -> dict[str, Any]:
        """Strategies side by side on one machine, and where their time is lost."""
        arguments = ["compare", named("network", network), named("machine", machine)]
        arguments += options(tokens=tokens, settings=settings)
        if strategies:
            arguments += ["--strategies", named("strategies", ",".join(strategies))]
        return await self._document(arguments, out)

    async def compare_results(
        self, first: str, second: str, out: str | None = None
    ) -> dict[str, Any]:
        """What differs between two results: files, or folders that run has written."""
        arguments = ["compare", named("first", first), named("second", second)]
        return await self._document(arguments, out)

    async def explain(
        self,
        network: Network,
        machine: Machine,
        strategy: Strategy = None,
        tokens: Tokens = None,
        past: Past = 0,
        settings: Settings = None,
    ) -> dict[str, Any]:
        """Why a run takes so long, what is free that would help, and which hardware would."""
        arguments = ["explain", "--run", named("network", network), named("machine", machine)]
        return await self._document([*arguments, *options(strategy, tokens, past, settings)])

    async def sweep(self, study: str, out: str | None = None) -> dict[str, Any]:
        """Every point of a study, given as the text of its YAML file: front and what matters."""
        with tempfile.TemporaryDirectory() as place:
            file = Path(place) / "study.yaml"
            file.write_text(study, encoding="utf-8")
            expected = await self._document(["sweep", str(file), "--dry-run"])
            if expected["points"] > MOST_POINTS or expected["seconds"] > self._seconds:
                raise InputError(
                    f"the study has {expected['points']:,} points, about "
                    f"{expected['seconds']:.0f} s; at most {MOST_POINTS:,} points in "
                    f"{self._seconds:g} s would do, or the command line"
                )
            return await self._document(["sweep", str(file)], out)

    async def _document(
        self, arguments: list[str], out: str | None = None, json: bool = True
    ) -> dict[str, Any]:
        arguments = [*arguments, *(["--json"] if json else [])]
        if out is not None:
            arguments += ["--out", str(self._place(out))]
        found = await ask(arguments, self._seconds, self._own_code)
        return found if isinstance(found, dict) else {"rows": found}

    def _place(self, out: str) -> Path:
        """Return the folder below the one that may be written to.

        Raises:
            InputError: Nothing may be written, or not there.
        """
        if self._folder is None:
            raise InputError(
                "out: this server writes nothing; hybridsim mcp --write FOLDER would do"
            )
        root = self._folder.resolve()
        path = (root / out).resolve()
        if path == root or not path.is_relative_to(root):
            raise InputError(f"out: found {out[:60]!r}; a name within {root} would do")
        return path


def summary(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result without its rows, and how many each had."""
    kept = {key: value for key, value in result.items() if key not in LONG}
    if isinstance(kept.get("interval"), dict):
        kept["interval"] = {k: v for k, v in kept["interval"].items() if k != "layers"}
    if isinstance(kept.get("energy"), dict):
        kept["energy"] = {k: v for k, v in kept["energy"].items() if k != "op_aj"}
    counts = {key: len(result[key]) for key in ("layers", "ops", "resources") if key in result}
    return kept | {"left_out": counts | {"in": "detail: full"}}


def in_a_sentence(tool: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Let what a tool refuses reach who asked, as the sentence that it is."""

    @wraps(tool)
    async def answered(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await tool(*args, **kwargs)
        except InputError as error:
            raise ToolError(str(error)) from None

    return answered


def make_server(
    folder: Path | None = None, own_code: bool = False, seconds: float = MOST_SECONDS
) -> MCPServer:
    """Return the server, with a tool for each method of :class:`Tools`."""
    server = MCPServer("hybridsim", version=__version__, instructions=INSTRUCTIONS)
    tools = Tools(folder, own_code, seconds)
    writes = ("run", "compare", "compare_results", "sweep")
    for name in ("list_bundled", "show", "schema", "explain", *writes):
        hints = ToolAnnotations(
            read_only_hint=folder is None or name not in writes,
            destructive_hint=False,
            idempotent_hint=True,
            open_world_hint=False,
        )
        server.tool(annotations=hints)(in_a_sentence(getattr(tools, name)))
    return server
