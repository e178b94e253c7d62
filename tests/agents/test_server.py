"""The tools of the server, asked by the client of the protocol's SDK."""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="the extra mcp is not installed")

import mcp
import mcp.types
from typer.testing import CliRunner

from hybridsim.agents.server import make_server
from hybridsim.cli import app

STUDY = """
name: small
question: Which batch?
machine: ahwa_lora_2026
network: layer_128x128
axes: {strategy.batch: [8, 16]}
objectives: {latency_ps: minimise}
"""


def finished(talk: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine does, in a thread: a browser's tests leave a loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, talk).result()


def asked(do: Callable[[Any], Coroutine[Any, Any, Any]], **how: Any) -> Any:
    """Return what a client finds that talks to a server in this process."""

    async def talk() -> Any:
        async with mcp.Client(make_server(**how)) as client:
            return await do(client)

    return finished(talk())


def call(name: str, arguments: dict[str, Any], **how: Any) -> Any:
    return asked(lambda client: client.call_tool(name, arguments), **how)


def told(*words: str) -> Any:
    done = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    return json.loads(done.stdout)


def document(result: Any) -> dict[str, Any]:
    assert not result.is_error, result.content
    found = result.structured_content
    return dict(found.get("result", found))


def test_it_offers_what_the_command_line_does_and_writes_nothing() -> None:
    tools = {tool.name: tool for tool in asked(lambda client: client.list_tools()).tools}
    assert set(tools) == {
        "list_bundled", "show", "schema", "run", "compare", "compare_results", "explain", "sweep",
    }  # fmt: skip
    assert all(tool.annotations.read_only_hint for tool in tools.values())
    assert all(tool.description for tool in tools.values())


def test_a_run_is_that_of_the_command_line() -> None:
    words = {"network": "layer_128x128", "machine": "ahwa_lora_2026", "detail": "full"}
    settings = {"cluster.clock.frequency": "1 GHz", "strategy.batch": 16}
    found = document(call("run", words | {"settings": settings}))
    expected = told(
        "run", "layer_128x128", "ahwa_lora_2026", "--set", "cluster.clock.frequency=1 GHz",
        "--set", "strategy.batch=16",
    )  # fmt: skip
    assert found == expected


def test_a_summary_says_what_it_leaves_out() -> None:
    found = document(call("run", {"network": "layer_128x128", "machine": "ahwa_lora_2026"}))
    assert "layers" not in found
    assert found["left_out"]["layers"] == 1
    assert len(json.dumps(found)) < 10_000


def test_a_sweep_is_given_as_text() -> None:
    found = document(call("sweep", {"study": STUDY}))
    assert found["points"] == 2


def test_a_schema_is_one() -> None:
    assert "properties" in document(call("schema", {"what": "machine"}))


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("run", {"network": "no_such", "machine": "ahwa_lora_2026"}, "no_such"),
        ("run", {"network": "--out=here", "machine": "ahwa_lora_2026"}, "name or a file"),
        ("run", {"network": "layer_128x128", "machine": "ahwa_lora_2026", "out": "x"}, "--write"),
        ("show", {"name": "--help"}, "name or a file"),
        ("sweep", {"study": "- nothing"}, "study"),
    ],
)
def test_what_is_refused_is_refused_in_a_sentence(
    name: str, arguments: dict[str, Any], says: str
) -> None:
    result = call(name, arguments)
    assert result.is_error
    text = result.content[0].text
    assert says in text
    assert "Traceback" not in text


def test_it_writes_below_its_folder_and_nowhere_else(tmp_path: Path) -> None:
    words = {"network": "layer_128x128", "machine": "ahwa_lora_2026"}
    allowed = tmp_path / "allowed"
    document(call("run", words | {"out": "first", "layers_only": True}, folder=allowed))
    assert (allowed / "first" / "page.html").exists()
    for elsewhere in ("../other", str(tmp_path / "other"), "."):
        assert call("run", words | {"out": elsewhere}, folder=allowed).is_error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["allowed"]


def test_code_of_files_runs_only_where_it_may(tmp_path: Path) -> None:
    strategy = tmp_path / "mine.py"
    strategy.write_text(
        "import hybridsim\nfrom pathlib import Path\n"
        "Path(__file__).with_name('ran').touch()\n"
        "class Mine(hybridsim.TokenParallel):\n    pass\n"
    )
    words = {"network": "layer_128x128", "machine": "ahwa_lora_2026", "layers_only": True}
    words["strategy"] = f"{strategy}:Mine"
    refused = call("run", words)
    assert refused.is_error
    assert "does not run here" in refused.content[0].text
    assert not (tmp_path / "ran").exists()
    call("run", words, own_code=True)
    assert (tmp_path / "ran").exists()


def test_what_takes_too_long_is_ended() -> None:
    result = call("list_bundled", {}, seconds=0.01)
    assert result.is_error
    assert "longer than" in result.content[0].text


def test_the_command_talks_over_standard_input_and_output() -> None:
    server = mcp.StdioServerParameters(command=sys.executable, args=["-m", "hybridsim", "mcp"])

    async def talk() -> Any:
        async with mcp.Client(server) as client:
            return await client.call_tool("list_bundled", {})

    assert "ahwa_lora_2026" in document(finished(talk()))["machines"]
