"""``hybridsim show`` and ``hybridsim list``: what there is, and where its numbers come from."""

from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.markup import escape

from hybridsim.arch import load_machine, machine_sources, machine_variants
from hybridsim.cli._options import Json
from hybridsim.cli._terminal import ends_cleanly, out, plain_table, print_json
from hybridsim.errors import UnknownNameError
from hybridsim.library import machine_names, network_names, network_path
from hybridsim.strategies import STRATEGIES
from hybridsim.workload import Network, load_network


@ends_cleanly
def show(
    name: Annotated[str, typer.Argument(help="A machine or a network, by name or file.")],
    json_: Json = False,
) -> None:
    """A machine or a network, resolved, with the sources of its numbers."""
    document = _described(name)
    if json_:
        print_json(document)
    elif document["what"] == "machine":
        _print_machine(document)
    else:
        _print_network(document)


@ends_cleanly
def list_bundled(json_: Json = False) -> None:
    """What is bundled: machines with their variants, networks, strategies."""
    machines = {name: list(machine_variants(name)) for name in machine_names()}
    document = {
        "machines": machines,
        "networks": network_names(),
        "strategies": sorted(STRATEGIES),
    }
    if json_:
        print_json(document)
        return
    _print_list("machine", "variants, as in name:variant", machines.items())
    _print_list("network", "source", [(n, [_source(n)]) for n in network_names()])
    summaries = [(n, [_first_sentence(s.__doc__)]) for n, s in sorted(STRATEGIES.items())]
    _print_list("strategy", "what overlaps", summaries)


def _print_list(what: str, about: str, rows: Iterable[tuple[str, list[str]]]) -> None:
    table = plain_table(what, about)
    for name, texts in rows:
        table.add_row(name, escape(" ".join(texts)))
    out().print(table, "")


def _source(name: str) -> str:
    return load_network(network_path(name)).source


def _first_sentence(text: str | None) -> str:
    """Return the first sentence of a docstring, on one line."""
    paragraph = (text or "").split("\n\n")[0]
    return " ".join(paragraph.split()).split(". ")[0].rstrip(".")


def _described(name: str) -> dict[str, Any]:
    """Return a machine or a network as one document; a bundled machine's name wins.

    Raises:
        UnknownNameError: Neither a machine nor a network has that name.
    """
    if name.partition(":")[0] in machine_names() or name.endswith("arch.yaml"):
        return _machine(name)
    try:
        return _network(load_network(network_path(name)))
    except UnknownNameError:
        known = machine_names() + network_names()
        raise UnknownNameError("machine or network", name, known) from None


def _machine(name: str) -> dict[str, Any]:
    machine = load_machine(name)
    return {
        "what": "machine",
        "machine": machine.to_text(),
        "sources": machine_sources(name),
        "variants": {k: dict(v) for k, v in machine_variants(name).items()},
    }


def _network(network: Network) -> dict[str, Any]:
    layers = network.static_linear_layers
    return {
        "what": "network",
        "name": network.name,
        "source": network.source,
        "reference": network.reference,
        "sequence_length": network.sequence_length,
        "ops": len(network.ops),
        "blocks": network.blocks,
        "static_linear_layers": len(layers),
        "weights": network.weights,
        "biases": network.biases,
        "parameters": network.parameters,
        "adapter_parameters": network.adapter_parameters,
        "adapters": network.adapters.to_text() if network.adapters else None,
        "layers": [
            {
                "name": op.name,
                "block": op.block,
                "in_features": op.in_features,
                "out_features": op.out_features,
                "adapter_rank": adapter.rank if (adapter := network.adapter(op)) else 0,
            }
            for op in layers
        ],
    }


def _print_machine(document: dict[str, Any]) -> None:
    table = plain_table("field", "value", "source", whole="field")
    for path, value in _flat(document["machine"]):
        if path not in ("name", "description"):
            source = _nearest(document["sources"], path)
            table.add_row(escape(path), escape(str(value)), escape(source))
    console = out()
    name, about = (escape(str(document["machine"][key])) for key in ("name", "description"))
    console.print(f"[bold]{name}[/]  {about}")
    console.print(table)
    for name, changes in document["variants"].items():
        changed = ", ".join(f"{path}={value}" for path, value in changes.items())
        console.print(f"variant :{escape(name)}  {escape(changed)}")


def _nearest(sources: dict[str, str], path: str) -> str:
    """Return the source of a value, or else that of the group it stands in."""
    while path:
        if path in sources:
            return sources[path]
        path = path.rpartition(".")[0]
    return ""


def _flat(tree: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in tree.items():
        path = f"{above}.{key}" if above else key
        rows += _flat(value, path) if isinstance(value, dict) else [(path, value)]
    return rows


def _print_network(document: dict[str, Any]) -> None:
    console = out()
    console.print(f"[bold]{escape(document['name'])}[/]  {escape(document['source'])}")
    for key in (
        "reference", "sequence_length", "ops", "blocks", "static_linear_layers", "weights",
        "biases", "parameters", "adapter_parameters", "adapters",
    ):  # fmt: skip
        value = document[key]
        text = f"{value:,}" if isinstance(value, int) else str(value)
        console.print(f"  {key.replace('_', ' '):22s}{escape(text)}")
    shapes: dict[tuple[int, int], int] = {}
    for layer in document["layers"]:
        shape = (layer["in_features"], layer["out_features"])
        shapes[shape] = shapes.get(shape, 0) + 1
    table = plain_table("in x out", "layers", right="in x out|layers")
    for (rows, columns), count in sorted(shapes.items()):
        table.add_row(f"{rows} x {columns}", str(count))
    console.print(table)
