"""What went into a run, and where each number comes from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hybridsim.measure.result import Result

NOT_RECORDED = "not recorded with this result"


@dataclass(frozen=True, slots=True)
class Origin:
    """One value that went in."""

    path: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Origins:
    """All that went in."""

    machine: tuple[Origin, ...]
    network: tuple[tuple[str, str], ...]
    strategy: tuple[tuple[str, str], ...]
    definitions: tuple[tuple[str, str], ...]
    """Field of the result and what it means."""


def origins(result: Result, sources: Mapping[str, str]) -> Origins:
    """Return the inputs of a result with their sources."""
    machine = result.inputs.get("machine") or {}
    return Origins(
        machine=tuple(
            Origin(path, plain(value), _nearest(sources, path))
            for path, value in flat(machine)
            if path not in ("name", "description")
        ),
        network=tuple(_network(result)),
        strategy=tuple(
            (name, "as the strategy decides" if value is None else plain(value))
            for name, value in flat(result.inputs.get("scheduler") or {})
        ),
        definitions=tuple(
            (name, " ".join(field.description.split()))
            for name, field in type(result).model_fields.items()
            if field.description and not isinstance(getattr(result, name), (tuple, dict))
        ),
    )


def _network(result: Result) -> Iterator[tuple[str, str]]:
    network = result.inputs.get("network") or {}
    yield "name", result.network
    for key in ("source", "reference", "sequence_length", "max_sequence_length"):
        if network.get(key) is not None:
            yield key, str(network[key])
    yield "ops", f"{len(network.get('ops', ())):,}"
    yield "static linear layers", f"{len(result.layers):,}"
    for path, value in flat({"adapters": network.get("adapters") or "none"}):
        yield path, plain(value)


def plain(value: Any) -> str:
    """Return a value of YAML as people read it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(each) for each in value) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {plain(each)}" for key, each in value.items()) or "none"
    return str(value)


def _nearest(sources: Mapping[str, str], path: str) -> str:
    """Return the source of a value, or else that of the group it stands in."""
    while path:
        if path in sources:
            return sources[path]
        path = path.rpartition(".")[0]
    return "" if sources else NOT_RECORDED


def flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted path and value of every leaf."""
    for key, value in tree.items():
        path = f"{above}.{key}" if above else str(key)
        if isinstance(value, Mapping):
            yield from flat(value, path)
        else:
            yield path, value
