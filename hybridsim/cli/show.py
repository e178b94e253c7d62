"""``hybridsim show``: what a machine or a network is, and where its numbers come from."""

from dataclasses import asdict, replace
from typing import Annotated, Any

import typer
from rich.markup import escape

from hybridsim.arch import (
    differences,
    is_machine,
    load_machine,
    machine_sources,
    machine_variants,
    machine_yaml,
    nearest,
)
from hybridsim.boundary.values import printable
from hybridsim.cli._options import HeadOption, Json, Settings, by_target, network_of
from hybridsim.cli._terminal import ends_cleanly, out, plain_table, print_json
from hybridsim.errors import InputError, UnknownNameError
from hybridsim.library import machine_names, network_names, network_path
from hybridsim.specs import read_json_mapping
from hybridsim.workload import Convolution, Network, load_network
from hybridsim.workload.families.module_tree import counts_of, counts_of_modules


@ends_cleanly
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A machine or a network, by name or file.")
    ],
    other: Annotated[
        str | None, typer.Argument(metavar="OTHER", help="With --diff: another machine.")
    ] = None,
    set_: Settings = None,
    head: HeadOption = None,
    yaml: Annotated[
        bool, typer.Option("--yaml", help="A machine as one file, with its sources.")
    ] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="What two machines say differently.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Compare a config.json with transformers and PEFT.")
    ] = False,
    json_: Json = False,
) -> None:
    """A machine or a network, resolved, with the sources of its numbers."""
    if (other is not None) != diff or (yaml and (diff or json_)):
        raise InputError("show: give one name, or --diff and two machines; --yaml stands alone")
    if (diff or yaml) and (head is not None or set_ or check):
        raise InputError("--diff and --yaml: take no --head, --set or --check; leave them out")
    if diff:
        assert other is not None
        _print_differences(name, other, json_)
        return
    if yaml:
        if not is_machine(name):
            raise InputError(f"--yaml: found {name!r}, which is no machine; a machine would do")
        typer.echo(machine_yaml(name), nl=False)
        return
    document = _described(name, by_target(set_), head)
    if check:
        document |= {"check": _checked(name, document, head)}
    if json_:
        print_json(document)
    elif document["what"] == "machine":
        _print_machine(document)
    else:
        _print_network(document)
    if check and not document["check"]["equal"]:
        raise typer.Exit(1)


def _print_differences(first: str, second: str, json_: bool) -> None:
    found = differences(first, second)
    if json_:
        print_json([row._asdict() for row in found])
        return
    table = plain_table("field", first, second, "source", whole="field")
    for row in found:
        texts = (row.path, str(row.first), str(row.second), row.second_source)
        table.add_row(*(escape(text) for text in texts))
    same = f"{first} and {second} say the same but for name and description"
    out().print(table if found else same)


def _described(name: str, groups: dict[str, dict[str, Any]], head: str | None) -> dict[str, Any]:
    """Return a machine or a network as one document; a bundled machine's name wins.

    Raises:
        UnknownNameError: Neither a machine nor a network has that name.
    """
    machine = is_machine(name)
    others = {"machine", "adapters", "strategy"} - {"machine" if machine else "adapters"}
    unused = [
        path if group == "machine" else f"{group}.{path}"
        for group in sorted(others)
        for path in groups[group]
    ]
    if unused:
        what = "machine" if machine else "network"
        raise InputError(f"--set {unused[0]}: {name} is a {what}, in which it changes nothing")
    if machine:
        if head is not None:
            raise InputError(f"--head: {name} is a machine; leaving --head out would do")
        return _machine(name, groups["machine"])
    try:
        return _network(network_of(name, groups["adapters"], head=head))
    except UnknownNameError:
        known = machine_names() + network_names()
        raise UnknownNameError("machine or network", name, known) from None


def _checked(name: str, document: dict[str, Any], head: str | None) -> dict[str, Any]:
    """Return what transformers and PEFT count of a config.json, and whether it is the same.

    Raises:
        InputError: It is no config.json, has a head, or transformers is not installed.
    """
    path = network_path(name) if document["what"] == "network" else None
    if path is None or path.suffix != ".json" or head not in (None, "none"):
        raise InputError("--check: give a config.json, and no --head")
    adapters = document["adapters"]
    rank = adapters["rank"] if adapters else 8
    own = counts_of(load_network(path), rank)
    truth = counts_of_modules(read_json_mapping(path), str(path), rank)
    # PEFT refuses some models as a whole, and says nothing of their adapters then
    known = replace(truth, adapter_parameters=truth.adapter_parameters or own.adapter_parameters)
    counted = asdict(truth)
    del counted["shapes"]
    return {"adapter_rank": rank, "transformers": counted, "equal": own == known}


def _machine(name: str, changes: dict[str, Any]) -> dict[str, Any]:
    machine = load_machine(name, changes)
    for variant in machine_variants(name):
        try:
            load_machine(f"{name.partition(':')[0]}:{variant}")
        except InputError as error:  # of a variant that is not asked for: the machine is fine
            typer.echo(f"hybridsim: variant {variant}: {printable(str(error))}", err=True)
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
        **_rare(network),
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


def _rare(network: Network) -> dict[str, Any]:
    """Return what only some networks have."""
    found: dict[str, Any] = {}
    if network.expert_weights:
        found["expert_weights"] = network.expert_weights
    convolutions = [op for op in network.matrices if isinstance(op, Convolution)]
    if convolutions:
        found["convolutions"] = len(convolutions)
        found["convolution_weights"] = sum(op.weights for op in convolutions)
    shared = len(network.on_tiles) - len(network.matrices)
    if shared:
        found["uses_of_shared_layers"] = shared
    if network.not_modelled:
        found["not_modelled"] = list(network.not_modelled)
    return found


def _print_machine(document: dict[str, Any]) -> None:
    table = plain_table("field", "value", "source", whole="field")
    for path, value in _flat(document["machine"]):
        if path not in ("name", "description"):
            source = nearest(document["sources"], path)
            table.add_row(escape(path), escape(str(value)), escape(source))
    console = out()
    name, about = (escape(str(document["machine"][key])) for key in ("name", "description"))
    console.print(f"[bold]{name}[/]  {about}")
    console.print(table)
    for name, changes in document["variants"].items():
        changed = ", ".join(f"{path}={value}" for path, value in changes.items())
        console.print(f"variant :{escape(name)}  {escape(changed)}")


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
        "biases", "parameters", "adapter_parameters", "adapters", "expert_weights",
        "convolutions", "convolution_weights", "uses_of_shared_layers", "not_modelled",
    ):  # fmt: skip
        value = document.get(key)
        if value is None:
            continue
        value = "; ".join(value) if isinstance(value, list) else value
        text = f"{value:,}" if isinstance(value, int) else str(value)
        console.print(f"  {key.replace('_', ' '):22s}{escape(text)}")
    if "check" in document:
        found = document["check"]
        for key, value in found["transformers"].items():
            text = "PEFT refuses it" if value is None else f"{value:,}"
            console.print(f"  {'transformers: ' + key.replace('_', ' '):38s}{text}")
        console.print(f"  the same: {'yes' if found['equal'] else 'no'}")
    shapes: dict[tuple[int, int], int] = {}
    for layer in document["layers"]:
        shape = (layer["in_features"], layer["out_features"])
        shapes[shape] = shapes.get(shape, 0) + 1
    table = plain_table("in x out", "layers", right="in x out|layers")
    for (rows, columns), count in sorted(shapes.items()):
        table.add_row(f"{rows} x {columns}", str(count))
    console.print(table)
