"""``--set path=value``, sorted by what it changes."""

from typing import Any

from hybridsim.arch import parse_override
from hybridsim.errors import UnknownNameError
from hybridsim.workload import Network


def by_target(settings: list[str]) -> dict[str, dict[str, Any]]:
    """Return the settings of machine, adapters and scheduler, path -> value each.

    Raises:
        SpecError: A setting is not of the form path=value.
    """
    groups: dict[str, dict[str, Any]] = {"machine": {}, "adapters": {}, "scheduler": {}}
    for text in settings:
        path, value = parse_override(text)
        head, _, rest = path.partition(".")
        if head in ("adapters", "scheduler") and rest:
            groups[head][rest] = value
        else:
            groups["machine"][path] = value
    return groups


def with_adapters(network: Network, changes: dict[str, Any]) -> Network:
    """Return a network with some fields of its adapters replaced.

    Raises:
        UnknownNameError: Adapters have no such field.
    """
    known = ("rank", "alpha", "targets", "exclude")
    for key in changes:
        if key not in known:
            raise UnknownNameError("--set: adapter field", key, known)
    return network.with_adapters(**changes) if changes else network
