"""Specs told by what differs from another one, as a machine's kinds of parts are."""

import json
from collections.abc import Mapping
from copy import deepcopy
from functools import lru_cache
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, WithJsonSchema

from hybridsim.boundary.reading import json_of
from hybridsim.errors import SpecError
from hybridsim.specs.problems import PlacedError, shown, validate
from hybridsim.units import Spec

AnySpec = TypeVar("AnySpec", bound=Spec)
MOST_KINDS = 32
"""Kinds of a part beside the usual one that a machine may have."""
DIFFERS_FROM = "x-differs-from"
"""Key of a JSON Schema: the Spec whose keys a group may have, none of them required."""


def merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a group with what another one changes of it; neither is touched."""
    found = dict(base)
    for key, value in own.items():
        found[key] = merged(base[key], value) if merges(base.get(key), value) else deepcopy(value)
    return found


def merges(old: object, new: object) -> bool:
    """Return whether a group changes another one rather than taking its place."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return False
    return all(key not in new or new[key] == old.get(key) for key in ("kind", "part"))


def _groups(given: dict[str, Any]) -> dict[str, Any]:
    for name, group in given.items():
        if not isinstance(group, Mapping):
            raise PlacedError(name, f"found {shown(group)}; a mapping (key: value) would do")
    return given


def differences(of: str) -> Any:
    """Return the type of a mapping from names to what differs from a Spec called ``of``."""
    schema = {
        "type": "object",
        "maxProperties": MOST_KINDS,
        "additionalProperties": {"type": "object", DIFFERS_FROM: of},
    }
    return Annotated[
        dict[str, Any], Field(max_length=MOST_KINDS), AfterValidator(_groups),
        WithJsonSchema(schema),
    ]  # fmt: skip


def changed(usual: AnySpec, difference: Mapping[str, Any], place: str) -> AnySpec:
    """Return a Spec with what differs from it.

    Raises:
        PlacedError: The two together are no such Spec; ``place`` says where the difference stands.
    """
    try:
        return _changed(usual, json.dumps(difference, sort_keys=True, default=str))  # type: ignore[return-value]
    except SpecError as error:
        below = f"{place}{error.place if error.place[:1] == '[' else '.' + error.place}"
        raise PlacedError(below.rstrip("."), error.problem) from None


@lru_cache(maxsize=512)
def _changed(usual: Spec, difference: str) -> Spec:
    return validate(type(usual), merged(usual.to_text(), json_of(difference, "")), "")
